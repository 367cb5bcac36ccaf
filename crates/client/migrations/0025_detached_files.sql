-- Files of which a picture was let go of by a folder, and stays in the vault: whatever each is edited to elsewhere stays out of the folder as well.
CREATE TABLE sync_detached_files (
    folder INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    file   INTEGER NOT NULL,
    PRIMARY KEY (folder, file)
) STRICT, WITHOUT ROWID;
