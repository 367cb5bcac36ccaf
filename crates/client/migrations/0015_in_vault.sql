-- What an asset was when it was last in the vault, while it is blocked or finds no room there: what it is now may be an edit of that. NULL
-- while the row itself says so, and where it never was.
ALTER TABLE assets ADD COLUMN vault_content     TEXT;
ALTER TABLE assets ADD COLUMN vault_size        INTEGER;
ALTER TABLE assets ADD COLUMN vault_modified_ns INTEGER;
ALTER TABLE assets ADD COLUMN vault_is_live     INTEGER;
