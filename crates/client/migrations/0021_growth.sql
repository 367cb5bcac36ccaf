-- Nothing that a run asks may cost more the more there is in the vault.
-- What an edited or deleted file is on this device.
CREATE INDEX assets_by_file ON assets (file) WHERE file IS NOT NULL;
-- Hardly any asset is blocked or has no room.
CREATE INDEX assets_in_trouble ON assets (state) WHERE state IN ('blocked', 'no_room');
-- Only a large file asks whether there is one of its length: 128 MiB and more.
CREATE INDEX files_by_large_size ON files (object_size) WHERE object_size >= 134217728;
CREATE INDEX trash_by_large_size ON trash (object_size) WHERE object_size >= 134217728;
