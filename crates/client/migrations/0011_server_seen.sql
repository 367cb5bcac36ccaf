-- What the last run over a library found of the server: whether it could not be reached, though there was a network, and whether large
-- originals go up in parts that can go on another time (NULL as long as it was not asked).
ALTER TABLE libraries ADD COLUMN server_away      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE libraries ADD COLUMN server_resumable INTEGER;
