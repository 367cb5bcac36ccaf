-- An account that mirrors its folders has as many collections as folders: the newest of them, and those with certain wrapped keys, are looked
-- for whenever some are made. Eight letters of a key, 48 bits of its authenticator, are enough to find it by.
CREATE INDEX collections_by_id ON collections (owner_id, id);
CREATE INDEX collections_by_key ON collections (owner_id, substr(encrypted_key, 1, 8));
