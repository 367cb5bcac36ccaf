//! The folders of an export: which file is a picture, which the sidecar of which picture, and which folder is an album.
//!
//! A folder that is spread over several archives is one folder. By names alone, but for the JSON files that are nobody's sidecar:
//! those are read, to find the albums' own files under whatever name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use darkslide_media::file_type::classify;
use darkslide_media::takeout::document::{self, AlbumDocument, Document, JSON_MAX, Sidecar};
use darkslide_media::takeout::folders::is_year;
use darkslide_media::takeout::names::{Match, is_json};
use serde::de::IgnoredAny;
use unicode_normalization::UnicodeNormalization as _;

use super::copies::{self, Once, name_of};
use super::sources::Listed;
use super::{Export, ImportOptions, Item, Source, Unmatched};
use crate::catalog::DeviceAlbumKey;
use crate::library::archive::without_number;
use crate::library::opened::Opened;
use crate::library::{DeviceAlbum, FolderAlbums, raw};

/// What the links of albums are kept under: no path of this device, so that an export may lie anywhere.
const ALBUM_ROOT: &[u8] = b"google-takeout";

/// The folder that every export begins with, in every language.
const EXPORT_FOLDER: &str = "Takeout";

/// Some exports begin their JSON with one.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One folder, all archives together.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Pictures, and whatever else is no JSON.
    pub(crate) media: Vec<Item>,
    pub(crate) sidecars: Vec<Item>,
    /// The sidecar of each of the media.
    pub(crate) matches: Vec<Option<Match>>,
    /// Where else each of the media is.
    pub(crate) media_copies: Vec<Vec<Item>>,
    /// Where else each of the sidecars is.
    sidecar_copies: Vec<Vec<Item>>,
}

impl Folder {
    /// What belongs together of files that lie in one folder of the export. With it, all sidecars that are somebody's.
    fn of(sources: &[Source], items: Vec<Item>) -> (Self, HashSet<usize>) {
        let (sidecars, media) = items.into_iter().partition(|item| is_json(&name_of(&item.path)));
        let (media, sidecars) = (Once::of(sources, media), Once::of(sources, sidecars));
        let (matches, used) = copies::assign(&media, &sidecars);
        let folder = Self {
            media: media.items,
            sidecars: sidecars.items,
            matches,
            media_copies: media.copies,
            sidecar_copies: sidecars.copies,
        };
        (folder, used)
    }

    /// Pictures and videos that are there once more than they count.
    pub(super) fn there_twice(&self) -> u64 {
        let copies = self.media_copies.iter().flatten();
        copies.filter(|item| is_media(&item.path)).count() as u64
    }

    /// A sidecar, and its copies.
    pub(super) fn sidecar_and_copies(&self, at: usize) -> impl Iterator<Item = &Item> {
        self.sidecars.get(at).into_iter().chain(self.sidecar_copies.get(at).into_iter().flatten())
    }

    pub(crate) fn sidecar_of(&self, media: usize) -> Option<(&Item, Match)> {
        let found = (*self.matches.get(media)?)?;
        Some((self.sidecars.get(found.sidecar)?, found))
    }
}

/// Sorts what was listed.
pub(super) fn sort(listed: Listed, options: &ImportOptions) -> Export {
    let Listed { sources, mut items, unreadable, left_out } = listed;
    // In whichever order the archives were named: of equal pictures the first decides.
    let root = |item: &Item| sources.get(item.source).map(|source| &source.root);
    items.sort_by(|one, other| {
        let by_name = without_number(&one.path).cmp(without_number(&other.path));
        by_name.then_with(|| root(one).cmp(&root(other))).then_with(|| one.path.cmp(&other.path))
    });
    let mut sorted: BTreeMap<PathBuf, Vec<Item>> = BTreeMap::new();
    for item in items {
        sorted.entry(folder_of(&item.path)).or_default().push(item);
    }
    let mut folders = BTreeMap::new();
    let otherwise = DeviceAlbum { key: album_key(Path::new("")), name: options.album.clone() };
    let mut sorting =
        Sorting { sources, albums: HashMap::new(), unreadable, unmatched: Unmatched::default() };
    for (path, items) in sorted {
        let (mut folder, used) = Folder::of(&sorting.sources, items);
        let album = sorting.look_at_the_rest(&mut folder, &used);
        sorting.name_album(&path, &folder, album, &otherwise.name);
        folders.insert(path, folder);
    }
    let Sorting { sources, albums, unreadable, unmatched } = sorting;
    let albums = Arc::new(FolderAlbums { albums, otherwise });
    Export { sources, folders, albums, unreadable, left_out, unmatched }
}

fn album_key(folder: &Path) -> DeviceAlbumKey {
    DeviceAlbumKey { root: ALBUM_ROOT.to_vec(), folder: raw(folder) }
}

/// What sorting finds out of all folders.
struct Sorting {
    sources: Vec<Source>,
    albums: HashMap<PathBuf, DeviceAlbum>,
    unreadable: Vec<(PathBuf, String)>,
    unmatched: Unmatched,
}

impl Sorting {
    fn source(&self, item: &Item) -> &Source {
        self.sources.get(item.source).expect("an item lies in one of the sources")
    }

