-- What each is a thumbnail of: the stream header of the original as it was sent. Empty where an earlier release wrote it down.
ALTER TABLE thumbnails_due ADD COLUMN original TEXT;

-- An earlier release gave every live membership of a file the version of the one that its new thumbnail was told of. One that another device
-- had ended stayed live for ever: its end had an earlier version. Those that this may have happened to are as old as can be, and the feeds are read
-- from their beginning once more, so that whatever the vault says of them counts.
UPDATE files SET version = 1 WHERE deleted = 0 AND (
    EXISTS (SELECT 1 FROM files AS other WHERE other.file = files.file AND other.collection <> files.collection)
    OR EXISTS (SELECT 1 FROM trash WHERE trash.file = files.file AND trash.restored = 0));
DELETE FROM cursors WHERE feed <> 'anew' AND EXISTS (SELECT 1 FROM files WHERE deleted = 0 AND version = 1);
