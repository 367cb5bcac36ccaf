-- The damaged file for which alone an upload was let in that the quota had no room for. Its object has that file from its first byte, while it is
-- 'stored', and becomes new contents of a damaged file or nothing.
ALTER TABLE uploads ADD COLUMN mends BIGINT;
-- What an account has lost is looked for when it has no room.
CREATE INDEX objects_by_damage_of ON objects (account_id) WHERE damaged_at IS NOT NULL;
