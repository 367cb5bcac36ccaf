-- Resumable uploads that are under way. Key and stream header belong to this content and to no other.
CREATE TABLE resumable_uploads (
    content_hash  TEXT PRIMARY KEY,
    server        TEXT    NOT NULL,
    collection    INTEGER NOT NULL,
    encrypted_key TEXT    NOT NULL,
    key_nonce     TEXT    NOT NULL,
    header        TEXT    NOT NULL,
    object_key    TEXT    NOT NULL,
    -- The last member of the upload's URL.
    upload        TEXT    NOT NULL,
    length        INTEGER NOT NULL,
    began         INTEGER NOT NULL,
    -- Bytes of ciphertext that the server has and that were compared with what was sent.
    checked       INTEGER NOT NULL,
    -- Where the cipher stands before the chunk that the next byte belongs to.
    position      TEXT    NOT NULL
) STRICT;
