//! What a [folder library](super::folder_library) has seen and told: kept in memory, compared with the next look.
//!
//! Each asset carries the generation in which it last changed, and the latest that are gone are remembered with theirs, so that what
//! changed since any token of this process can be told from one listing. A token is as long as it always is: who gave it (16 bytes, random),
//! the generation (8, little-endian), and the number of the disk (8), which the next process asks for.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use darkslide_media::file_type::{Format, MediaKind, classify};
use darkslide_media::pairing::{self, Item};
use darkslide_media::probe::micros_of;

use super::device::{AssetId, AssetKind, DeviceAsset, Locality, Motion};
use super::folder_library::{FolderSettings, album};
use super::selection::Selection;
use super::{LibraryChanges, Part, PassReason, folder, path_of, raw, settle, text_of};
use crate::backup::identify::{self, IdentifyError, Surroundings};
use crate::backup::plan::unit_of;
use crate::catalog::Fingerprint;
use crate::folder::mounts::Mounts;
use crate::folder::reconcile::RelativePath;

/// Assets that are gone and can still be told so; before that, everything is told.
const GONE_KEPT: usize = 10_000;

/// Bytes of a token.
const TOKEN_LEN: usize = 32;

/// What a file was when it was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    fingerprint: Fingerprint,
    /// None of what is neither a picture nor a video.
    media: Option<Media>,
    /// False of what could not be read, which the name alone speaks for: it is looked into again.
    is_read: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Media {
    format: Format,
    taken: i64,
    live_identifier: Option<String>,
    duration_millis: Option<u64>,
}

type Files = BTreeMap<OsString, Seen>;

/// An asset as it was told.
#[derive(Clone, Debug)]
struct Told {
    asset: DeviceAsset,
    /// The name of its video's file.
    motion: Option<OsString>,
    /// When it became that.
    generation: u64,
}

/// The files that lie in one folder.
#[derive(Clone, Debug, Default)]
struct Folder {
    files: Files,
    /// By the names of their files, or of their stills'.
    assets: BTreeMap<OsString, Told>,
}

/// All that is known of a tree after a look.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    giver: [u8; 16],
    generation: u64,
    device: u64,
    folders: BTreeMap<PathBuf, Arc<Folder>>,
    gone: VecDeque<(u64, AssetId)>,
    /// What was gone before this generation is forgotten.
    remembers: u64,
    /// When the first of the files settles that are waited for.
    settles: Option<SystemTime>,
    /// Where disks are mounted below the root, or were when their pictures were last seen.
    mounts: BTreeSet<RelativePath>,
}

/// The disk that a token names.
pub(super) fn device_of_token(token: &[u8]) -> Option<u64> {
    let token: &[u8; TOKEN_LEN] = token.try_into().ok()?;
    token.last_chunk().map(|device| u64::from_le_bytes(*device))
}

