-- Indices as narrow as what is asked of them: a first backup inserts two objects, a file and a membership for each small picture, and
-- into every index of theirs.

-- Tags lie anywhere among the others. Eight letters of one, 48 bits, are enough to find it by; the row itself says the rest.
DROP INDEX files_by_tag;
CREATE INDEX files_by_tag ON files (owner_id, substr(content_tag, 1, 8));

-- Nearly all objects are committed, which have no deadline; only those are read back.
DROP INDEX objects_by_deadline;
CREATE INDEX objects_by_deadline ON objects (state, expires_at) WHERE state <> 'committed';
DROP INDEX objects_by_check;
CREATE INDEX objects_by_check ON objects (checked_at, created_at) WHERE state = 'committed';
-- An account's objects are those of its files, and those that are not committed.
DROP INDEX objects_by_account;

-- A file's version is asked for with every tag that is looked up: the index alone has the answer.
DROP INDEX memberships_by_file;
CREATE INDEX memberships_by_file ON memberships (file_id, collection_id, version);
