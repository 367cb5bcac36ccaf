-- How many turns a library's pictures have had in all runs: every so many, the one that has waited longest has the next, also if no run is
-- long enough for so many.
ALTER TABLE libraries ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;
