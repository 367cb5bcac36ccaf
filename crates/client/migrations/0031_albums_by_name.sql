-- With an album for each folder an account has as many as folders, and each is looked for by its name.
CREATE INDEX collections_by_name ON collections (owner, name);
