//! Earlier contents of edited files: which there are, where their bytes are, and bringing them back.
//!
//! Bringing back is an update whose objects are stored already: what the file is now becomes an earlier version in the same
//! transaction. What was brought back stays noted with the version that came of it, so that the same request again does nothing.
//!
//! What is known not to be whole is not brought back: the file would lose contents that are there for some that are not.

use super::change::{ChangeError, change_usage, locked_usage};
use super::checks::FileObjects;
use super::clocks::Reach;
use super::commit::{Contents, Sizes, StoredFile, claim_objects, file_by_id, keep_earlier, replace_contents};
use super::files::Which;
use super::uploads::ObjectAddress;
use super::{Store, Tx};
use darkslide_protocol::file::{FileObject, Metadata, UpdateResponse};
use darkslide_protocol::receipt::Damage;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::version::{EarlierVersion, EarlierVersions};
use darkslide_protocol::{AccountId, FileId, ObjectKey, Opaque, Version};
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};

/// How long before its bytes may go an earlier version is no longer offered, in microseconds: ten minutes, more than clocks of several
/// servers differ and than a removal that has begun may take.
pub(super) const MARGIN_MICROS: i64 = 10 * 60 * 1_000_000;

/// Earlier contents with when their bytes go (those that are still somebody's never do) and what is known against them. An object
/// without a row is lost, for rows go together.
const EARLIER: &str =
    "SELECT earlier.*, original.state AS original_state, original.expires_at AS original_expires_at,
        thumbnail.state AS thumbnail_state, thumbnail.expires_at AS thumbnail_expires_at,
        CASE WHEN original.key IS NULL THEN 'missing' ELSE original.damage END AS original_damage,
        CASE WHEN thumbnail.key IS NULL THEN 'missing' ELSE thumbnail.damage END AS thumbnail_damage
    FROM file_versions AS earlier
    LEFT JOIN objects AS original ON original.key = earlier.file_object
    LEFT JOIN objects AS thumbnail ON thumbnail.key = earlier.thumbnail_object";

impl Store {
    /// The earlier contents of a file that can be brought back, the latest first. `NotFound` for a file that is purged, or somebody
    /// else's.
    pub async fn earlier_versions(
        &self,
        account: AccountId,
        file_id: FileId,
    ) -> Result<EarlierVersions, ChangeError> {
        self.must_own_unpurged(account, file_id).await?;
        let text = format!(
            "{EARLIER} WHERE earlier.file_id = $1 AND restored_as IS NULL ORDER BY earlier.version DESC"
        );
        let rows = super::sql::statement(text).bind(file_id.0).fetch_all(self.reader()).await?;
        let now = self.now();
        let mut versions = Vec::new();
        for row in &rows {
            if let Some(expires_at) = expiry(row, now)? {
                versions.push(earlier_version(row, expires_at)?);
            }
        }
        Ok(EarlierVersions { file_id, versions })
    }

    /// Where the bytes of an earlier version are.
    pub async fn object_of_version(
        &self,
        account: AccountId,
        file: FileId,
        version: Version,
        which: Which,
    ) -> Result<ObjectAddress, ChangeError> {
        let row = self.offered(account, file, version).await?;
        let key = ObjectKey(row.try_get(match which {
            Which::Original => "file_object",
            Which::Thumbnail => "thumbnail_object",
        })?);
        ObjectAddress::parse(&key).ok_or(ChangeError::NotFound)
    }

