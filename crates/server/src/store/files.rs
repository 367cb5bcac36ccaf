//! Files and memberships as they are read: the diff of a collection, sizes, and where the bytes are.
//!
//! Every question names who asks; what is somebody else's is not there.

use super::change::{ChangeError, collection_state};
use super::sql::{LIST_MAX, list, statement};
use super::uploads::ObjectAddress;
use super::{Store, StoreError};
use darkslide_protocol::file::{File, FileDiff, FileInfo, FileObject, FilesInfoEntry, Metadata};
use darkslide_protocol::{AccountId, CollectionId, FileId, MagicMetadata, ObjectKey, Opaque, Version};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// How many entries a page of a diff has at most.
pub const PAGE: i64 = 2500;

/// The columns that [`file_of`] reads, of `memberships`, `files` and `collections`.
pub(super) const FILE_COLUMNS: &str =
    "memberships.collection_id, memberships.file_id, memberships.encrypted_key,
    memberships.key_decryption_nonce, memberships.is_deleted, memberships.added_at, memberships.version,
    collections.owner_id AS collection_owner_id, files.owner_id, files.file_header, files.file_size,
    files.thumbnail_header, files.thumbnail_size, files.metadata, files.metadata_header, files.magic_metadata,
    files.pub_magic_metadata, files.is_purged";

/// Which of a file's two objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The picture or video.
    Original,
    /// Its thumbnail.
    Thumbnail,
}

impl Store {
    /// A page of a collection's diff: what changed after `since`, oldest change first.
    pub async fn collection_diff(
        &self,
        account: AccountId,
        collection: CollectionId,
        since: Version,
    ) -> Result<FileDiff, ChangeError> {
        self.collection_diff_page(account, collection, since, PAGE).await
    }

    /// The same with pages of another length.
    pub async fn collection_diff_page(
        &self,
        account: AccountId,
        collection: CollectionId,
        since: Version,
        page: i64,
    ) -> Result<FileDiff, ChangeError> {
        self.must_be_readable(account, collection).await?;
        let text = format!(
            "SELECT {FILE_COLUMNS} FROM memberships
             JOIN files ON files.id = memberships.file_id
             JOIN collections ON collections.id = memberships.collection_id
             WHERE memberships.collection_id = $1 AND memberships.version > $2
             ORDER BY memberships.version LIMIT $3"
        );
        let rows =
            statement(text).bind(collection.0).bind(since.0).bind(page + 1).fetch_all(self.reader()).await?;
        let (diff, has_more) = cut(&rows, page, |row| file_of(row, account))?;
        Ok(FileDiff { diff, has_more })
    }

    /// Refuses with `NotFound` unless the account may read the collection and it is not a tombstone.
    async fn must_be_readable(
        &self,
        account: AccountId,
        collection: CollectionId,
    ) -> Result<(), ChangeError> {
        let mut connection = self.reader().acquire().await?;
        let state = collection_state(&mut connection, account, collection).await?;
        if state.role.is_some() && !state.is_deleted { Ok(()) } else { Err(ChangeError::NotFound) }
    }

