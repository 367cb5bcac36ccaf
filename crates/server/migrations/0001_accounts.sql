-- Accounts, their wrapped keys, and how they sign in.
--
-- One text for SQLite and PostgreSQL: every number is a BIGINT (flags are 0 or 1, times are µs since the epoch),
-- everything else is TEXT, kept byte for byte as the client sent it. Nothing here can be read without a client's keys.

CREATE TABLE id_blocks (
    name TEXT NOT NULL PRIMARY KEY,
    next BIGINT NOT NULL
);
INSERT INTO id_blocks (name, next) VALUES ('all', 1);

CREATE TABLE accounts (
    id BIGINT NOT NULL PRIMARY KEY,
    email TEXT UNIQUE,                      -- NULL once the account is deleted: the address is free again
    status TEXT NOT NULL,                   -- 'active', 'disabled', 'deleted'
    version BIGINT NOT NULL,                -- the newest change that this account can see; its row lock orders them
    usage BIGINT NOT NULL,                  -- bytes of ciphertext, trash included
    quota BIGINT,                           -- bytes; NULL is the server's default
    email_mfa BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Addresses that the operator lets sign up although sign-up is closed.
CREATE TABLE invitations (
    email TEXT NOT NULL PRIMARY KEY,
    quota BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE key_attributes (
    account_id BIGINT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    kek_salt TEXT NOT NULL,
    mem_limit BIGINT NOT NULL,
    ops_limit BIGINT NOT NULL,
    encrypted_key TEXT NOT NULL,
    key_decryption_nonce TEXT NOT NULL,
    public_key TEXT NOT NULL,
    encrypted_secret_key TEXT NOT NULL,
    secret_key_decryption_nonce TEXT NOT NULL,
    master_key_encrypted_with_recovery_key TEXT NOT NULL,
    master_key_decryption_nonce TEXT NOT NULL,
    recovery_key_encrypted_with_master_key TEXT NOT NULL,
    recovery_key_decryption_nonce TEXT NOT NULL
);

-- The live SRP credentials. Identity and salt exactly as received; the verifier padded to 512 bytes.
CREATE TABLE srp_credentials (
    account_id BIGINT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    srp_user_id TEXT NOT NULL UNIQUE,
    salt TEXT NOT NULL,
    verifier TEXT NOT NULL
);

-- Registrations and password changes that wait for the client's proof.
CREATE TABLE srp_setups (
    id TEXT NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    srp_user_id TEXT NOT NULL,
    salt TEXT NOT NULL,
    verifier TEXT NOT NULL,
    client_public TEXT NOT NULL,
    server_secret TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Sign-ins that wait for the client's proof. No foreign key: identities that do not exist get one too.
CREATE TABLE srp_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    srp_user_id TEXT NOT NULL,
    client_public TEXT NOT NULL,
    server_secret TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    verified BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX srp_sessions_by_identity ON srp_sessions (srp_user_id, created_at);

CREATE TABLE one_time_codes (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    app TEXT NOT NULL,
    code_hash TEXT NOT NULL,
    wrong_attempts BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX one_time_codes_by_address ON one_time_codes (email, app);

-- Tokens are stored hashed: who reads this table cannot sign in with it.
CREATE TABLE sessions (
    token_hash TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    app TEXT NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account_id, app);

CREATE TABLE remote_settings (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE entity_keys (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    encrypted_key TEXT NOT NULL,
    header TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, kind)
);

-- The server's own secrets, made once: they sign upload and download URLs and deletion challenges.
CREATE TABLE server_secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