    /// Both objects of an earlier version, for who reads them back; `None` where there is none that can be brought back, or it is somebody
    /// else's.
    pub async fn objects_of_version(
        &self,
        account: AccountId,
        file: FileId,
        version: Version,
    ) -> Result<Option<FileObjects>, ChangeError> {
        let row = match self.offered(account, file, version).await {
            Ok(row) => row,
            Err(ChangeError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let contents = earlier_contents(&row)?;
        Ok(Some(FileObjects {
            is_purged: false,
            original: contents.file.object_key,
            thumbnail: contents.thumbnail.object_key,
            original_size: contents.sizes.file,
            thumbnail_size: contents.sizes.thumbnail,
        }))
    }

    /// An earlier version that can be brought back, and was not; `NotFound` otherwise.
    async fn offered(
        &self,
        account: AccountId,
        file: FileId,
        version: Version,
    ) -> Result<AnyRow, ChangeError> {
        self.must_own_unpurged(account, file).await?;
        let row = earlier_row(self.reader(), file, version).await?;
        if row.try_get::<Option<i64>, _>("restored_as")?.is_some() {
            return Err(ChangeError::NotFound);
        }
        expiry(&row, self.now())?.ok_or(ChangeError::NotFound)?;
        Ok(row)
    }

    /// The objects that a restoration would make the file's: to be read back before it. None when it was carried out before.
    pub async fn objects_to_restore(
        &self,
        account: AccountId,
        file: FileId,
        version: Version,
    ) -> Result<Vec<ObjectKey>, ChangeError> {
        self.must_own_unpurged(account, file).await?;
        let row = earlier_row(self.reader(), file, version).await?;
        if row.try_get::<Option<i64>, _>("restored_as")?.is_some() {
            return Ok(Vec::new());
        }
        expiry(&row, self.now())?.ok_or(ChangeError::NotFound)?;
        let contents = earlier_contents(&row)?;
        Ok(vec![contents.file.object_key, contents.thumbnail.object_key])
    }

    /// Refuses with `NotFound` unless the file is the account's and not purged. Whom a file is shared with sees what it is, not what it
    /// was.
    async fn must_own_unpurged(&self, account: AccountId, file: FileId) -> Result<(), ChangeError> {
        let row = sqlx::query("SELECT 1 FROM files WHERE id = $1 AND owner_id = $2 AND is_purged = 0")
            .bind(file.0)
            .bind(account.0)
            .fetch_optional(self.reader())
            .await?;
        row.map(drop).ok_or(ChangeError::NotFound)
    }

    /// Makes an earlier version of a file what the file is, unless something is known against its bytes: look at
    /// [`Store::objects_to_restore`] first. `default_quota` is in bytes. Repeated, it is answered as the first time and changes nothing,
    /// whatever became of the file since.
    pub async fn restore_version(
        &self,
        account: AccountId,
        file: FileId,
        version: Version,
        default_quota: i64,
    ) -> Result<UpdateResponse, ChangeError> {
        let mut tx = self.begin_for(account, Reach::files(&[file])).await?;
        let usage = locked_usage(&mut tx, account).await?;
        let stored = file_by_id(&mut tx, file).await?.ok_or(ChangeError::NotFound)?;
        if stored.owner != account || stored.is_purged {
            return Err(ChangeError::NotFound);
        }
        let earlier = match find(&mut tx, file, version, self.now()).await? {
            Earlier::RestoredAs(updation_time) => return Ok(UpdateResponse { id: file, updation_time }),
            Earlier::There(earlier) => earlier,
        };
        let more = earlier.sizes.sum() - stored.file_size - stored.thumbnail_size;
        if more > 0 && !usage.has_room_for(more, default_quota) {
            return Err(ChangeError::QuotaExceeded);
        }
        let updation_time = self.swap(&mut tx, &stored, &earlier).await?;
        note_restored(&mut tx, file, version, updation_time).await?;
        change_usage(&mut tx, account, more).await?;
        tx.commit().await?;
        Ok(UpdateResponse { id: file, updation_time })
    }

    /// What the file is becomes an earlier version; what it was becomes what it is. In this order, for both may share an object.
    async fn swap(
        &self,
        tx: &mut Tx,
        stored: &StoredFile,
        earlier: &EarlierContents,
    ) -> Result<Version, ChangeError> {
        let contents =
            Contents { file: &earlier.file, thumbnail: &earlier.thumbnail, metadata: &earlier.metadata };
        keep_earlier(tx, stored, self.now()).await?;
        let version = self.bump_file(tx, stored.id).await?;
        replace_contents(tx, stored.id, contents, earlier.sizes, version).await?;
        claim_objects(tx, stored.id, contents).await?;
        // A tag is that of the content that it came with, and is not kept for earlier ones.
        sqlx::query("UPDATE files SET content_tag = NULL WHERE id = $1")
            .bind(stored.id.0)
            .execute(&mut **tx)
            .await?;
        Ok(version)
    }
}

/// What an earlier version consists of.
struct EarlierContents {
    file: ObjectReference,
    thumbnail: ObjectReference,
    metadata: Metadata,
    sizes: Sizes,
}

/// What there is under a version's number.
enum Earlier {
    There(EarlierContents),
    RestoredAs(Version),
}

/// Finds an earlier version and locks both its objects, so that nothing removes them until the transaction ends.
async fn find(tx: &mut Tx, file: FileId, version: Version, now: i64) -> Result<Earlier, ChangeError> {
    sqlx::query(
        "UPDATE objects SET state = state WHERE key IN
           (SELECT file_object FROM file_versions WHERE file_id = $1 AND version = $2
            UNION SELECT thumbnail_object FROM file_versions WHERE file_id = $1 AND version = $2)",
    )
    .bind(file.0)
    .bind(version.0)
    .execute(&mut **tx)
    .await?;
    let row = earlier_row(&mut **tx, file, version).await?;
    if let Some(restored) = row.try_get::<Option<i64>, _>("restored_as")? {
        return Ok(Earlier::RestoredAs(Version(restored)));
    }
    expiry(&row, now)?.ok_or(ChangeError::NotFound)?;
    for column in ["original_damage", "thumbnail_damage"] {
        if let Some(damage) = row.try_get::<Option<String>, _>(column)? {
            return Err(ChangeError::VersionDamaged(Damage::of_name(&damage)));
        }
    }
    Ok(Earlier::There(earlier_contents(&row)?))
}

/// Earlier contents, whether or not they were brought back.
async fn earlier_row<'e>(
    reader: impl Executor<'e, Database = Any>,
    file: FileId,
    version: Version,
) -> Result<AnyRow, ChangeError> {
    let text = format!("{EARLIER} WHERE earlier.file_id = $1 AND earlier.version = $2");
    let query = super::sql::statement(text).bind(file.0).bind(version.0);
    query.fetch_optional(reader).await?.ok_or(ChangeError::NotFound)
}

/// When an earlier version is no longer offered; `None` when it is not now. Bytes that belong to a file stay.
fn expiry(row: &AnyRow, now: i64) -> Result<Option<i64>, ChangeError> {
    let mut expires_at = i64::MAX;
    for which in ["original", "thumbnail"] {
        match row.try_get::<Option<String>, _>(&*format!("{which}_state"))?.as_deref() {
            Some("committed") | None => {}
            Some("earlier") => {
                let at: i64 = row.try_get(&*format!("{which}_expires_at"))?;
                expires_at = expires_at.min(at - MARGIN_MICROS);
            }
            Some(_) => return Ok(None),
        }
    }
    // Where neither ever goes, the row itself is bounded as all earlier versions are.
    let replaced_at: i64 = row.try_get("replaced_at")?;
    let expires_at = expires_at.min(replaced_at + super::commit::EARLIER_CONTENTS_MICROS);
    Ok((expires_at > now).then_some(expires_at))
}

fn earlier_version(row: &AnyRow, expires_at: i64) -> Result<EarlierVersion, ChangeError> {
    let contents = earlier_contents(row)?;
    let object = |reference: ObjectReference, size| FileObject {
        object_key: None,
        decryption_header: reference.decryption_header,
        size,
    };
    Ok(EarlierVersion {
        version: Version(row.try_get("version")?),
        file: object(contents.file, contents.sizes.file),
        thumbnail: object(contents.thumbnail, contents.sizes.thumbnail),
        metadata: contents.metadata,
        replaced_at: row.try_get("replaced_at")?,
        expires_at,
    })
}

fn earlier_contents(row: &AnyRow) -> Result<EarlierContents, ChangeError> {
    let object = |key: &str, header: &str, size: i64| -> Result<ObjectReference, ChangeError> {
        Ok(ObjectReference {
            object_key: ObjectKey(row.try_get(key)?),
            decryption_header: Opaque(row.try_get(header)?),
            size: Some(size),
        })
    };
    let sizes = Sizes { file: row.try_get("file_size")?, thumbnail: row.try_get("thumbnail_size")? };
    Ok(EarlierContents {
        file: object("file_object", "file_header", sizes.file)?,
        thumbnail: object("thumbnail_object", "thumbnail_header", sizes.thumbnail)?,
        metadata: Metadata {
            encrypted_data: Some(Opaque(row.try_get("metadata")?)),
            decryption_header: Opaque(row.try_get("metadata_header")?),
            size: 0,
        },
        sizes,
    })
}

async fn note_restored(
    tx: &mut Tx,
    file: FileId,
    version: Version,
    restored_as: Version,
) -> Result<(), ChangeError> {
    sqlx::query("UPDATE file_versions SET restored_as = $1 WHERE file_id = $2 AND version = $3")
        .bind(restored_as.0)
        .bind(file.0)
        .bind(version.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
