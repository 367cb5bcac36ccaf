-- Albums that are shared with other accounts of this server.

-- Who sees whose collection. The collection's key comes sealed to the public key of who sees it; the server cannot open it.
CREATE TABLE shares (
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    account_id BIGINT NOT NULL REFERENCES accounts (id),    -- with whom it is shared: never its owner
    sealed_key TEXT NOT NULL,
    role TEXT NOT NULL,                     -- 'VIEWER', 'COLLABORATOR', 'ADMIN'
    magic_metadata TEXT,                    -- the account's own envelope for it, as JSON
    shared_at BIGINT NOT NULL,
    version BIGINT NOT NULL,                -- that of the collection in this account's feed; it stands still once the share has ended
    is_deleted BIGINT NOT NULL,             -- it has ended: a tombstone
    last_name TEXT,                         -- the collection's name when it ended: later ones are not for this account
    last_name_nonce TEXT,
    PRIMARY KEY (collection_id, account_id)
);
CREATE INDEX shares_by_account ON shares (account_id, version);

-- The memberships that an account sees because a collection is shared with it, in the order of its feed. `memberships.version` again,
-- so that one index gives an account's share of all albums in version order, however many there are. Gone with the share.
CREATE TABLE shared_memberships (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    file_id BIGINT NOT NULL REFERENCES files (id),
    version BIGINT NOT NULL,
    PRIMARY KEY (account_id, collection_id, file_id)
);
CREATE INDEX shared_memberships_by_version ON shared_memberships (account_id, version);
