-- Folders that are kept in step with the vault, both ways. Not a cache: nothing but their owner knows them.
CREATE TABLE sync_folders (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    path            BLOB    NOT NULL UNIQUE,
    -- What the marker in the root must say.
    marker          TEXT    NOT NULL,
    album           TEXT    NOT NULL,
    -- 'both', 'up' or 'down'.
    direction       TEXT    NOT NULL,
    -- Pictures taken longer ago than this, in µs, stay in the vault when they are deleted in the folder; null where none do.
    keep_older_than INTEGER,
    -- Where its local trash is.
    trash           BLOB    NOT NULL,
    paused          INTEGER NOT NULL,
    added           INTEGER NOT NULL,
    -- What waits for the owner, what they allowed, and how the last pass went: JSON, or null.
    hold            TEXT,
    approval        TEXT,
    last_pass       TEXT
) STRICT;

-- What a folder and the vault agreed on last, path by path. Losing it costs a merge, never a picture.
CREATE TABLE sync_base (
    folder       INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    path         BLOB    NOT NULL,
    -- 'synced', or 'deleted' for a tombstone.
    state        TEXT    NOT NULL,
    content      TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    file         INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    -- The file on disk, as it was when it was read; 0 in tombstones.
    inode        INTEGER NOT NULL,
    born_ns      INTEGER NOT NULL,
    modified_ns  INTEGER NOT NULL,
    changed_ns   INTEGER NOT NULL,
    absent_since INTEGER,
    PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_base_by_content ON sync_base (folder, content);

-- Pictures that were in a folder, stay in the vault, and do not come back into the folder by themselves.
CREATE TABLE sync_detached (
    folder  INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    content TEXT    NOT NULL,
    PRIMARY KEY (folder, content)
) STRICT, WITHOUT ROWID;
