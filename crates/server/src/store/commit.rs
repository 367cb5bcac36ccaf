//! One file's commit and its updates: stored objects become its contents, in one transaction.
//!
//! A commit is a batch of one (`batch`). A request that is repeated is answered as the first time; one that names the same objects
//! for something else is refused.

use super::batch::{BatchRequest, Committed, Created, KnownObject, lock_objects, tagged_files};
use super::change::{ChangeError, Touch, Where, change_usage, locked_usage};
use super::clocks::Reach;
use super::sql::{ROWS_AT_ONCE, long_statement, rows};
use super::thumbnails::discard;
use super::uploads::ObjectAddress;
use super::versions::MARGIN_MICROS;
use super::{Store, StoreError, Tx, conditions};
use darkslide_protocol::file::{
    CommitRequest, File, FileInfo, FileObject, Metadata, UpdateRequest, UpdateResponse,
};
use darkslide_protocol::limits::{DAY_MICROS, OBJECT_BYTES_MAX};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, ContentTag, FileId, Opaque, Version};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// How long the earlier contents of an updated file can be brought back: 30 days.
pub const EARLIER_CONTENTS_MICROS: i64 = 30 * DAY_MICROS;

/// What a commit or an update brings.
#[derive(Clone, Copy)]
pub(super) struct Contents<'r> {
    pub(super) file: &'r ObjectReference,
    pub(super) thumbnail: &'r ObjectReference,
    pub(super) metadata: &'r Metadata,
}

/// A file's contents as the database has them.
pub(super) struct StoredFile {
    pub(super) id: FileId,
    pub(super) owner: AccountId,
    file_object: String,
    pub(super) file_header: String,
    pub(super) file_size: i64,
    pub(super) thumbnail_object: String,
    thumbnail_header: String,
    pub(super) thumbnail_size: i64,
    metadata: String,
    metadata_header: String,
    pub(super) is_purged: bool,
    pub(super) version: Version,
    /// What its first thumbnail's key is known by, once that was replaced.
    pub(super) first_thumbnail: Option<i64>,
}

/// Both objects' sizes, in bytes of ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) file: i64,
    pub(super) thumbnail: i64,
}

impl Sizes {
    pub(super) fn sum(self) -> i64 {
        self.file + self.thumbnail
    }
}

impl Contents<'_> {
    pub(super) fn check(&self, account: AccountId) -> Result<(), ChangeError> {
        for reference in [self.file, self.thumbnail] {
            let address = ObjectAddress::parse(&reference.object_key);
            if address.is_none_or(|address| address.account != account) {
                return Err(ChangeError::Malformed("an object key was not minted for this account"));
            }
        }
        if self.file.object_key == self.thumbnail.object_key {
            return Err(ChangeError::Malformed("file and thumbnail are the same object"));
        }
        let headers = [&self.file.decryption_header, &self.thumbnail.decryption_header];
        let no_metadata = self.metadata.encrypted_data.as_ref().is_none_or(Opaque::is_empty);
        if headers.iter().any(|header| header.is_empty())
            || no_metadata
            || self.metadata.decryption_header.is_empty()
        {
            return Err(ChangeError::Malformed("a header or the metadata is missing"));
        }
        Ok(())
    }

    fn metadata_text(&self) -> &str {
        self.metadata.encrypted_data.as_ref().map_or("", |data| data.0.as_str())
    }

    /// Whether they are what is stored: the request is a repetition.
    pub(super) fn are_those_of(&self, stored: &StoredFile) -> bool {
        self.are_but_for_the_thumbnail(stored)
            && stored.thumbnail_object == self.thumbnail.object_key.0
            && stored.thumbnail_header == self.thumbnail.decryption_header.0
            && is_size(self.thumbnail, stored.thumbnail_size)
    }

    /// The same, whatever the thumbnail is.
    pub(super) fn are_but_for_the_thumbnail(&self, stored: &StoredFile) -> bool {
        stored.file_object == self.file.object_key.0
            && stored.file_header == self.file.decryption_header.0
            && stored.metadata == self.metadata_text()
            && stored.metadata_header == self.metadata.decryption_header.0
            && is_size(self.file, stored.file_size)
    }
}

/// Whether a client says that size (in bytes), or none.
fn is_size(reference: &ObjectReference, size: i64) -> bool {
    reference.size.is_none_or(|said| said == 0 || said == size)
}