impl Listing {
    fn nothing(device: u64) -> Self {
        let mut giver = [0; 16];
        getrandom::fill(&mut giver).expect("the operating system's random generator works");
        Self {
            giver,
            generation: 0,
            device,
            folders: BTreeMap::new(),
            gone: VecDeque::new(),
            remembers: 1,
            settles: None,
            mounts: BTreeSet::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn device(&self) -> u64 {
        self.device
    }

    pub(super) fn settles(&self) -> Option<SystemTime> {
        self.settles
    }

    pub(super) fn assets(&self) -> impl Iterator<Item = &DeviceAsset> {
        self.told().map(|told| &told.asset)
    }

    /// Which disks came and went.
    fn compare_mounts(&mut self, mounted: &BTreeSet<RelativePath>) -> Mounts {
        let has_pictures = |place: &RelativePath| {
            let place = path_of(place);
            self.folders_with_assets().any(|folder| folder.starts_with(&place))
        };
        let mounts = Mounts::compare(&self.mounts, mounted, has_pictures);
        // Where there were no pictures, there is nothing to be remembered.
        let forgotten = self.mounts.difference(mounted).filter(|place| !has_pictures(place)).cloned();
        let forgotten: BTreeSet<_> = forgotten.collect();
        self.mounts.retain(|place| !forgotten.contains(place));
        self.mounts.extend(mounts.new.iter().cloned());
        mounts
    }

    fn told(&self) -> impl Iterator<Item = &Told> {
        self.folders.values().flat_map(|folder| folder.assets.values())
    }

    pub(super) fn folders_with_assets(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().filter(|(_, folder)| !folder.assets.is_empty()).map(|(path, _)| path.as_path())
    }

    /// The name of the file that is this part of the asset at a path, and what it was.
    pub(super) fn component(&self, path: &Path, part: Part) -> Option<(&OsStr, Fingerprint)> {
        let folder = self.folders.get(path.parent()?)?;
        let (name, told) = folder.assets.get_key_value(path.file_name()?)?;
        let name = match part {
            Part::Main => name,
            Part::Motion => told.motion.as_ref()?,
        };
        Some((name, folder.files.get(name)?.fingerprint))
    }

    /// What changed since a token was given.
    pub(super) fn changes(&self, since: Option<&[u8]>) -> LibraryChanges {
        let since = since.and_then(|token| self.generation_of(token));
        let is_news = |generation: u64| since.is_none_or(|since| generation > since);
        let changed = self.told().filter(|told| is_news(told.generation)).map(|told| told.asset.clone());
        let gone = self.gone.iter().filter(|(generation, _)| since.is_some() && is_news(*generation));
        LibraryChanges {
            changed: changed.collect(),
            gone: gone.map(|(_, id)| id.clone()).collect(),
            is_everything: since.is_none(),
            token: self.token(),
        }
    }

    fn token(&self) -> Vec<u8> {
        let (generation, device) = (self.generation.to_le_bytes(), self.device.to_le_bytes());
        [self.giver.as_slice(), &generation, &device].concat()
    }

    fn generation_of(&self, token: &[u8]) -> Option<u64> {
        let token: &[u8; TOKEN_LEN] = token.try_into().ok()?;
        let (giver, rest) = token.split_first_chunk::<16>()?;
        let generation = u64::from_le_bytes(*rest.first_chunk()?);
        let is_known = *giver == self.giver && (self.remembers..=self.generation).contains(&generation);
        is_known.then_some(generation)
    }

    /// Puts what is in a folder now in the place of what was.
    fn replace(&mut self, path: &Path, files: Files, assets: Vec<(OsString, Told)>) {
        let before = self.folders.remove(path).unwrap_or_default();
        let mut assets: BTreeMap<_, _> = assets.into_iter().collect();
        for (name, told) in &mut assets {
            let same = before.assets.get(name).filter(|before| before.asset == told.asset);
            told.generation = same.map_or(self.generation, |before| before.generation);
        }
        let is_gone = |name: &&OsString| !assets.contains_key(*name);
        for name in before.assets.keys().filter(is_gone) {
            self.gone.push_back((self.generation, AssetId(raw(&path.join(name)))));
        }
        if !files.is_empty() {
            self.folders.insert(path.to_owned(), Arc::new(Folder { files, assets }));
        }
    }

    /// What came back is not gone, and what has been gone for long is forgotten.
    fn forget_gone(&mut self) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|(_, id)| self.component(&path_of(&id.0), Part::Main).is_none());
        while gone.len() > GONE_KEPT {
            self.remembers = gone.pop_front().map_or(self.remembers, |(generation, _)| generation);
        }
        self.gone = gone;
    }
}

/// What a walk came upon.
struct Walked {
    /// By folder and name.
    found: BTreeMap<PathBuf, BTreeMap<OsString, Fingerprint>>,
    /// What lies there is unknown, which is not the same as gone.
    unreadable: Vec<PathBuf>,
}

/// A look at a tree. Blocks.
pub(super) struct Look<'l> {
    pub(super) id: &'l [u8],
    pub(super) root: &'l Path,
    pub(super) settings: &'l FolderSettings,
}

