-- What is known of the bytes on the disk, earlier contents that were brought back, and the devices of an account.

-- When an object was last read back and was whole, in µs since the epoch; NULL until then.
ALTER TABLE objects ADD COLUMN verified_at BIGINT;
-- When it was last read back, whatever came of it: what is least recent comes first.
ALTER TABLE objects ADD COLUMN checked_at BIGINT NOT NULL DEFAULT 0;
-- Since when it is known not to be whole, and why; NULL when nothing is known against it.
ALTER TABLE objects ADD COLUMN damaged_at BIGINT;
ALTER TABLE objects ADD COLUMN damage TEXT;
CREATE INDEX objects_by_check ON objects (state, checked_at, created_at);
CREATE INDEX objects_by_damage ON objects (damaged_at) WHERE damaged_at IS NOT NULL;

-- The version that came of bringing these contents back: the same request again finds it here. NULL while they are only kept.
ALTER TABLE file_versions ADD COLUMN restored_as BIGINT;

-- The devices of an account, under ids that they choose themselves. The name is sealed under a key that only the account has.
CREATE TABLE devices (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    id TEXT NOT NULL,                       -- a UUID
    sealed_name TEXT NOT NULL,              -- base64
    platform TEXT NOT NULL,                 -- 'linux', 'android' …: a short word, for a symbol
    push TEXT,                              -- the push endpoint as JSON
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);
-- Which device a session is on; NULL for clients that never say.
ALTER TABLE sessions ADD COLUMN device_id TEXT;
CREATE INDEX sessions_by_device ON sessions (account_id, device_id);
