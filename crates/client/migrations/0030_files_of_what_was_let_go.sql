-- Which files they are of whose pictures folders let go before that was written down: those that are still what they were then. What a folder has of
-- such a file at another path, it has not let go of.
INSERT OR IGNORE INTO sync_detached_files (folder, file)
    SELECT DISTINCT detached.folder, files.file FROM sync_detached AS detached
    JOIN files ON substr(files.content_hash, 1, 8) = substr(detached.content, 1, 8) AND files.content_hash = detached.content
    WHERE files.deleted = 0 AND NOT EXISTS (
        SELECT 1 FROM sync_base
        WHERE sync_base.folder = detached.folder AND sync_base.content = detached.content
            AND sync_base.file = files.file AND sync_base.state = 'synced');
