-- One ordered feed of an account: its memberships in version order, whichever collections they are in.
--
-- A membership says whose collection it is in, so that one index gives them in that order. The table is made anew, for the column
-- has no value that a writer could forget to give.

CREATE TABLE memberships_of_accounts (
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    file_id BIGINT NOT NULL REFERENCES files (id),
    account_id BIGINT NOT NULL REFERENCES accounts (id),    -- the collection's owner
    encrypted_key TEXT NOT NULL,
    key_decryption_nonce TEXT NOT NULL,
    is_deleted BIGINT NOT NULL,                             -- tombstones stay, with their keys
    added_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (collection_id, file_id)
);
INSERT INTO memberships_of_accounts
    (collection_id, file_id, account_id, encrypted_key, key_decryption_nonce, is_deleted, added_at, version)
SELECT memberships.collection_id, memberships.file_id, collections.owner_id, memberships.encrypted_key,
       memberships.key_decryption_nonce, memberships.is_deleted, memberships.added_at, memberships.version
FROM memberships JOIN collections ON collections.id = memberships.collection_id;
DROP TABLE memberships;
ALTER TABLE memberships_of_accounts RENAME TO memberships;
CREATE INDEX memberships_by_version ON memberships (collection_id, version);
CREATE INDEX memberships_by_file ON memberships (file_id);
CREATE INDEX memberships_by_account ON memberships (account_id, version);
