-- Files of which the server's copy is known to be damaged or lost. It says something of a file for as long as that has the stream header that is
-- written here: another one is that of other bytes.
CREATE TABLE damaged_files (
    file   INTEGER PRIMARY KEY,
    -- What is damaged, 'original' or 'thumbnail', and its stream header.
    part   TEXT    NOT NULL,
    header TEXT    NOT NULL,
    -- In a word, as `darkslide verify --json` says it: 'damaged' where the server itself said so.
    what   TEXT    NOT NULL,
    -- µs since the epoch.
    found  INTEGER NOT NULL
) STRICT;
