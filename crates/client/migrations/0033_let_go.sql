-- Whether an asset did not get into the vault and is in a folder that was taken off its list since: nobody is told of it until a run meets it again.
ALTER TABLE assets ADD COLUMN is_let_go INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER assets_are_let_go_by_watch_folders AFTER DELETE ON watch_folders
BEGIN
    UPDATE assets SET is_let_go = 1 WHERE state IN ('blocked', 'no_room') AND root = OLD.path;
END;
CREATE TRIGGER assets_are_let_go_by_sync_folders AFTER DELETE ON sync_folders
BEGIN
    UPDATE assets SET is_let_go = 1 WHERE state IN ('blocked', 'no_room') AND root = OLD.path;
END;
-- What failed has its pause, and is met by no run until that is over.
CREATE TRIGGER assets_are_wanted_by_watch_folders AFTER INSERT ON watch_folders
BEGIN
    UPDATE assets SET is_let_go = 0 WHERE state IN ('blocked', 'no_room') AND root = NEW.path;
END;
CREATE TRIGGER assets_are_wanted_by_sync_folders AFTER INSERT ON sync_folders
BEGIN
    UPDATE assets SET is_let_go = 0 WHERE state IN ('blocked', 'no_room') AND root = NEW.path;
END;
