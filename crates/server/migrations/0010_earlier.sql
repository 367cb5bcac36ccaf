-- What an edited file was is read back too: its objects are 'earlier' until their time is up, and only then 'garbage'.
-- So states are 'open', 'stored', 'committed', 'earlier', 'garbage'.
UPDATE objects SET state = 'earlier'
WHERE state = 'garbage'
  AND (key IN (SELECT file_object FROM file_versions) OR key IN (SELECT thumbnail_object FROM file_versions));
CREATE INDEX objects_by_earlier_check ON objects (checked_at, created_at) WHERE state = 'earlier';
