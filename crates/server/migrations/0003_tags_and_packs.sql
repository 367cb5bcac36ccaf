-- Content tags, and many objects in one blob.

-- A keyed hash of the content hash, by which a client recognises content that its account has: standard base64 of 32 bytes. The
-- server learns which files of one account are equal, and nothing else. It outlives the contents: a purged file keeps its tag.
-- Two live files of an account never have the same one; the rule is kept under the account's lock (`store/commit.rs`).
ALTER TABLE files ADD COLUMN content_tag TEXT;
CREATE INDEX files_by_tag ON files (owner_id, content_tag);

-- Where an object begins in its blob, in bytes: small objects that came in one request share a blob.
ALTER TABLE objects ADD COLUMN blob_offset BIGINT NOT NULL DEFAULT 0;
