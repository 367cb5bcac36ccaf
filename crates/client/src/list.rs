//! What the vault holds, from the catalog alone: albums, and files by album, date, kind and name.
//!
//! It asks no server; pull the feed first for what is new.

use crate::catalog::{Catalog, CollectionRow, FileFilter, FileRow};
use crate::error::VaultError;
use crate::session::Session;
use darkslide_crypto::stream::plaintext_len;
use darkslide_media::metadata::{FileKind, PublicMagicMetadata};
use darkslide_protocol::collection::CollectionType;
use darkslide_protocol::{AccountId, CollectionId, FileId};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// One album.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlbumEntry {
    /// The collection.
    pub id: CollectionId,
    /// Its name; empty where it does not open.
    pub name: String,
    /// What it is for.
    pub kind: CollectionType,
    /// Whether somebody else shares it with this account.
    pub shared_with_me: bool,
    /// Files in it.
    pub files: u64,
    /// Their bytes, as plaintext.
    pub bytes: u64,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A picture.
    Image,
    /// A video.
    Video,
    /// A picture with its video.
    LivePhoto,
    /// Something else.
    Other,
}

impl Kind {
    fn of(row: &FileRow) -> Self {
        match FileKind::from_number(row.kind) {
            FileKind::Image => Self::Image,
            FileKind::Video => Self::Video,
            FileKind::LivePhoto => Self::LivePhoto,
            FileKind::Other(_) => Self::Other,
        }
    }
}

/// Which files a list wants; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this album's.
    pub album: Option<CollectionId>,
    /// Taken at this time or later, µs since the epoch.
    pub taken_from: Option<i64>,
    /// Taken before this time, µs since the epoch.
    pub taken_until: Option<i64>,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Whose name has this in it, letter case aside.
    pub name_contains: Option<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// The file.
    pub id: FileId,
    /// Its name as it was backed up; none where it does not open.
    pub name: Option<String>,
    /// The name that its owner gave it later.
    pub edited_name: Option<String>,
    /// Its albums' names.
    pub albums: Vec<String>,
    /// What it is.
    pub kind: Kind,
    /// When it was taken, µs since the epoch.
    pub taken: i64,
    /// When it was modified, µs since the epoch.
    pub modified: i64,
    /// Bytes of plaintext; of a Live Photo those of its container.
    pub bytes: u64,
    /// Whether it belongs to somebody else.
    pub shared_with_me: bool,
}

/// All live albums, by name.
pub async fn list_albums(session: &Session, catalog: &Catalog) -> Result<Vec<AlbumEntry>, VaultError> {
    let mut albums: BTreeMap<CollectionId, AlbumEntry> = catalog
        .collections()
        .await?
        .into_iter()
        .filter(|row| !row.deleted)
        .map(|row| (row.id, entry(row, session.account)))
        .collect();
    let count = |collection: CollectionId, object_size: i64| {
        if let Some(album) = albums.get_mut(&collection) {
            album.files += 1;
            album.bytes += plain_len(object_size);
        }
    };
    catalog.each_size(count).await?;
    let mut albums: Vec<AlbumEntry> = albums.into_values().collect();
    albums.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
    Ok(albums)
}

fn entry(row: CollectionRow, account: AccountId) -> AlbumEntry {
    AlbumEntry {
        id: row.id,
        shared_with_me: row.owner != account,
        name: row.name,
        kind: row.kind,
        files: 0,
        bytes: 0,
    }
}

/// The files that a filter lets through, oldest picture first; each once, with all its albums.
pub async fn list_files(
    session: &Session,
    catalog: &Catalog,
    filter: &ListFilter,
) -> Result<Vec<FileEntry>, VaultError> {
    let names: HashMap<CollectionId, String> =
        catalog.collections().await?.into_iter().map(|row| (row.id, row.name)).collect();
    let everywhere = FileFilter {
        taken_from: filter.taken_from,
        taken_until: filter.taken_until,
        ..FileFilter::default()
    };
    let mut entries: Vec<FileEntry> = Vec::new();
    let mut wanted: HashMap<FileId, bool> = HashMap::new();
    let mut places: HashMap<FileId, usize> = HashMap::new();
    let take = |row: FileRow| {
        let in_album = filter.album.is_none_or(|album| album == row.collection);
        *wanted.entry(row.id).or_default() |= in_album && matches(&row, filter);
        let place = *places.entry(row.id).or_insert(entries.len());
        if place == entries.len() {
            entries.push(file_entry(&row, session.account));
        }
        if let Some(entry) = entries.get_mut(place) {
            entry.albums.extend(names.get(&row.collection).cloned());
        }
    };
    catalog.each_file(&everywhere, take).await?;
    entries.retain(|entry| wanted.get(&entry.id).copied().unwrap_or(false));
    Ok(entries)
}

fn matches(row: &FileRow, filter: &ListFilter) -> bool {
    let name = || row.title.as_deref().unwrap_or_default().to_lowercase();
    let kind_fits = filter.kind.is_none_or(|kind| kind == Kind::of(row));
    let name_fits = filter.name_contains.as_ref().is_none_or(|part| name().contains(&part.to_lowercase()));
    kind_fits && name_fits
}

fn file_entry(row: &FileRow, account: AccountId) -> FileEntry {
    let public = row.public_metadata.as_deref();
    let public = public.and_then(|text| PublicMagicMetadata::from_json(text.as_bytes()).ok());
    FileEntry {
        id: row.id,
        name: row.title.clone(),
        edited_name: public.and_then(|public| public.edited_name),
        albums: Vec::new(),
        kind: Kind::of(row),
        taken: row.taken,
        modified: row.modified,
        bytes: plain_len(row.object_size),
        shared_with_me: row.owner != account,
    }
}

/// Bytes of plaintext in an object.
fn plain_len(object_size: i64) -> u64 {
    u64::try_from(object_size).ok().and_then(plaintext_len).unwrap_or_default()
}
