-- The catalog: what this device knows of one account's vault, and of the folders that it backs up.
-- Times are microseconds since the Unix epoch unless a name says otherwise; paths are raw bytes; booleans are 0 or 1.

-- How far each feed was read: 'collections', 'trash', or 'collection/<id>'.
CREATE TABLE cursors (
    feed    TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE collections (
    id            INTEGER PRIMARY KEY,
    owner         INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    type          TEXT    NOT NULL,
    -- As it came from the server; the nonce is null where the key is sealed to this account instead of boxed.
    encrypted_key TEXT    NOT NULL,
    key_nonce     TEXT,
    version       INTEGER NOT NULL,
    deleted       INTEGER NOT NULL
) STRICT;

-- One row a membership: a file appears once for every collection that it is or was in.
CREATE TABLE files (
    collection       INTEGER NOT NULL,
    file             INTEGER NOT NULL,
    owner            INTEGER NOT NULL,
    encrypted_key    TEXT    NOT NULL,
    key_nonce        TEXT    NOT NULL,
    title            TEXT,
    content_hash     TEXT,
    kind             INTEGER NOT NULL,
    taken            INTEGER NOT NULL,
    modified         INTEGER NOT NULL,
    object_size      INTEGER NOT NULL,
    thumbnail_size   INTEGER NOT NULL,
    object_header    TEXT    NOT NULL,
    thumbnail_header TEXT    NOT NULL,
    metadata         TEXT,
    public_metadata  TEXT,
    private_metadata TEXT,
    version          INTEGER NOT NULL,
    deleted          INTEGER NOT NULL,
    PRIMARY KEY (collection, file)
) STRICT;
CREATE INDEX files_by_file ON files (file);
CREATE INDEX files_by_content_hash ON files (content_hash);

-- One row a file that is or was in the trash. Purged rows are tombstones and are kept.
CREATE TABLE trash (
    file          INTEGER PRIMARY KEY,
    collection    INTEGER NOT NULL,
    encrypted_key TEXT    NOT NULL,
    key_nonce     TEXT    NOT NULL,
    title         TEXT,
    content_hash  TEXT,
    object_size   INTEGER NOT NULL,
    trashed_at    INTEGER NOT NULL,
    delete_by     INTEGER NOT NULL,
    restored      INTEGER NOT NULL,
    purged        INTEGER NOT NULL,
    version       INTEGER NOT NULL
) STRICT;
CREATE INDEX trash_by_content_hash ON trash (content_hash);

-- What a device album's collection is, found by name once and by id ever after.
CREATE TABLE device_albums (
    root       BLOB    NOT NULL,
    folder     BLOB    NOT NULL,
    collection INTEGER NOT NULL,
    PRIMARY KEY (root, folder)
) STRICT;

-- One row an asset of a folder library; a Live Photo is one asset with two components.
CREATE TABLE assets (
    root               BLOB    NOT NULL,
    path               BLOB    NOT NULL,
    size               INTEGER NOT NULL,
    modified_ns        INTEGER NOT NULL,
    inode              INTEGER NOT NULL,
    motion_path        BLOB,
    motion_size        INTEGER,
    motion_modified_ns INTEGER,
    motion_inode       INTEGER,
    album_root         BLOB    NOT NULL,
    album_folder       BLOB    NOT NULL,
    content_hash       TEXT,
    file               INTEGER,
    state              TEXT    NOT NULL,
    reason             TEXT,
    first_seen         INTEGER NOT NULL,
    last_seen          INTEGER NOT NULL,
    PRIMARY KEY (root, path)
) STRICT;
CREATE INDEX assets_by_content_hash ON assets (content_hash);
CREATE INDEX assets_by_motion_path ON assets (root, motion_path);

-- Uploads in parts that are under way. Key and stream header belong to this content and to no other.
CREATE TABLE uploads (
    content_hash  TEXT PRIMARY KEY,
    -- The address that the URLs were minted at: at another one they may not be reachable.
    server        TEXT    NOT NULL,
    collection    INTEGER NOT NULL,
    encrypted_key TEXT    NOT NULL,
    key_nonce     TEXT    NOT NULL,
    header        TEXT    NOT NULL,
    object_key    TEXT    NOT NULL,
    part_urls     TEXT    NOT NULL,
    complete_url  TEXT    NOT NULL,
    part_chunks   INTEGER NOT NULL,
    length        INTEGER NOT NULL,
    began         INTEGER NOT NULL
) STRICT;

-- The parts that the server acknowledged, each with where the cipher stands behind it.
CREATE TABLE upload_parts (
    content_hash TEXT    NOT NULL REFERENCES uploads (content_hash) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    etag         TEXT    NOT NULL,
    position     TEXT    NOT NULL,
    PRIMARY KEY (content_hash, number)
) STRICT;