impl Store {
    /// Makes a file of two stored objects. `default_quota` is in bytes.
    pub async fn commit_file(
        &self,
        account: AccountId,
        request: &CommitRequest,
        default_quota: i64,
    ) -> Result<File, ChangeError> {
        let outcome = self
            .commit_batch(
                account,
                BatchRequest { objects: &[], commits: std::slice::from_ref(request), thumbnails: &[] },
                default_quota,
            )
            .await?;
        match outcome.commits.into_iter().next().ok_or(ChangeError::NotFound)?? {
            Committed::Created(created) if created.has_its_thumbnail => Ok(answer(account, request, created)),
            Committed::Created(created) => {
                let file = self.any_membership(account, created.id).await?;
                Ok(file.unwrap_or_else(|| answer(account, request, created)))
            }
            Committed::Existing(file) => {
                self.any_membership(account, file).await?.ok_or(ChangeError::NotFound)
            }
        }
    }

    /// Replaces a file's contents. The earlier ones are there for [`EARLIER_CONTENTS_MICROS`], unless they are known to be damaged and
    /// the new ones are the same.
    pub async fn update_file(
        &self,
        account: AccountId,
        request: &UpdateRequest,
        default_quota: i64,
    ) -> Result<UpdateResponse, ChangeError> {
        let contents =
            Contents { file: &request.file, thumbnail: &request.thumbnail, metadata: &request.metadata };
        contents.check(account)?;
        let mut tx = self.begin_for(account, Reach::files(&[request.id])).await?;
        let usage = locked_usage(&mut tx, account).await?;
        let stored = file_by_id(&mut tx, request.id).await?.ok_or(ChangeError::NotFound)?;
        if stored.owner != account {
            return Err(ChangeError::NotOwner);
        }
        if stored.is_purged {
            return Err(ChangeError::NotFound);
        }
        if contents.are_those_of(&stored) {
            return Ok(UpdateResponse { id: stored.id, updation_time: stored.version });
        }
        if let Some(seen) = request.if_version {
            conditions::must_be_as_seen(&mut tx, request.id, seen).await?;
        }
        let (sizes, only_mends) = stored_sizes(&mut tx, contents).await?;
        let more = sizes.sum() - stored.file_size - stored.thumbnail_size;
        let is_mended = is_mended(&mut tx, &stored, request).await?;
        if !usage.allows_update(more, only_mends && !is_mended, default_quota) {
            return Err(ChangeError::QuotaExceeded);
        }
        if is_mended {
            discard(&mut tx, &[&stored.file_object, &stored.thumbnail_object], self.now()).await?;
        } else {
            keep_earlier(&mut tx, &stored, self.now()).await?;
        }
        let version = self.bump_file(&mut tx, request.id).await?;
        replace_contents(&mut tx, request.id, contents, sizes, version).await?;
        replace_tag(&mut tx, account, request).await?;
        claim_objects(&mut tx, request.id, contents).await?;
        change_usage(&mut tx, account, more).await?;
        tx.commit().await?;
        Ok(UpdateResponse { id: request.id, updation_time: version })
    }

    /// Numbers all memberships of a file anew, or its place in the trash, and tells the last version.
    pub(super) async fn bump_file(&self, tx: &mut Tx, file: FileId) -> Result<Version, ChangeError> {
        self.bump_files(tx, &[file]).await
    }

    /// The same for many.
    pub(super) async fn bump_files(&self, tx: &mut Tx, files: &[FileId]) -> Result<Version, ChangeError> {
        let trashed = self.touch_trash(tx, files).await?;
        let live = self.touch_memberships(tx, files, Where::Everywhere, Touch::Bump).await?;
        match live.or(trashed) {
            Some(version) => Ok(version),
            None => Ok(self.allocate_versions(tx, 1).await?),
        }
    }
}

pub(super) fn check_envelope(request: &CommitRequest) -> Result<(), ChangeError> {
    if request.encrypted_key.is_empty() || request.key_decryption_nonce.is_empty() {
        return Err(ChangeError::Malformed("the file's key is missing"));
    }
    let envelopes = [&request.magic_metadata, &request.pub_magic_metadata];
    if envelopes.iter().any(|magic| magic.as_ref().is_some_and(|magic| !magic.is_complete())) {
        return Err(ChangeError::Malformed("magic metadata is incomplete"));
    }
    Ok(())
}