impl Look<'_> {
    /// Walks the tree, and looks into what is not as it was. `mounted` says where disks are mounted below the root: what was seen on one
    /// that is away, or goes away meanwhile, is unknown too.
    pub(super) fn at_tree(
        &self,
        before: Option<&Listing>,
        device: u64,
        mounted: impl Fn() -> BTreeSet<RelativePath>,
    ) -> io::Result<Listing> {
        let first = mounted();
        let Walked { found, unreadable } = self.walk()?;
        let mounted = first.intersection(&mounted()).cloned().collect();
        let mut listing = before.cloned().unwrap_or_else(|| Listing::nothing(device));
        let mounts = listing.compare_mounts(&mounted);
        let is_unknown = |path: &Path| {
            unreadable.iter().any(|unreadable| path.starts_with(unreadable)) || mounts.hides(&raw(path))
        };
        let mut settles = None;
        let mut replaced = Vec::new();
        let folders: BTreeSet<&PathBuf> = found.keys().chain(listing.folders.keys()).collect();
        let nothing = (BTreeMap::new(), Files::new());
        for path in folders {
            let known = listing.folders.get(path).map_or(&nothing.1, |folder| &folder.files);
            let there = found.get(path).unwrap_or(&nothing.0);
            let is_unchanged = |(name, now): (&OsString, &Fingerprint)| as_known(known, name, *now).is_some();
            if there.len() == known.len() && there.iter().all(is_unchanged) {
                continue;
            }
            let mut files = self.look_into_folder(path, there, known, &mut settles);
            let unknown =
                known.iter().filter(|(name, _)| !there.contains_key(*name) && is_unknown(&path.join(name)));
            files.extend(unknown.map(|(name, seen)| (name.clone(), seen.clone())));
            if files != *known {
                replaced.push((path.clone(), files));
            }
        }
        (listing.device, listing.settles) = (device, settles);
        if !replaced.is_empty() || before.is_none() {
            listing.generation += 1;
        }
        for (path, files) in replaced {
            let assets = self.assets_of(&path, &files);
            listing.replace(&path, files, assets);
        }
        listing.forget_gone();
        Ok(listing)
    }

    fn walk(&self) -> io::Result<Walked> {
        let root = self.root.canonicalize()?;
        let mut found: BTreeMap<PathBuf, BTreeMap<OsString, Fingerprint>> = BTreeMap::new();
        let passed_over = folder::walk_files(&root, &Selection::default(), |path, metadata| {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
            let fingerprint = folder::fingerprint(metadata);
            match found.get_mut(parent) {
                Some(files) => drop(files.insert(name.to_owned(), fingerprint)),
                None => drop(found.insert(parent.to_owned(), [(name.to_owned(), fingerprint)].into())),
            }
        })?;
        // What vanished meanwhile is gone.
        let is_unknown = |reason: &PassReason| match reason {
            PassReason::Unreadable(error) => error.kind() != io::ErrorKind::NotFound,
            _ => false,
        };
        let unknown = passed_over.into_iter().filter(|passed| is_unknown(&passed.reason));
        let unreadable = unknown.filter_map(|passed| Some(passed.path.strip_prefix(&root).ok()?.to_owned()));
        Ok(Walked { unreadable: unreadable.collect(), found })
    }

    /// What is to be known of the files of a folder. What has not settled stays what it was, and with it what may be its other half.
    fn look_into_folder(
        &self,
        folder: &Path,
        there: &BTreeMap<OsString, Fingerprint>,
        known: &Files,
        settles: &mut Option<SystemTime>,
    ) -> Files {
        let mut waiting = HashSet::new();
        if let Some(settling) = self.settings.settling {
            let now = (self.settings.now)();
            for (name, _) in there.iter().filter(|(name, now)| as_known(known, name, **now).is_none()) {
                // What cannot be read is left to the look into it.
                if let Ok(Some(wait)) = settle::look(&self.root.join(folder).join(name), settling, now) {
                    *settles = Some(settles.map_or(wait.until, |settles| settles.min(wait.until)));
                    waiting.insert(unit_of(Path::new(name)));
                }
            }
        }
        let mut files = Files::new();
        for (name, now) in there {
            let is_waiting = || !waiting.is_empty() && waiting.contains(&unit_of(Path::new(name)));
            let seen = match as_known(known, name, *now) {
                Some(seen) => Some(seen.clone()),
                None if is_waiting() => known.get(name).cloned(),
                None => self.look_into(&folder.join(name), *now),
            };
            files.extend(seen.map(|seen| (name.clone(), seen)));
        }
        files
    }

    /// What one file is; none of what is gone again.
    fn look_into(&self, path: &Path, found: Fingerprint) -> Option<Seen> {
        let (root, now) = (Arc::from(self.root), micros_of((self.settings.now)()));
        let around = Surroundings { root: &root, zone: &*self.settings.zone, now };
        match identify::look(around, path, None, None) {
            Ok(identify::Look::NotMedia(fingerprint, _)) => {
                Some(Seen { fingerprint, media: None, is_read: true })
            }
            Ok(identify::Look::Media(looked)) => {
                let (component, probe) = *looked;
                let media = Media {
                    format: component.media.format,
                    taken: probe.captured.micros,
                    live_identifier: probe.live_identifier,
                    duration_millis: probe.duration_millis,
                };
                Some(Seen { fingerprint: component.fingerprint, media: Some(media), is_read: true })
            }
            Err(IdentifyError::Read(error)) if error.kind() == io::ErrorKind::NotFound => None,
            // It is told all the same: whoever opens it says why it is not backed up.
            Err(_) => {
                let media = classify(path.as_os_str(), &[]).media().map(|media| Media {
                    format: media.format,
                    taken: found.modified_ns.div_euclid(1000),
                    live_identifier: None,
                    duration_millis: None,
                });
                Some(Seen { fingerprint: found, media, is_read: false })
            }
        }
    }

    /// The assets that the files of a folder are.
    fn assets_of(&self, folder: &Path, files: &Files) -> Vec<(OsString, Told)> {
        let media: Vec<(&OsString, &Seen, &Media)> =
            files.iter().filter_map(|(name, seen)| Some((name, seen, seen.media.as_ref()?))).collect();
        let names: Vec<String> = media.iter().map(|(name, ..)| text_of(name)).collect();
        let items: Vec<Item<'_>> = media
            .iter()
            .zip(&names)
            .map(|((_, _, media), name)| Item {
                name,
                format: media.format,
                live_identifier: media.live_identifier.as_deref(),
                duration_millis: media.duration_millis,
            })
            .collect();
        let pairs = pairing::pair(&items);
        let videos: HashSet<usize> = pairs.iter().map(|pair| pair.video).collect();
        let motions: BTreeMap<usize, usize> = pairs.iter().map(|pair| (pair.image, pair.video)).collect();
        let mains = media.iter().enumerate().filter(|(at, _)| !videos.contains(at));
        mains
            .map(|(at, main)| {
                let motion = motions.get(&at).and_then(|video| media.get(*video));
                (main.0.clone(), self.told(folder, *main, motion.copied()))
            })
            .collect()
    }

    fn told(
        &self,
        folder: &Path,
        (name, main, media): (&OsString, &Seen, &Media),
        motion: Option<(&OsString, &Seen, &Media)>,
    ) -> Told {
        let kind = match (motion, media.format.kind()) {
            (Some(_), _) => AssetKind::LivePhoto,
            (None, MediaKind::Image) => AssetKind::Photo,
            (None, MediaKind::Video) => AssetKind::Video,
        };
        let asset = DeviceAsset {
            id: AssetId(raw(&folder.join(name))),
            name: name.to_string_lossy().into_owned(),
            kind,
            fingerprint: motion
                .map_or(main.fingerprint, |(_, motion, _)| both(main.fingerprint, motion.fingerprint)),
            taken: media.taken,
            albums: [album(self.id, self.root, folder).key].into(),
            favourite: false,
            locality: Locality::Here,
            motion: if motion.is_some() { Motion::Here } else { Motion::None },
        };
        Told { asset, motion: motion.map(|(name, ..)| name.clone()), generation: 0 }
    }
}

