-- When the library first told of an asset, µs since the epoch: what was on the device before a deletion from the vault stays deleted,
-- also if it had to wait until then. Of what was told before this was kept nothing is known but that.
ALTER TABLE library_assets ADD COLUMN first_listed INTEGER NOT NULL DEFAULT 0;
UPDATE library_assets SET first_listed = CAST(strftime('%s', 'now') AS INTEGER) * 1000000;
