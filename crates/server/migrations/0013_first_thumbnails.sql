-- What a file's first thumbnail is known by, once that was replaced: 64 bits of the BLAKE3 of its object's key. A commit that is repeated
-- names it still.
ALTER TABLE files ADD COLUMN first_thumbnail BIGINT;