/// A file that need not be looked into.
fn as_known<'f>(known: &'f Files, name: &OsStr, now: Fingerprint) -> Option<&'f Seen> {
    known.get(name).filter(|seen| seen.is_read && seen.fingerprint == now)
}

/// The fingerprint of a Live Photo: another one when either half is.
fn both(still: Fingerprint, motion: Fingerprint) -> Fingerprint {
    let mut digest = blake3::Hasher::new();
    for half in [still, motion] {
        digest
            .update(&half.size.to_le_bytes())
            .update(&half.modified_ns.to_le_bytes())
            .update(&half.inode.to_le_bytes());
    }
    let mark = digest.finalize();
    let mark = mark.as_bytes().first_chunk().map_or(0, |mark| u64::from_le_bytes(*mark));
    Fingerprint { size: still.size.saturating_add(motion.size), modified_ns: still.modified_ns, inode: mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_photo_is_another_when_either_half_is() {
        let half = |size, modified_ns, inode| Fingerprint { size, modified_ns, inode };
        let (still, video) = (half(10, 20, 30), half(40, 50, 60));
        let whole = both(still, video);
        assert_eq!((whole.size, whole.modified_ns), (50, 20));
        assert_eq!(whole, both(still, video));
        for other in [half(41, 50, 60), half(40, 51, 60), half(40, 50, 61)] {
            assert_ne!(whole.inode, both(still, other).inode);
            assert_ne!(whole.inode, both(other, video).inode);
        }
    }

    #[test]
    fn what_was_on_a_disk_that_is_away_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |path: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), path).unwrap();
        };
        let settings = FolderSettings { settling: None, ..FolderSettings::default() };
        let look = Look { id: b"folder:test", root: &root, settings: &settings };
        let see = |before: Option<&Listing>, mounted: &[&str]| {
            let mounted = || mounted.iter().map(|place| place.as_bytes().to_vec()).collect();
            look.at_tree(before, 1, mounted).unwrap()
        };
        let told = |listing: &Listing| {
            let ids = listing.assets().map(|asset| String::from_utf8(asset.id.0.clone()).unwrap());
            ids.collect::<Vec<_>>().join(" ")
        };
        for path in ["a.jpg", "card/DCIM/1.jpg", "card/2.jpg", "plain/3.jpg"] {
            write(path);
        }
        let there = see(None, &["card", "empty"]);
        assert_eq!(told(&there), "a.jpg card/2.jpg card/DCIM/1.jpg plain/3.jpg");
        // Only its place is left of the card.
        std::fs::remove_dir_all(root.join("card")).unwrap();
        std::fs::remove_dir_all(root.join("plain")).unwrap();
        std::fs::create_dir(root.join("card")).unwrap();
        let away = see(Some(&there), &[]);
        assert_eq!(told(&away), "a.jpg card/2.jpg card/DCIM/1.jpg");
        assert_eq!(told(&see(Some(&away), &[])), told(&away), "however often it is looked at");
        let changes = away.changes(Some(&there.token()));
        assert_eq!(changes.gone, [AssetId::new("plain/3.jpg")]);
        // It is back, and what was deleted from it meanwhile is gone.
        write("card/2.jpg");
        let back = see(Some(&away), &["card"]);
        assert_eq!(told(&back), "a.jpg card/2.jpg");
        assert_eq!(back.changes(Some(&away.token())).gone, [AssetId::new("card/DCIM/1.jpg")]);
    }

    #[test]
    fn what_has_been_gone_for_too_long_is_told_with_everything() {
        let mut listing = Listing { generation: 3, ..Listing::nothing(7) };
        let id = |number: usize| AssetId::new(&number.to_string());
        listing.gone = (0..=GONE_KEPT).map(|number| (if number == 0 { 2 } else { 3 }, id(number))).collect();
        listing.forget_gone();
        let told = |generation| {
            let token = Listing { generation, ..listing.clone() }.token();
            assert_eq!(device_of_token(&token), Some(7));
            let told = listing.changes(Some(&token));
            (told.is_everything, told.gone.len())
        };
        assert_eq!([1, 2, 3, 4].map(told), [(true, 0), (false, GONE_KEPT), (false, 0), (true, 0)]);
    }
}
