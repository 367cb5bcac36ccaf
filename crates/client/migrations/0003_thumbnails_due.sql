-- Files that are in the vault with the placeholder for a thumbnail, while theirs is still to be made from the file on this device.
CREATE TABLE thumbnails_due (
    -- In the order in which they became due.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    file   INTEGER NOT NULL UNIQUE,
    root   BLOB    NOT NULL,
    path   BLOB    NOT NULL
) STRICT;
