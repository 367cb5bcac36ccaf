-- Disks that are mounted below the root of a sync folder: while one is away, nothing is known of what lies on it.
CREATE TABLE sync_mounts (
    folder INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    path   BLOB    NOT NULL,
    PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;
