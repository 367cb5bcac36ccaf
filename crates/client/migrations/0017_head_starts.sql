-- Uploads of files that are still being hashed: what is sealed under their keys is no more than what is pinned here, and these rows
-- become resumable uploads once the whole content is known.
CREATE TABLE head_starts (
    root          BLOB    NOT NULL,
    path          BLOB    NOT NULL,
    -- Bytes from the file's beginning that the key may have met, and their content hash.
    pinned        INTEGER NOT NULL,
    -- What the file must still be: one that was written to since begins anew.
    size          INTEGER NOT NULL,
    modified_ns   INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    content_hash  TEXT    NOT NULL,
    server        TEXT    NOT NULL,
    collection    INTEGER NOT NULL,
    encrypted_key TEXT    NOT NULL,
    key_nonce     TEXT    NOT NULL,
    header        TEXT    NOT NULL,
    object_key    TEXT    NOT NULL,
    upload        TEXT    NOT NULL,
    length        INTEGER NOT NULL,
    began         INTEGER NOT NULL,
    checked       INTEGER NOT NULL,
    position      TEXT    NOT NULL,
    PRIMARY KEY (root, path)
) STRICT;