/// The file as its commit's answer shows it: what was sent, and what the server adds.
fn answer(account: AccountId, request: &CommitRequest, created: Created) -> File {
    let Created { id, version, added_at, sizes, .. } = created;
    let object = |reference: &ObjectReference, size| FileObject {
        object_key: Some(reference.object_key.clone()),
        decryption_header: reference.decryption_header.clone(),
        size,
    };
    File {
        id,
        owner_id: account,
        collection_id: request.collection_id,
        collection_owner_id: Some(account),
        collection_added_at: Some(added_at),
        encrypted_key: request.encrypted_key.clone(),
        key_decryption_nonce: request.key_decryption_nonce.clone(),
        file: object(&request.file, sizes.file),
        thumbnail: object(&request.thumbnail, sizes.thumbnail),
        metadata: request.metadata.clone(),
        is_deleted: false,
        updation_time: version,
        magic_metadata: request.magic_metadata.clone(),
        pub_magic_metadata: request.pub_magic_metadata.clone(),
        info: Some(FileInfo { file_size: sizes.file, thumb_size: sizes.thumbnail }),
    }
}

/// The sizes of both objects, when both are stored, unclaimed, and as long as the client says; and whether one of them was let in to mend a
/// file and for nothing else.
async fn stored_sizes(tx: &mut Tx, contents: Contents<'_>) -> Result<(Sizes, bool), ChangeError> {
    let references = [contents.file, contents.thumbnail];
    let mut keys = references.map(|reference| reference.object_key.0.clone());
    keys.sort_unstable();
    let known = lock_objects(tx, &keys).await?;
    let size_of = |reference: &ObjectReference| {
        let object = known.get(&reference.object_key.0).ok_or(ChangeError::ObjectMissing)?;
        unclaimed_size(&object.state, object.length, reference)
    };
    let sizes = Sizes { file: size_of(contents.file)?, thumbnail: size_of(contents.thumbnail)? };
    Ok((sizes, known.values().any(KnownObject::only_mends)))
}

/// The size of an object in this state and of this length, when no file has it.
pub(super) fn unclaimed_size(
    state: &str,
    length: Option<i64>,
    reference: &ObjectReference,
) -> Result<i64, ChangeError> {
    match (state, length) {
        ("stored", Some(size)) => agreed_size(size, reference),
        ("committed", _) => Err(ChangeError::Malformed("the object belongs to another file")),
        _ => Err(ChangeError::ObjectMissing),
    }
}

/// The size of a stored object, when one may be so large and the client says the same.
pub(super) fn agreed_size(size: i64, reference: &ObjectReference) -> Result<i64, ChangeError> {
    if u64::try_from(size).is_ok_and(|size| size > OBJECT_BYTES_MAX) {
        return Err(ChangeError::TooLarge);
    }
    if reference.size.is_some_and(|said| said != 0 && said != size) {
        return Err(ChangeError::Malformed("the object has another size"));
    }
    Ok(size)
}

