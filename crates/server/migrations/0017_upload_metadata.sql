-- What a client told of an upload (`Upload-Metadata`), for it to be told again: base64, sealed with the token of the session that sent it, of which
-- only the hash is kept. NULL where it told nothing.
ALTER TABLE uploads ADD COLUMN metadata TEXT;
