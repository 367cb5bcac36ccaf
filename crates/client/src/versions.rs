//! What a file was before it was edited: listed with the names that it had, and brought back.
//!
//! The server keeps earlier contents for 30 days; this decides nothing about that.

use crate::appearance::{OWN, SUPERSEDES};
use crate::catalog::{Catalog, CollectionRow, FileFilter, FileRow};
use crate::error::VaultError;
use crate::keys::{KeyRing, open_file};
use crate::session::Session;
use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::plaintext_len;
use darkslide_protocol::error::code;
use darkslide_protocol::file::{File, FileInfo};
use darkslide_protocol::receipt::EarlierId;
use darkslide_protocol::server::Extension;
use darkslide_protocol::version::EarlierVersion;
use darkslide_protocol::{FileId, Version};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

/// What a file was for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierEntry {
    /// What brings it back.
    pub version: Version,
    /// The name that it had; none where it does not open.
    pub name: Option<String>,
    /// What it was; none where that was not said.
    #[serde(skip)]
    pub content: Option<ContentHash>,
    /// What it superseded: the file had been sent before it was whole.
    #[serde(skip)]
    supersedes: Option<ContentHash>,
    /// Bytes of plaintext; of a Live Photo those of its container.
    pub bytes: u64,
    /// When it was taken, µs since the epoch.
    pub taken: i64,
    /// When it was modified, µs since the epoch.
    pub modified: i64,
    /// When it was replaced, µs since the epoch.
    pub replaced_at: i64,
    /// Until when it can be brought back, µs since the epoch.
    pub expires_at: i64,
}

/// The files of the vault with this name, as it was backed up.
pub async fn files_named(catalog: &Catalog, name: &str) -> Result<Vec<FileId>, VaultError> {
    let mut files = Vec::new();
    let take = |row: FileRow| files.extend((row.title.as_deref() == Some(name)).then_some(row.id));
    catalog.each_file(&FileFilter::default(), take).await?;
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// What a file was, the latest first. What was only the beginning of what it became next is no version of its own, and not among them.
pub async fn list_versions(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
) -> Result<Vec<EarlierEntry>, VaultError> {
    let (row, listed) = every_version(session, catalog, file).await?;
    Ok(without_superseded(&row, listed))
}

fn without_superseded(row: &FileRow, mut listed: Vec<EarlierEntry>) -> Vec<EarlierEntry> {
    let mut next = superseded_by(row.metadata.as_deref());
    listed.retain(|entry| {
        let is_superseded = next.is_some() && next == entry.content;
        next = entry.supersedes;
        !is_superseded
    });
    listed
}

/// The file, and all that the server has of what it was.
async fn every_version(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
) -> Result<(FileRow, Vec<EarlierEntry>), VaultError> {
    let rows = catalog.files(&FileFilter { file: Some(file), ..FileFilter::default() }).await?;
    let row = rows.into_iter().next().ok_or(VaultError::NoSuchFile(file))?;
    let collections = catalog.collections().await?;
    let collection = collections.iter().find(|collection| collection.id == row.collection);
    let listed = session.api.earlier_versions(file).await?;
    let entries = listed.versions.into_iter().map(|version| entry(session, collection, &row, version));
    let entries = entries.collect();
    Ok((row, entries))
}

/// The same, where the server keeps versions and there is such a file.
async fn versions_if_any(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
) -> Result<Option<(FileRow, Vec<EarlierEntry>)>, VaultError> {
    if !session.api.offers(Extension::Versions).await? {
        return Ok(None);
    }
    match every_version(session, catalog, file).await {
        Ok(all) => Ok(Some(all)),
        Err(VaultError::NoSuchFile(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the server has a content as an earlier version of a file.
pub async fn has_version(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
    content: ContentHash,
) -> Result<bool, VaultError> {
    Ok(!versions_with(session, catalog, file, content).await?.is_empty())
}

/// The earlier versions of a file that are this content, the latest first.
pub async fn versions_with(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
    content: ContentHash,
) -> Result<Vec<EarlierId>, VaultError> {
    let Some((_, listed)) = versions_if_any(session, catalog, file).await? else { return Ok(Vec::new()) };
    let those = listed.into_iter().filter(|entry| entry.content == Some(content));
    Ok(those.map(|entry| EarlierId { file_id: file, version: entry.version }).collect())
}

/// Whether a file had a content and is something older again: its owner chose that, for an edit is always later than what it was made of.
pub async fn has_chosen_earlier(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
    content: ContentHash,
) -> Result<bool, VaultError> {
    let Some((now, listed)) = versions_if_any(session, catalog, file).await? else { return Ok(false) };
    let is_later = |entry: &EarlierEntry| entry.content == Some(content) && now.modified < entry.modified;
    Ok(without_superseded(&now, listed).iter().any(is_later))
}

/// Makes an earlier version what the file is. Pull the feed afterwards.
pub async fn restore_version(session: &Session, file: FileId, version: Version) -> Result<(), VaultError> {
    match session.api.restore_version(file, version).await {
        Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => {
            Err(VaultError::NoSuchVersion(file, version))
        }
        Err(failure) if failure.code() == Some(code::VERSION_DAMAGED) => {
            Err(VaultError::VersionDamaged(file, version))
        }
        answer => Ok(answer.map(drop)?),
    }
}

fn entry(
    session: &Session,
    collection: Option<&CollectionRow>,
    row: &FileRow,
    earlier: EarlierVersion,
) -> EarlierEntry {
    let mut keys = KeyRing::default();
    let key = collection.and_then(|collection| keys.key(&session.keys, collection));
    let (version, replaced_at, expires_at) = (earlier.version, earlier.replaced_at, earlier.expires_at);
    let opened = open_file(key, &as_it_was(row, earlier)).row;
    EarlierEntry {
        version,
        name: opened.title,
        content: opened.content_hash,
        supersedes: superseded_by(opened.metadata.as_deref()),
        bytes: u64::try_from(opened.object_size).ok().and_then(plaintext_len).unwrap_or_default(),
        taken: opened.taken,
        modified: opened.modified,
        replaced_at,
        expires_at,
    }
}

/// What metadata say that they supersede.
fn superseded_by(metadata: Option<&str>) -> Option<ContentHash> {
    let metadata: Value = serde_json::from_str(metadata?).ok()?;
    metadata.get(OWN)?.get(SUPERSEDES)?.as_str()?.parse().ok()
}

/// The file with its earlier contents: they are under the key that it still has.
fn as_it_was(row: &FileRow, earlier: EarlierVersion) -> File {
    File {
        id: row.id,
        owner_id: row.owner,
        collection_id: row.collection,
        collection_owner_id: None,
        collection_added_at: None,
        encrypted_key: row.encrypted_key.clone(),
        key_decryption_nonce: row.key_nonce.clone(),
        info: Some(FileInfo { file_size: earlier.file.size, thumb_size: earlier.thumbnail.size }),
        file: earlier.file,
        thumbnail: earlier.thumbnail,
        metadata: earlier.metadata,
        is_deleted: false,
        updation_time: earlier.version,
        magic_metadata: None,
        pub_magic_metadata: None,
    }
}