pub(super) async fn file_by_id(tx: &mut Tx, file: FileId) -> Result<Option<StoredFile>, ChangeError> {
    let row = sqlx::query("SELECT * FROM files WHERE id = $1").bind(file.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(stored_file).transpose()
}

pub(super) fn stored_file(row: &AnyRow) -> Result<StoredFile, ChangeError> {
    Ok(StoredFile {
        id: FileId(row.try_get("id")?),
        owner: AccountId(row.try_get("owner_id")?),
        file_object: row.try_get("file_object")?,
        file_header: row.try_get("file_header")?,
        file_size: row.try_get("file_size")?,
        thumbnail_object: row.try_get("thumbnail_object")?,
        thumbnail_header: row.try_get("thumbnail_header")?,
        thumbnail_size: row.try_get("thumbnail_size")?,
        metadata: row.try_get("metadata")?,
        metadata_header: row.try_get("metadata_header")?,
        is_purged: row.try_get::<i64, _>("is_purged")? != 0,
        version: Version(row.try_get("version")?),
        first_thumbnail: row.try_get("first_thumbnail")?,
    })
}

pub(super) async fn claim_objects(
    tx: &mut Tx,
    file: FileId,
    contents: Contents<'_>,
) -> Result<(), ChangeError> {
    let keys = [&contents.file.object_key, &contents.thumbnail.object_key];
    Ok(claim(tx, &keys.map(|key| (file, key.0.as_str()))).await?)
}

/// Objects belong to these files now.
pub(super) async fn claim(tx: &mut Tx, claimed: &[(FileId, &str)]) -> Result<(), StoreError> {
    for chunk in claimed.chunks(ROWS_AT_ONCE) {
        let text = format!(
            "WITH new (key, file) AS (VALUES {})
             UPDATE objects SET state = 'committed', file_id = new.file FROM new WHERE objects.key = new.key",
            rows(1, chunk.len(), 2)
        );
        let query = long_statement(tx.engine(), text, chunk.len() == ROWS_AT_ONCE);
        let query = chunk.iter().fold(query, |query, (file, key)| query.bind((*key).to_owned()).bind(file.0));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

pub(super) async fn replace_contents(
    tx: &mut Tx,
    file: FileId,
    contents: Contents<'_>,
    sizes: Sizes,
    version: Version,
) -> Result<(), ChangeError> {
    sqlx::query(
        "UPDATE files SET file_object = $1, file_header = $2, file_size = $3, thumbnail_object = $4,
                          thumbnail_header = $5, thumbnail_size = $6, metadata = $7, metadata_header = $8,
                          version = $9
         WHERE id = $10",
    )
    .bind(&contents.file.object_key.0)
    .bind(&contents.file.decryption_header.0)
    .bind(sizes.file)
    .bind(&contents.thumbnail.object_key.0)
    .bind(&contents.thumbnail.decryption_header.0)
    .bind(sizes.thumbnail)
    .bind(contents.metadata_text())
    .bind(&contents.metadata.decryption_header.0)
    .bind(version.0)
    .bind(file.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The tag goes with the contents that it was of. The new one is kept unless another live file has it.
async fn replace_tag(tx: &mut Tx, account: AccountId, request: &UpdateRequest) -> Result<(), ChangeError> {
    let mut tag = request.content_tag.as_ref().map(ContentTag::as_str);
    if let Some(wanted) = tag {
        let holder = tagged_files(tx, account, &[wanted]).await?.remove(wanted);
        tag = tag.filter(|_| holder.is_none_or(|holder| holder == request.id));
    }
    sqlx::query("UPDATE files SET content_tag = $1 WHERE id = $2")
        .bind(tag)
        .bind(request.id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether an original that is known to be damaged or lost is replaced by the same content, as its tag says: what is left of it is nobody's
/// earlier version.
async fn is_mended(tx: &mut Tx, stored: &StoredFile, request: &UpdateRequest) -> Result<bool, StoreError> {
    let Some(tag) = &request.content_tag else { return Ok(false) };
    let row = sqlx::query(
        "SELECT 1 FROM files LEFT JOIN objects ON objects.key = files.file_object
         WHERE files.id = $1 AND files.content_tag = $2 AND (objects.key IS NULL OR objects.damaged_at IS NOT NULL)",
    )
    .bind(stored.id.0)
    .bind(tag.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.is_some())
}

/// Writes down what a file's contents were, and lets both objects go when the retention is over.
pub(super) async fn keep_earlier(tx: &mut Tx, stored: &StoredFile, now: i64) -> Result<(), ChangeError> {
    keep_row(tx, stored, now).await?;
    sqlx::query("UPDATE objects SET state = 'earlier', expires_at = $1 WHERE key IN ($2, $3)")
        // They are there for as long as they are offered, and a little longer.
        .bind(now + EARLIER_CONTENTS_MICROS + MARGIN_MICROS)
        .bind(&stored.file_object)
        .bind(&stored.thumbnail_object)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn keep_row(tx: &mut Tx, stored: &StoredFile, now: i64) -> Result<(), ChangeError> {
    sqlx::query(
        "INSERT INTO file_versions (file_id, version, file_object, file_header, file_size, thumbnail_object,
                                    thumbnail_header, thumbnail_size, metadata, metadata_header, replaced_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(stored.id.0)
    .bind(stored.version.0)
    .bind(&stored.file_object)
    .bind(&stored.file_header)
    .bind(stored.file_size)
    .bind(&stored.thumbnail_object)
    .bind(&stored.thumbnail_header)
    .bind(stored.thumbnail_size)
    .bind(&stored.metadata)
    .bind(&stored.metadata_header)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
