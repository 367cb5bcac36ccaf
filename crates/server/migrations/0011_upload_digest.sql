-- What the bytes of a resumable upload are as far as they are recorded, so that what a disk made of them is noticed when the server goes
-- on from the file alone: base64 of the BLAKE3 of all bytes before durable_offset, as they were sent; NULL before the first byte.
ALTER TABLE uploads ADD COLUMN digest TEXT;
-- Of uploads that are under way it is known where one request brought all there is; the others are begun anew.
UPDATE uploads SET digest = chunk_digest WHERE chunk_offset = 0;
