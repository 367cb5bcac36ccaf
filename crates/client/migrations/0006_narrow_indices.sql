-- Keys that are as narrow as they can be: rows are found by content, whose hash is 88 letters or twice that and lies anywhere among the
-- others, so a batch of new files changes nearly as many pages of such an index as it has rows. Eight of its letters, 48 bits, tell
-- contents apart well enough to be looked up by; the row itself says the rest. Whoever looks for a content gives both.
DROP INDEX files_by_content_hash;
CREATE INDEX files_by_content ON files (substr(content_hash, 1, 8));
DROP INDEX assets_by_content_hash;
CREATE INDEX assets_by_content ON assets (substr(content_hash, 1, 8));
-- Hardly any asset is a Live Photo.
DROP INDEX assets_by_motion_path;
CREATE INDEX assets_by_motion_path ON assets (root, motion_path) WHERE motion_path IS NOT NULL;
