-- Since when nothing lies where an asset was, as a look at all of its folder found, µs since the epoch by this device's own clock: what comes there
-- after that is another asset. NULL while it is there, or nobody looked. Of one that is blocked or finds no room it says that of what was
-- in the vault before.
ALTER TABLE assets ADD COLUMN absent_since INTEGER;
