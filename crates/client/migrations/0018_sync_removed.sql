-- What passes over a sync folder removed without being asked, for as long as it counts: written before it is removed, and put right after.
CREATE TABLE sync_removed (
    folder  INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    -- µs since the epoch.
    at      INTEGER NOT NULL,
    -- Pictures.
    removed INTEGER NOT NULL,
    -- Pictures that were agreed on before.
    agreed  INTEGER NOT NULL,
    PRIMARY KEY (folder, at)
) STRICT, WITHOUT ROWID;
