-- Resumable uploads that are under way, and for a while those that are done.

-- The bytes up to the offset are flushed in 'uploads/<id>' below the data folder; what lies behind them is not trusted. When the
-- offset reaches the length the file becomes the blob, and the object '<account_id>/<id>' is stored.
CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,           -- a UUID, the second half of the object's key
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    state TEXT NOT NULL,                    -- 'open', then 'stored'
    length BIGINT NOT NULL,                 -- bytes of the whole object
    durable_offset BIGINT NOT NULL,         -- bytes that are flushed
    chunk_offset BIGINT NOT NULL,           -- where the newest request's bytes begin
    chunk_digest TEXT,                      -- base64 of their BLAKE3, as far as the offset; NULL before the first byte
    writer TEXT,                            -- drawn afresh by each request that brings bytes; only the newest may record
    blob TEXT NOT NULL,                     -- the name that the file will have among the blobs
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX uploads_by_deadline ON uploads (expires_at);
CREATE INDEX uploads_by_account ON uploads (account_id);
CREATE INDEX uploads_by_blob ON uploads (blob);
