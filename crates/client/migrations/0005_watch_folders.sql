-- Folders that the agent keeps backed up, one way. Not a cache: nothing but their owner knows them.
CREATE TABLE watch_folders (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    path          BLOB    NOT NULL UNIQUE,
    -- 'root', 'folder' or 'named'.
    albums        TEXT    NOT NULL,
    album         TEXT,
    -- A JSON array of patterns.
    exclude       TEXT    NOT NULL,
    paused        INTEGER NOT NULL,
    added         INTEGER NOT NULL,
    -- The disk that it was on when it was last seen whole; null until then.
    device        INTEGER,
    -- Since when it cannot be reached; null while it can.
    offline_since INTEGER,
    -- When all of it was last looked at.
    last_scan     INTEGER
) STRICT;
