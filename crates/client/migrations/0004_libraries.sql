-- What the owner chose for the albums of a device's own library. A choice stays while its album is empty, or away.
CREATE TABLE album_choices (
    library BLOB NOT NULL,
    folder  BLOB NOT NULL,
    name    TEXT NOT NULL,
    choice  TEXT NOT NULL,
    PRIMARY KEY (library, folder)
) STRICT;

-- How far a device's own library was looked at, and when the last run began that got to its end.
CREATE TABLE libraries (
    library        BLOB PRIMARY KEY,
    last_completed INTEGER NOT NULL
) STRICT;
