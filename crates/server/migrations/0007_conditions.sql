-- What makes a conditional call repeatable: from which version it was done, so that its repetition is known for one.

-- The file's version (the newest of its memberships) when it was trashed; NULL for what was trashed before this column.
ALTER TABLE trash ADD COLUMN trashed_from BIGINT;

-- The trash item's version when it was restored; NULL for what was restored before this column.
ALTER TABLE trash ADD COLUMN restored_from BIGINT;
