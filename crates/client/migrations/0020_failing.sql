-- Since when an asset fails as it is, and when it was tried last, where trying it again soon would only fail again: it is tried after pauses that
-- grow. Both by the device's own clock, and NULL where it is tried in every run, and where it does not fail.
ALTER TABLE assets ADD COLUMN fails_since INTEGER;
ALTER TABLE assets ADD COLUMN failed_last INTEGER;
