-- Contents of files that their owner replaced by earlier ones. An asset with one of them is not another file.
CREATE TABLE replaced_contents (
    file         INTEGER NOT NULL,
    content_hash TEXT    NOT NULL,
    PRIMARY KEY (file, content_hash)
) STRICT, WITHOUT ROWID;