    /// One live membership; `None` when the file is not in that collection, or the account may not know.
    pub async fn file_in_collection(
        &self,
        account: AccountId,
        collection: CollectionId,
        file: FileId,
    ) -> Result<Option<File>, StoreError> {
        let text = format!(
            "SELECT {FILE_COLUMNS} FROM memberships
             JOIN files ON files.id = memberships.file_id
             JOIN collections ON collections.id = memberships.collection_id
             WHERE memberships.collection_id = $1 AND memberships.file_id = $2 AND memberships.is_deleted = 0
               AND {}",
            seen_by("$3")
        );
        let row = statement(text)
            .bind(collection.0)
            .bind(file.0)
            .bind(account.0)
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| file_of(&row, account)).transpose()
    }

    /// One of the live memberships of the account's own file in its own collections, the earliest; `None` when it has none.
    pub async fn any_membership(&self, account: AccountId, file: FileId) -> Result<Option<File>, StoreError> {
        let text = any_membership_text();
        let row = statement(text).bind(file.0).bind(account.0).fetch_optional(self.reader()).await?;
        row.map(|row| file_of(&row, account)).transpose()
    }

    /// Where a file's bytes are; `None` when it was purged or the account may not have it: it is neither the file's owner nor sees
    /// a collection that it is in. Trashed files are there, for their owner.
    pub async fn object_of_file(
        &self,
        account: AccountId,
        file: FileId,
        which: Which,
    ) -> Result<Option<ObjectAddress>, StoreError> {
        let text = format!(
            "SELECT file_object, thumbnail_object FROM files WHERE id = $1 AND is_purged = 0
               AND (owner_id = $2 OR EXISTS
                    (SELECT 1 FROM memberships JOIN collections ON collections.id = memberships.collection_id
                     WHERE memberships.file_id = files.id AND memberships.is_deleted = 0
                       AND collections.is_deleted = 0 AND {}))",
            seen_by("$2")
        );
        let row = statement(text).bind(file.0).bind(account.0).fetch_optional(self.reader()).await?;
        let Some(row) = row else { return Ok(None) };
        let key = ObjectKey(row.try_get(match which {
            Which::Original => 0,
            Which::Thumbnail => 1,
        })?);
        ObjectAddress::parse(&key).ok_or(StoreError::Malformed("object key")).map(Some)
    }

    /// The sizes of files, in the order that they are asked for.
    pub async fn files_info(
        &self,
        account: AccountId,
        files: &[FileId],
    ) -> Result<Vec<FilesInfoEntry>, ChangeError> {
        let mut known = std::collections::BTreeMap::new();
        for chunk in files.chunks(LIST_MAX) {
            let text = format!(
                "SELECT id, owner_id, file_size, thumbnail_size, is_purged FROM files WHERE id IN ({})",
                list(1, chunk.len())
            );
            let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
            for row in query.fetch_all(self.reader()).await? {
                if row.try_get::<i64, _>("owner_id")? != account.0 {
                    return Err(ChangeError::NotOwner);
                }
                known.insert(row.try_get::<i64, _>("id")?, info_of(&row)?);
            }
        }
        let entry = |id: &FileId| {
            let info = known.get(&id.0).ok_or(ChangeError::Malformed("there is no such file"))?;
            let unknown = FileInfo { file_size: -1, thumb_size: -1 };
            Ok(FilesInfoEntry { id: *id, file_info: info.unwrap_or(unknown) })
        };
        files.iter().map(entry).collect()
    }

    /// Groups of an account's live files whose originals have the same size, and that size.
    pub async fn same_size_groups(&self, account: AccountId) -> Result<Vec<(i64, Vec<FileId>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, file_size FROM files
             WHERE owner_id = $1 AND is_purged = 0
               AND EXISTS (SELECT 1 FROM memberships WHERE memberships.file_id = files.id AND is_deleted = 0)
               AND file_size IN (SELECT file_size FROM files WHERE owner_id = $1 AND is_purged = 0
                                 GROUP BY file_size HAVING count(*) > 1)
             ORDER BY file_size DESC, id",
        )
        .bind(account.0)
        .fetch_all(self.reader())
        .await?;
        let mut groups: Vec<(i64, Vec<FileId>)> = Vec::new();
        for row in rows {
            let (id, size) = (FileId(row.try_get(0)?), row.try_get(1)?);
            match groups.last_mut() {
                Some((last, files)) if *last == size => files.push(id),
                _ => groups.push((size, vec![id])),
            }
        }
        groups.retain(|(_, files)| files.len() > 1);
        Ok(groups)
    }

    /// An account's files whose thumbnails are at least so many bytes long.
    pub async fn large_thumbnails(
        &self,
        account: AccountId,
        threshold: i64,
    ) -> Result<Vec<FileId>, StoreError> {
        let rows = sqlx::query(
            "SELECT id FROM files WHERE owner_id = $1 AND is_purged = 0 AND thumbnail_size >= $2 ORDER BY id",
        )
        .bind(account.0)
        .bind(threshold)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| Ok(FileId(row.try_get(0)?))).collect()
    }

    /// How many files the whole server has.
    pub async fn count_files(&self) -> Result<i64, StoreError> {
        let row =
            sqlx::query("SELECT count(*) FROM files WHERE is_purged = 0").fetch_one(self.reader()).await?;
        Ok(row.try_get(0)?)
    }
}

