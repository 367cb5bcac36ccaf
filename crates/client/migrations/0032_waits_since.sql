-- Since when an asset waits to be dealt with, µs since the epoch: since the library first told of it, or of the first edit that no run has dealt with,
-- however often it was edited after that.
ALTER TABLE library_assets ADD COLUMN waits_since INTEGER NOT NULL DEFAULT 0;
UPDATE library_assets SET waits_since = first_listed;
