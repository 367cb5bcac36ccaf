-- What was removed from a place to free space, whatever lies there since: the vault may have the only original of it. Until the same file is
-- in the vault from that place again.
CREATE TABLE freed_files (
    file INTEGER NOT NULL,
    root BLOB    NOT NULL,
    path BLOB    NOT NULL,
    PRIMARY KEY (file, root, path)
) STRICT, WITHOUT ROWID;
INSERT INTO freed_files (file, root, path)
    SELECT file, root, path FROM assets WHERE state = 'freed' AND file IS NOT NULL;
CREATE TRIGGER freed_files_are_remembered AFTER UPDATE OF state ON assets
WHEN NEW.state = 'freed' AND NEW.file IS NOT NULL
BEGIN
    DELETE FROM freed_files WHERE file = NEW.file AND root = NEW.root AND path = NEW.path;
    INSERT INTO freed_files (file, root, path) VALUES (NEW.file, NEW.root, NEW.path);
END;
CREATE TRIGGER freed_files_came_back AFTER UPDATE OF state ON assets
WHEN NEW.state = 'backed_up' AND NEW.file IS NOT NULL
BEGIN
    DELETE FROM freed_files WHERE file = NEW.file AND root = NEW.root AND path = NEW.path;
END;
-- When a row was written, µs since the epoch by this device's own clock: a file that was made later is another one, also where the disk has given it
-- the number of the one that was. NULL of what was written before this column came.
ALTER TABLE assets ADD COLUMN recorded_at INTEGER;
-- The videos of Live Photos are found by their content as well as the stills are. Hardly any content is one of two halves.
CREATE INDEX files_by_video ON files (substr(content_hash, 90, 8)) WHERE length(content_hash) > 88;
CREATE INDEX trash_by_video ON trash (substr(content_hash, 90, 8)) WHERE length(content_hash) > 88;
CREATE INDEX assets_by_video ON assets (substr(content_hash, 90, 8)) WHERE length(content_hash) > 88;
-- What was a Live Photo's video here, while its still is no longer one with it.
CREATE TABLE parted_videos (
    root               BLOB    NOT NULL,
    motion_path        BLOB    NOT NULL,
    motion_size        INTEGER NOT NULL,
    motion_modified_ns INTEGER NOT NULL,
    motion_inode       INTEGER NOT NULL,
    -- Of both halves.
    content_hash       TEXT    NOT NULL,
    file               INTEGER,
    first_seen         INTEGER NOT NULL,
    last_seen          INTEGER NOT NULL,
    recorded_at        INTEGER,
    PRIMARY KEY (root, motion_path, content_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX parted_videos_by_video ON parted_videos (substr(content_hash, 90, 8)) WHERE length(content_hash) > 88;
CREATE TRIGGER parted_videos_are_remembered AFTER UPDATE OF content_hash ON assets
WHEN OLD.motion_path IS NOT NULL AND length(OLD.content_hash) > 88 AND NEW.content_hash IS NOT OLD.content_hash
BEGIN
    -- Not OR REPLACE: what a statement does upon a conflict is what its triggers do.
    DELETE FROM parted_videos WHERE root = OLD.root AND motion_path = OLD.motion_path AND content_hash = OLD.content_hash;
    INSERT INTO parted_videos (root, motion_path, motion_size, motion_modified_ns, motion_inode,
        content_hash, file, first_seen, last_seen, recorded_at)
    VALUES (OLD.root, OLD.motion_path, OLD.motion_size, OLD.motion_modified_ns, OLD.motion_inode,
        OLD.content_hash, OLD.file, OLD.first_seen, OLD.last_seen, OLD.recorded_at);
END;
-- A video that came to a still that its owner had deleted was left alone with it, whether it was its own or not: that is looked at again. No file was ever
-- written at this time.
UPDATE assets SET modified_ns = -9223372036854775807 WHERE state = 'skipped' AND motion_path IS NOT NULL;
