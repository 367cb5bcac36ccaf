-- What the newest loss of a pack is known by: only who has looked at the pack since then may forget that it is to be looked at.
ALTER TABLE wasteful_packs ADD COLUMN noting TEXT NOT NULL DEFAULT '';
-- A pack could lose objects while it was written anew, and nobody remembered which.
INSERT INTO wasteful_packs (blob)
SELECT DISTINCT blob FROM objects
WHERE blob_offset > 0 AND blob LIKE '________-____-____-____-____________.00000.________'
ON CONFLICT (blob) DO NOTHING;
