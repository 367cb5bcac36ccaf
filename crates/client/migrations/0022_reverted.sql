-- What a folder let go of stays out of it until a file of the vault becomes that again: whoever takes an edit back wants it.
CREATE TRIGGER sync_detached_until_reverted AFTER UPDATE OF content_hash ON files
WHEN NEW.deleted = 0 AND OLD.content_hash IS NOT NULL AND NEW.content_hash <> OLD.content_hash
BEGIN
    DELETE FROM sync_detached WHERE content = NEW.content_hash;
END;
