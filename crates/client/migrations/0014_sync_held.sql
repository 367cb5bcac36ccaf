-- What waits for the owner of a sync folder, picture by picture. Lists are named by what is in them; an approval is the name of one.
CREATE TABLE sync_held (
    folder  INTEGER NOT NULL REFERENCES sync_folders (id) ON DELETE CASCADE,
    list    TEXT    NOT NULL,
    path    BLOB    NOT NULL,
    content TEXT    NOT NULL,
    -- 'local', 'remote', 'kept' or 'back'.
    fate    TEXT    NOT NULL,
    PRIMARY KEY (folder, list, path, content, fate)
) STRICT, WITHOUT ROWID;
ALTER TABLE sync_folders ADD COLUMN held TEXT;
-- They were numbers of pictures.
UPDATE sync_folders SET approval = NULL;
