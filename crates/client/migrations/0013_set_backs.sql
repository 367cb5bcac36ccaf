-- When the server turned out to have been set back to an older state, and how many pictures it had lost by that.
CREATE TABLE set_backs (
    noticed INTEGER PRIMARY KEY,
    lost    INTEGER NOT NULL,
    -- Of these, those that were on this computer.
    here    INTEGER NOT NULL,
    -- Pictures that had been deleted, and are there again.
    undone  INTEGER NOT NULL
) STRICT;
-- What was heard of last is what the server is asked for again.
CREATE INDEX files_by_version ON files (version);
CREATE INDEX trash_by_version ON trash (version);