    /// Sees what the files without a partner are; among them may be the folder's own, which says what album it is. That one may seem to be the sidecar
    /// of a picture whose title has no extension.
    fn look_at_the_rest(&mut self, folder: &mut Folder, used: &HashSet<usize>) -> Option<AlbumDocument> {
        let mut album = None;
        for (at, item) in folder.sidecars.iter().enumerate() {
            if used.contains(&at) {
                if is_of_one_word(&item.path)
                    && let Ok(Document::Album(found)) = read_document(self.source(item), item)
                {
                    album.get_or_insert(found);
                    let is_it = |found: &&mut Option<Match>| found.is_some_and(|found| found.sidecar == at);
                    folder.matches.iter_mut().filter(is_it).for_each(|found| *found = None);
                }
                continue;
            }
            let whole = self.source(item).root.join(&item.path);
            let shown = whole.display().to_string();
            match read_document(self.source(item), item) {
                Ok(Document::Album(found)) => drop(album.get_or_insert(found)),
                Ok(Document::Sidecar(_)) => self.unmatched.sidecars_without_media.push(shown),
                Ok(Document::Other) => self.unmatched.other_json.push(shown),
                Err(error) => self.unreadable.push((whole, format!("it cannot be read: {error}"))),
            }
        }
        for (item, _) in folder.media.iter().zip(&folder.matches).filter(|(_, found)| found.is_none()) {
            if is_media(&item.path) {
                let shown = self.source(item).root.join(&item.path).display().to_string();
                self.unmatched.without_sidecar.push(shown);
            }
        }
        album
    }

    /// A folder with a file of its own is an album, unless it is that of a year. All others are one album together, below which their own
    /// names remain.
    fn name_album(&mut self, path: &Path, folder: &Folder, album: Option<AlbumDocument>, otherwise: &str) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_album =
            |album: &AlbumDocument| !is_year(&name) && !album.title.as_deref().is_some_and(is_year);
        let title = album.filter(is_album).map(|album| album.title.unwrap_or_else(|| name.clone()));
        let title = title.filter(|title| !title.is_empty());
        for item in folder.media.iter().chain(folder.media_copies.iter().flatten()) {
            let parent = item.path.parent().unwrap_or(Path::new(""));
            let album = || match &title {
                Some(title) => DeviceAlbum { key: album_key(parent), name: title.clone() },
                None => {
                    let above = parent.parent().unwrap_or(Path::new(""));
                    DeviceAlbum { key: album_key(above), name: otherwise.to_owned() }
                }
            };
            let whole = self.source(item).root.join(parent);
            self.albums.entry(whole).or_insert_with(album);
        }
    }
}

/// Whether a JSON file has no other extension, like those of albums.
fn is_of_one_word(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_none())
}

/// Whether the name of a file alone says that it is a picture or a video.
pub(super) fn is_media(path: &Path) -> bool {
    classify(path.file_name().unwrap_or_default(), &[]).media().is_some()
}

/// Reads one JSON file. One that is too large to be any of them is something else.
fn read_document(source: &Source, item: &Item) -> io::Result<Document> {
    Ok(read_bytes(source, item)?.map_or(Document::Other, |bytes| document::read(&bytes)))
}

/// Reads the sidecar of a picture. Fails where what should be one is no JSON; other JSON is none.
pub(super) fn read_sidecar(source: &Source, item: &Item) -> io::Result<Option<Sidecar>> {
    let Some(bytes) = read_bytes(source, item)? else { return Ok(None) };
    match document::read(&bytes) {
        Document::Sidecar(sidecar) => Ok(Some(*sidecar)),
        Document::Album(_) => Ok(None),
        Document::Other => {
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
            let told = "a sidecar that is no JSON; download its archive again";
            let no_json = |_| io::Error::new(io::ErrorKind::InvalidData, told);
            serde_json::from_slice::<IgnoredAny>(text).map(|_| None).map_err(no_json)
        }
    }
}

/// `None` of what is too large.
fn read_bytes(source: &Source, item: &Item) -> io::Result<Option<Vec<u8>>> {
    if item.fingerprint.size > JSON_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let opened = Opened::open(&source.root.join(&item.path), item.entry.as_ref())?;
    opened.take(JSON_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The folder of a file in the export, the same wherever it was unpacked: what is above `Takeout` does not count, nor does whether
/// accents are characters of their own, nor that an archive has several files of one name.
fn folder_of(path: &Path) -> PathBuf {
    let folder = without_number(path).parent().unwrap_or(Path::new(""));
    let parts: Vec<&OsStr> = folder
        .components()
        .filter_map(|part| if let Component::Normal(part) = part { Some(part) } else { None })
        .collect();
    let begin = parts.iter().position(|part| *part == EXPORT_FOLDER).map_or(0, |at| at + 1);
    let composed = |part: &&OsStr| {
        part.to_str().map_or_else(|| part.into(), |part| PathBuf::from(part.nfc().collect::<String>()))
    };
    parts.iter().skip(begin).map(composed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_same_wherever_it_was_unpacked() {
        for (path, expected) in [
            ("Takeout/Google Photos/Paris/a.jpg", "Google Photos/Paris"),
            ("takeout-001/Takeout/Google Photos/Paris/a.jpg", "Google Photos/Paris"),
            ("Google Photos/Paris/a.jpg", "Google Photos/Paris"),
            ("Takeout/Google Photos/cafe\u{301}/a.jpg", "Google Photos/café"),
            ("a.jpg", ""),
            ("entry 2 of one name/a.jpg", ""),
            ("entry 2 of one name/Google Photos/Paris/a.jpg", "Google Photos/Paris"),
        ] {
            assert_eq!(folder_of(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
