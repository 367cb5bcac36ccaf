-- Which folder of the disk an album is linked to, so that it is recognised under another name: the disk's number and the folder's on it, when
-- it was last seen at its path. NULL where that is not known.
ALTER TABLE device_albums ADD COLUMN device INTEGER;
ALTER TABLE device_albums ADD COLUMN inode  INTEGER;
