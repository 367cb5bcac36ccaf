-- What a device's own library told of its assets, so that it has to tell only what changed since.
CREATE TABLE library_assets (
    library      BLOB    NOT NULL,
    id           BLOB    NOT NULL,
    name         TEXT    NOT NULL,
    -- 'photo', 'video' or 'live_photo'.
    kind         TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    modified_ns  INTEGER NOT NULL,
    -- The library's own version of it.
    version      INTEGER NOT NULL,
    taken        INTEGER NOT NULL,
    -- A JSON array: what each album is known by, in hexadecimal.
    albums       TEXT    NOT NULL,
    favourite    INTEGER NOT NULL,
    in_cloud     INTEGER NOT NULL,
    -- 'none', 'here' or 'promised'; until when, of what is promised.
    motion       TEXT    NOT NULL,
    motion_until INTEGER,
    PRIMARY KEY (library, id)
) STRICT, WITHOUT ROWID;

-- What the library is asked with the next time, and when it last told everything.
ALTER TABLE libraries ADD COLUMN token  BLOB;
ALTER TABLE libraries ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;

-- When the server last read a file's objects back and found them whole. The header pins the receipt to the contents that it was for.
CREATE TABLE receipts (
    file          INTEGER PRIMARY KEY,
    object_header TEXT    NOT NULL,
    verified_at   INTEGER NOT NULL
) STRICT;
