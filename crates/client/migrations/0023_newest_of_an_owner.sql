-- What was heard of last of an account's own files is found without reading what others have shared since: the index itself says whose a
-- file is. The owner comes second, for no other question is to be answered by going through all that somebody has.
DROP INDEX files_by_version;
CREATE INDEX files_by_version ON files (version, owner);
