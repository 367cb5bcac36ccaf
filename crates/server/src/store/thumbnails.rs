//! New thumbnails of files that are there, one or a thousand in one transaction.
//!
//! They are decided one after the other and written together, in as many statements for all as for one. Each is answered as if it had
//! come alone.

use super::batch::{KnownObject, lock_objects, stored_files};
use super::change::{ChangeError, Usage, change_usage, locked_usage};
use super::clocks::Reach;
use super::commit::{StoredFile, claim, unclaimed_size};
use super::sql::{LIST_MAX, ROWS_AT_ONCE, long_statement, padded, padded_list, rows};
use super::uploads::ObjectAddress;
use super::{Store, StoreError, Tx};
use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::limits::DAY_MICROS;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use sqlx::Row as _;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The live membership of a file that has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlyMembership {
    /// Where the file is.
    pub collection: CollectionId,
    /// The membership's version.
    pub version: Version,
}

/// What is to be written for one.
#[derive(Debug, PartialEq, Eq)]
struct Replacement<'r> {
    request: &'r ThumbnailRequest,
    /// Bytes of the new one.
    size: i64,
    /// Bytes that it takes more than the one before.
    more: i64,
    /// The object that was the thumbnail.
    before: String,
}

impl Store {
    /// Replaces a file's thumbnail. `default_quota` is in bytes.
    pub async fn update_thumbnail(
        &self,
        account: AccountId,
        request: &ThumbnailRequest,
        default_quota: i64,
    ) -> Result<(), ChangeError> {
        let mut tx = self.begin_for(account, Reach::files(&[request.file_id])).await?;
        let requests = std::slice::from_ref(request);
        for replaced in self.replace_thumbnails(&mut tx, account, requests, default_quota).await? {
            replaced?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The same inside a transaction that has the files in its reach. Says of each its file's live membership, `None` where that has
    /// several or none. The thumbnails before go after a day: whoever was just told where one is may still read it.
    pub(super) async fn replace_thumbnails(
        &self,
        tx: &mut Tx,
        account: AccountId,
        requests: &[ThumbnailRequest],
        default_quota: i64,
    ) -> Result<Vec<Result<Option<OnlyMembership>, ChangeError>>, ChangeError> {
        let mut replaced = Vec::with_capacity(requests.len());
        for together in distinct(requests) {
            replaced.extend(self.replace_distinct(tx, account, together, default_quota).await?);
        }
        Ok(replaced)
    }

    /// No two are of the same file, and no two name the same object.
    async fn replace_distinct(
        &self,
        tx: &mut Tx,
        account: AccountId,
        requests: &[ThumbnailRequest],
        default_quota: i64,
    ) -> Result<Vec<Result<Option<OnlyMembership>, ChangeError>>, ChangeError> {
        let mut usage = locked_usage(tx, account).await?;
        let files: Vec<FileId> = requests.iter().map(|request| request.file_id).collect();
        let keys: BTreeSet<String> =
            requests.iter().map(|request| request.thumbnail.object_key.0.clone()).collect();
        let keys: Vec<String> = keys.into_iter().collect();
        let objects = lock_objects(tx, &keys).await?;
        let stored = stored_files(tx, &files).await?;
        let mut decisions = Vec::with_capacity(requests.len());
        for request in requests {
            let object = objects.get(&request.thumbnail.object_key.0);
            let decision =
                decide(account, request, stored.get(&request.file_id), object, usage, default_quota);
            if let Ok(Some(replacement)) = &decision {
                usage.used += replacement.more;
            }
            decisions.push(decision);
        }
        let chosen: Vec<&Replacement<'_>> =
            decisions.iter().filter_map(|decision| decision.as_ref().ok()?.as_ref()).collect();
        self.write_replacements(tx, account, &chosen).await?;
        let only = only_memberships(tx, &files).await?;
        let answer = |(decision, file): (Result<_, _>, _)| decision.map(|_| only.get(&file).copied());
        Ok(decisions.into_iter().zip(files).map(answer).collect())
    }

    async fn write_replacements(
        &self,
        tx: &mut Tx,
        account: AccountId,
        chosen: &[&Replacement<'_>],
    ) -> Result<(), ChangeError> {
        if chosen.is_empty() {
            return Ok(());
        }
        let before: Vec<&str> = chosen.iter().map(|replacement| replacement.before.as_str()).collect();
        discard(tx, &before, self.now() + DAY_MICROS).await?;
        let files: Vec<FileId> = chosen.iter().map(|replacement| replacement.request.file_id).collect();
        let version = self.bump_files(tx, &files).await?;
        for chunk in chosen.chunks(ROWS_AT_ONCE) {
            rewrite(tx, chunk, version).await?;
        }
        let new = chosen
            .iter()
            .map(|Replacement { request: new, .. }| (new.file_id, new.thumbnail.object_key.0.as_str()));
        claim(tx, &new.collect::<Vec<_>>()).await?;
        change_usage(tx, account, chosen.iter().map(|replacement| replacement.more).sum()).await?;
        Ok(())
    }
}

/// As many at a time as come before one that names a file or an object again: that one sees what became of those before it.
fn distinct(mut left: &[ThumbnailRequest]) -> Vec<&[ThumbnailRequest]> {
    let mut runs = Vec::new();
    while !left.is_empty() {
        let (mut files, mut objects) = (HashSet::new(), HashSet::new());
        let is_new = |request: &&ThumbnailRequest| {
            files.insert(request.file_id) & objects.insert(request.thumbnail.object_key.0.clone())
        };
        let (run, rest) = left.split_at(left.iter().take_while(is_new).count());
        runs.push(run);
        left = rest;
    }
    runs
}

/// Whether one is replaced, in the order in which stock clients expect their answers; `None` where the file has it already. Pure.
fn decide<'r>(
    account: AccountId,
    request: &'r ThumbnailRequest,
    stored: Option<&StoredFile>,
    object: Option<&KnownObject>,
    usage: Usage,
    default_quota: i64,
) -> Result<Option<Replacement<'r>>, ChangeError> {
    let thumbnail = &request.thumbnail;
    let minted = ObjectAddress::parse(&thumbnail.object_key);
    if minted.is_none_or(|address| address.account != account) || thumbnail.decryption_header.is_empty() {
        return Err(ChangeError::Malformed("the thumbnail was not minted for this account"));
    }
    let stored = stored.ok_or(ChangeError::NotFound)?;
    if stored.owner != account {
        return Err(ChangeError::NotOwner);
    }
    if stored.is_purged {
        return Err(ChangeError::NotFound);
    }
    if stored.thumbnail_object == thumbnail.object_key.0 {
        return Ok(None);
    }
    if is_of_another(request, stored) {
        return Err(ChangeError::OtherOriginal);
    }
    let object = object.ok_or(ChangeError::ObjectMissing)?;
    let size = unclaimed_size(&object.state, object.length, thumbnail)?;
    let more = size - stored.thumbnail_size;
    if !usage.allows_update(more, object.only_mends(), default_quota) {
        return Err(ChangeError::QuotaExceeded);
    }
    Ok(Some(Replacement { request, size, more, before: stored.thumbnail_object.clone() }))
}

/// Whether it was made of something else than what the file is now. Stock clients do not say what theirs are of.
fn is_of_another(request: &ThumbnailRequest, stored: &StoredFile) -> bool {
    request.if_original.as_ref().is_some_and(|original| original.0 != stored.file_header)
}

/// What an object's key is known by where no more of it need be kept: 64 bits of its BLAKE3.
pub(super) fn mark_of(key: &str) -> i64 {
    let hash = blake3::hash(key.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    i64::from_le_bytes(*first)
}

/// Lets objects go at a time, in µs since the epoch.
pub(super) async fn discard(tx: &mut Tx, keys: &[&str], when: i64) -> Result<(), StoreError> {
    for chunk in keys.chunks(LIST_MAX) {
        let text = format!(
            "UPDATE objects SET state = 'garbage', expires_at = $1 WHERE key IN ({})",
            padded_list(2, chunk)
        );
        let query = long_statement(tx.engine(), text, true).bind(when);
        let query = padded(chunk).fold(query, |query, key| query.bind((*key).to_owned()));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// The files' rows name their new thumbnails, and remember which was the first.
async fn rewrite(tx: &mut Tx, chosen: &[&Replacement<'_>], version: Version) -> Result<(), StoreError> {
    let text = format!(
        "WITH new (id, object, header, size, before) AS (VALUES {})
         UPDATE files SET thumbnail_object = new.object, thumbnail_header = new.header,
                          thumbnail_size = new.size, version = ${},
                          first_thumbnail = coalesce(files.first_thumbnail, new.before)
         FROM new WHERE files.id = new.id",
        rows(1, chosen.len(), 5),
        chosen.len() * 5 + 1
    );
    let mut query = long_statement(tx.engine(), text, chosen.len() == ROWS_AT_ONCE);
    for Replacement { request: ThumbnailRequest { file_id, thumbnail, .. }, size, before, .. } in chosen {
        query = query
            .bind(file_id.0)
            .bind(thumbnail.object_key.0.clone())
            .bind(thumbnail.decryption_header.0.clone())
            .bind(*size)
            .bind(mark_of(before));
    }
    query.bind(version.0).execute(&mut **tx).await?;
    Ok(())
}

/// Each file's live membership, of those that have one and no more.
async fn only_memberships(
    tx: &mut Tx,
    files: &[FileId],
) -> Result<HashMap<FileId, OnlyMembership>, StoreError> {
    let mut only = HashMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT file_id, max(collection_id), max(version) FROM memberships WHERE is_deleted = 0 AND file_id IN ({})
             GROUP BY file_id HAVING count(*) = 1",
            padded_list(1, chunk)
        );
        let query = long_statement(tx.engine(), text, true);
        let query = padded(chunk).fold(query, |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            let collection = CollectionId(row.try_get(1)?);
            let membership = OnlyMembership { collection, version: Version(row.try_get(2)?) };
            only.insert(FileId(row.try_get(0)?), membership);
        }
    }
    Ok(only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_protocol::upload::ObjectReference;
    use darkslide_protocol::{ObjectKey, Opaque};

    #[test]
    fn what_is_named_again_comes_behind_what_was_named_first() {
        let request = |file: i64, object: &str| ThumbnailRequest {
            file_id: FileId(file),
            thumbnail: ObjectReference {
                object_key: ObjectKey(object.to_owned()),
                decryption_header: Opaque("header".to_owned()),
                size: None,
            },
            if_original: None,
        };
        let lengths = |requests: &[(i64, &str)]| -> Vec<usize> {
            let requests: Vec<_> = requests.iter().map(|(file, object)| request(*file, object)).collect();
            distinct(&requests).into_iter().map(<[_]>::len).collect()
        };
        assert_eq!(lengths(&[]), [0_usize; 0]);
        assert_eq!(lengths(&[(1, "a"), (2, "b"), (3, "c")]), [3]);
        assert_eq!(lengths(&[(1, "a"), (2, "b"), (1, "c"), (2, "d")]), [2, 2], "files");
        assert_eq!(lengths(&[(1, "a"), (2, "a"), (3, "a")]), [1, 1, 1], "objects");
        assert_eq!(lengths(&[(1, "a"), (1, "a"), (2, "b")]), [1, 2]);
    }
}
