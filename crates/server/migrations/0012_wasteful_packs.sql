-- Packs that have lost some of their objects, until it is known that what is left may stay where it is or has moved together.
CREATE TABLE wasteful_packs (
    blob TEXT NOT NULL PRIMARY KEY,
    due_at BIGINT NOT NULL DEFAULT 0        -- when it is looked at next, in µs since the epoch
);
CREATE INDEX wasteful_packs_by_due ON wasteful_packs (due_at);
-- Of earlier ones nobody remembers which they are.
INSERT INTO wasteful_packs (blob)
SELECT DISTINCT blob FROM objects
WHERE blob_offset > 0 AND blob LIKE '________-____-____-____-____________.00000.________';
