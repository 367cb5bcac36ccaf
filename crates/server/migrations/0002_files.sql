-- Collections, files, memberships, trash, and the objects that they name.
--
-- A file exists once for its owner; memberships link it to collections, each with the file's key wrapped by that
-- collection's key. Versions order changes: see `store`.

CREATE TABLE collections (
    id BIGINT NOT NULL PRIMARY KEY,
    owner_id BIGINT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,                     -- 'album', 'folder', 'favorites', 'uncategorized'
    singular TEXT UNIQUE,                   -- '<owner>/<kind>' for the two kinds that exist once, else NULL
    encrypted_key TEXT NOT NULL,
    key_decryption_nonce TEXT NOT NULL,
    encrypted_name TEXT NOT NULL,
    name_decryption_nonce TEXT NOT NULL,
    encrypted_path TEXT,
    path_decryption_nonce TEXT,
    attributes_version BIGINT NOT NULL,
    magic_metadata TEXT,                    -- the envelope as JSON
    pub_magic_metadata TEXT,                -- the envelope as JSON
    is_deleted BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX collections_by_owner ON collections (owner_id, version);

CREATE TABLE files (
    id BIGINT NOT NULL PRIMARY KEY,
    owner_id BIGINT NOT NULL REFERENCES accounts (id),
    file_object TEXT NOT NULL,              -- object keys
    file_header TEXT NOT NULL,
    file_size BIGINT NOT NULL,              -- bytes of ciphertext
    thumbnail_object TEXT NOT NULL,
    thumbnail_header TEXT NOT NULL,
    thumbnail_size BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    metadata_header TEXT NOT NULL,
    magic_metadata TEXT,                    -- the envelope as JSON
    pub_magic_metadata TEXT,                -- the envelope as JSON
    is_purged BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX files_by_owner ON files (owner_id);

-- Earlier contents of updated files: kept for the retention time.
CREATE TABLE file_versions (
    file_id BIGINT NOT NULL REFERENCES files (id),
    version BIGINT NOT NULL,                -- the file's version that this content had
    file_object TEXT NOT NULL,
    file_header TEXT NOT NULL,
    file_size BIGINT NOT NULL,
    thumbnail_object TEXT NOT NULL,
    thumbnail_header TEXT NOT NULL,
    thumbnail_size BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    metadata_header TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    PRIMARY KEY (file_id, version)
);
CREATE INDEX file_versions_by_file_object ON file_versions (file_object);
CREATE INDEX file_versions_by_thumbnail_object ON file_versions (thumbnail_object);

CREATE TABLE memberships (
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    file_id BIGINT NOT NULL REFERENCES files (id),
    encrypted_key TEXT NOT NULL,
    key_decryption_nonce TEXT NOT NULL,
    is_deleted BIGINT NOT NULL,             -- tombstones stay, with their keys
    added_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (collection_id, file_id)
);
CREATE INDEX memberships_by_version ON memberships (collection_id, version);
CREATE INDEX memberships_by_file ON memberships (file_id);

CREATE TABLE trash (
    file_id BIGINT NOT NULL PRIMARY KEY REFERENCES files (id),
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    is_restored BIGINT NOT NULL,
    is_purged BIGINT NOT NULL,              -- never together with is_restored
    delete_by BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX trash_by_version ON trash (account_id, version);
CREATE INDEX trash_by_deadline ON trash (delete_by);

-- Every object of which at least one byte is stored. Minting needs no row: the URL carries what was agreed, signed.
CREATE TABLE objects (
    key TEXT NOT NULL PRIMARY KEY,          -- '<account>/<uuid>'
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    state TEXT NOT NULL,                    -- 'open' (parts are missing), 'stored', 'committed', 'garbage'
    length BIGINT,                          -- bytes; NULL while parts are missing
    etag TEXT,                              -- hex MD5; for parts that of their MD5s, '-' and their number, as S3 has it
    digest TEXT,                            -- hex of the BLAKE2b-256 taken while the bytes were stored; NULL for parts
    blob TEXT,                              -- the file on disk; NULL for parts
    part_count BIGINT,                      -- NULL for whole objects
    file_id BIGINT,                         -- once it was committed
    expires_at BIGINT NOT NULL,             -- when an object that is not committed may be reaped
    created_at BIGINT NOT NULL
);
CREATE INDEX objects_by_deadline ON objects (state, expires_at);
CREATE INDEX objects_by_account ON objects (account_id);
CREATE INDEX objects_by_file ON objects (file_id);
CREATE INDEX objects_by_blob ON objects (blob);

-- Parts that are durable.
CREATE TABLE object_parts (
    object_key TEXT NOT NULL REFERENCES objects (key),
    part_number BIGINT NOT NULL,            -- from 1
    length BIGINT NOT NULL,
    etag TEXT NOT NULL,                     -- hex MD5
    digest TEXT NOT NULL,                   -- hex BLAKE2b-256
    blob TEXT NOT NULL,                     -- the file on disk
    PRIMARY KEY (object_key, part_number)
);
CREATE INDEX object_parts_by_blob ON object_parts (blob);