/// The condition that a collection is the account's or shared with it.
fn seen_by(account: &str) -> String {
    format!(
        "(collections.owner_id = {account} OR EXISTS
            (SELECT 1 FROM shares WHERE shares.collection_id = collections.id
               AND shares.account_id = {account} AND shares.is_deleted = 0))"
    )
}

pub(super) fn any_membership_text() -> String {
    format!(
        "SELECT {FILE_COLUMNS} FROM memberships
         JOIN files ON files.id = memberships.file_id
         JOIN collections ON collections.id = memberships.collection_id
         WHERE memberships.file_id = $1 AND memberships.is_deleted = 0 AND files.owner_id = $2
           AND +collections.owner_id = $2
         ORDER BY memberships.added_at, memberships.collection_id LIMIT 1"
    )
}

/// Cuts rows, of which one more than a page was asked for, to a page.
pub(super) fn cut<T>(
    rows: &[AnyRow],
    page: i64,
    read: impl Fn(&AnyRow) -> Result<T, StoreError>,
) -> Result<(Vec<T>, bool), StoreError> {
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let entries = rows.iter().take(page).map(read).collect::<Result<_, _>>()?;
    Ok((entries, rows.len() > page))
}

/// A membership joined with its file, as `viewer` may see it.
pub(super) fn file_of(row: &AnyRow, viewer: AccountId) -> Result<File, StoreError> {
    let owner_id = AccountId(row.try_get("owner_id")?);
    let object = |header: &str| -> Result<FileObject, StoreError> {
        Ok(FileObject { decryption_header: Opaque(row.try_get(header)?), ..FileObject::default() })
    };
    let private = if owner_id == viewer { magic_of(row, "magic_metadata")? } else { None };
    let file = File {
        id: FileId(row.try_get("file_id")?),
        owner_id,
        collection_id: CollectionId(row.try_get("collection_id")?),
        collection_owner_id: Some(AccountId(row.try_get("collection_owner_id")?)),
        collection_added_at: Some(row.try_get("added_at")?),
        encrypted_key: Opaque(row.try_get("encrypted_key")?),
        key_decryption_nonce: Opaque(row.try_get("key_decryption_nonce")?),
        file: object("file_header")?,
        thumbnail: object("thumbnail_header")?,
        metadata: Metadata {
            encrypted_data: Some(Opaque(row.try_get("metadata")?)),
            decryption_header: Opaque(row.try_get("metadata_header")?),
            size: 0,
        },
        is_deleted: row.try_get::<i64, _>("is_deleted")? != 0,
        updation_time: Version(row.try_get("version")?),
        magic_metadata: private,
        pub_magic_metadata: magic_of(row, "pub_magic_metadata")?,
        info: info_of(row)?,
    };
    // What left a collection is no longer its readers' business, and newcomers never saw it.
    Ok(if file.is_deleted && owner_id != viewer { super::trash::stripped(file) } else { file })
}

/// The encrypted sizes; `None` once the file is purged.
fn info_of(row: &AnyRow) -> Result<Option<FileInfo>, StoreError> {
    if row.try_get::<i64, _>("is_purged")? != 0 {
        return Ok(None);
    }
    Ok(Some(FileInfo { file_size: row.try_get("file_size")?, thumb_size: row.try_get("thumbnail_size")? }))
}

/// The envelope that a column holds as JSON.
pub(super) fn magic_of(row: &AnyRow, column: &str) -> Result<Option<MagicMetadata>, StoreError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Malformed("magic metadata")))
        .transpose()
}

/// The JSON that a column holds for an envelope.
pub(super) fn magic_text(magic: &MagicMetadata) -> String {
    serde_json::to_string(magic).expect("an envelope of numbers and strings is JSON")
}
