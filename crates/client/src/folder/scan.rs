//! What a sync folder has: one `stat` a file that is what it was, and a reading of every other one that has settled.
//!
//! Nothing is concluded from what cannot be seen: what has not settled, cannot be read or is passed over is unknown, and a path is absent only
//! if the system says that there is no such file, while every folder could be listed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_media::complete::is_complete;
use darkslide_media::file_type::{FileType, HEAD_LEN, classify};

use super::mounts::Mounts;
use super::reconcile::{Base, DiskId, Local, Present, RelativePath, Step};
use super::still::Tree;
use super::{aside, marker};
use crate::catalog::BaseRow;
use crate::error::quoted;
use crate::library::folder::{fingerprint, nanoseconds};
use crate::library::settle::{self, Settling, changed_on_this_disk};
use crate::library::{PassReason, PassedOver, raw};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// All that one `stat` says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Its bytes.
    pub size: u64,
    /// Which file it is.
    pub disk: DiskId,
    /// When it was last written to, by whatever clock, ns since the epoch.
    pub modified_ns: i64,
    /// When anything last happened to it on this disk, ns since the epoch.
    pub changed_ns: i64,
}

impl Stat {
    /// Of a file that was looked at.
    pub fn of(metadata: &Metadata) -> Self {
        let found = fingerprint(metadata);
        let born_ns = metadata.created().map_or(0, nanoseconds);
        Self {
            size: found.size,
            disk: DiskId { inode: found.inode, born_ns },
            modified_ns: found.modified_ns,
            changed_ns: nanoseconds(changed_on_this_disk(metadata)),
        }
    }
}

/// What was found out about files that nothing is agreed on yet, so that they are read once.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    seen: HashMap<RelativePath, (Stat, Known)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Content(ContentHash),
    NotMedia,
}

/// A file that waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Below the root.
    pub path: RelativePath,
    /// When to look again.
    pub until: SystemTime,
    /// What for.
    pub reason: String,
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// What is at each path.
    pub local: BTreeMap<RelativePath, Local>,
    /// What `stat` said of whole files, where that is not what was agreed on.
    pub stats: HashMap<RelativePath, Stat>,
    /// Whether every folder could be listed.
    pub is_listed: bool,
    /// Whether something came or went in the middle, so that nothing is known to be absent.
    pub is_moving: bool,
    /// What is being written.
    pub unsettled: Vec<Unsettled>,
    /// What could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Files that are what was agreed on, and of which `stat` says something new all the same; with what was agreed on.
    pub touched: Vec<(RelativePath, BaseRow)>,
    /// Bytes that were read.
    pub bytes_read: u64,
}

/// Scans a root. `progress` is told how many bytes were read so far. Fails only if the root itself cannot be listed.
pub fn scan(
    root: &Path,
    base: &BTreeMap<RelativePath, BaseRow>,
    memory: &mut Memory,
    mounts: &Mounts,
    settling: Settling,
    now: SystemTime,
    mut progress: impl FnMut(&Path, u64),
) -> io::Result<Scan> {
    let mut scan = Scan { is_listed: true, ..Scan::default() };
    let mut found = Vec::new();
    let (tree, passed_over) = Tree::walk(root, |path, stat| found.push((path, stat)))?;
    let (mut seen, mut no_pictures) = (HashMap::new(), Vec::new());
    for (path, stat) in found {
        let key = raw(&path);
        let row = base.get(&key);
        if let Some(BaseRow { base: Base::Synced(agreed), stat: before }) = row
            && *before == stat
        {
            let here = Present { content: agreed.content, disk: stat.disk, size: stat.size };
            scan.local.insert(key, Local::Present(here));
            continue;
        }
        let known = match memory.seen.get(&key) {
            Some((before, known)) if *before == stat => Some(*known),
            _ => scan.look(root, &path, &key, settling, now, &mut progress),
        };
        let is_agreed = matches!(row, Some(BaseRow { base: Base::Synced(_), .. }));
        match known {
            Some(Known::Content(content)) => {
                if let Some(row) = row
                    && let Base::Synced(agreed) = row.base
                    && agreed.content == content
                {
                    scan.touched.push((key.clone(), *row));
                }
                scan.put(key.clone(), Present { content, disk: stat.disk, size: stat.size }, stat);
            }
            // A picture was agreed on here, and what is there now is none: nothing is concluded.
            Some(Known::NotMedia) if is_agreed => {
                scan.local.insert(key.clone(), Local::Unknown { size: stat.size, grows: false });
            }
            Some(Known::NotMedia) => no_pictures.push(stat),
            None => {}
        }
        if let Some(known) = known {
            seen.insert(key, (stat, known));
        }
    }
    memory.seen = seen;
    let mut hidden = Vec::new();
    for passed in &passed_over {
        let below = passed.path.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        // What went away meanwhile is just not there; a folder that cannot be listed hides everything.
        if let PassReason::Unreadable(error) = &passed.reason
            && !passed.reason.is_gone()
        {
            scan.is_listed = false;
            scan.unreadable.push((passed.path.clone(), marker::unreadable(&passed.path, error)));
        }
        hidden.push(below);
    }
    scan.tell_absent((root, &tree), base, &hidden, (&passed_over, &no_pictures));
    scan.tell_hidden(root, base, mounts);
    Ok(scan)
}

impl Scan {
    /// Forgets what `stat` said of files that no step is about, and that are not noted anew.
    pub(super) fn keep_stats_of(&mut self, steps: &[Step]) {
        let touched = self.touched.iter().map(|(path, _)| path);
        let paths = steps.iter().map(|step| &step.path).chain(touched);
        self.stats = paths
            .filter_map(|path| self.stats.get_key_value(path))
            .map(|(path, stat)| (path.clone(), *stat))
            .collect();
    }

    fn put(&mut self, path: RelativePath, here: Present, stat: Stat) {
        self.stats.insert(path.clone(), stat);
        self.local.insert(path, Local::Present(here));
    }

    /// Finds out what a file is that is new, or not what it was. None where that is not known for now.
    fn look(
        &mut self,
        root: &Path,
        path: &Path,
        key: &RelativePath,
        settling: Settling,
        now: SystemTime,
        progress: &mut impl FnMut(&Path, u64),
    ) -> Option<Known> {
        let whole = root.join(path);
        let (size, looked) = match look(&whole, settling, now, |bytes| {
            self.bytes_read += bytes;
            progress(&whole, bytes);
        }) {
            Ok(looked) => looked,
            // It went away between two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let size = whole.symlink_metadata().map_or(0, |metadata| metadata.len());
                self.local.insert(key.clone(), Local::Unknown { size, grows: false });
                let reason = marker::unreadable(&whole, &error);
                self.unreadable.push((whole, reason));
                return None;
            }
        };
        match looked {
            Looked::Known(known) => Some(known),
            Looked::Unsettled(wait) => {
                self.local.insert(key.clone(), Local::Unknown { size, grows: true });
                let (until, reason) = (wait.until, wait.reason.to_string());
                self.unsettled.push(Unsettled { path: key.clone(), until, reason });
                None
            }
        }
    }

    /// Of what was agreed on and was not met: what is only hidden is unknown, and so is what the system says anything else of but that
    /// there is no such file, and everything if anything moved meanwhile. What has only another name, one that is passed over or that makes no picture of it, lies aside.
    fn tell_absent(
        &mut self,
        (root, tree): (&Path, &Tree),
        base: &BTreeMap<RelativePath, BaseRow>,
        hidden: &[PathBuf],
        (passed_over, no_pictures): (&[PassedOver], &[Stat]),
    ) {
        let mut missing = Vec::new();
        for (path, row) in base {
            let Base::Synced(agreed) = row.base else { continue };
            if self.local.contains_key(path) {
                continue;
            }
            let below = crate::library::path_of(path);
            let is_hidden = hidden.iter().any(|hidden| below.starts_with(hidden));
            if is_hidden || !is_absent(&root.join(&below)) {
                self.local.insert(path.clone(), Local::Unknown { size: agreed.size, grows: false });
            } else {
                missing.push((path, agreed.disk, row.stat));
            }
        }
        if missing.is_empty() {
            return;
        }
        if !tree.is_still(root) {
            let unknown = |(path, _, stat): (&RelativePath, _, Stat)| {
                (path.clone(), Local::Unknown { size: stat.size, grows: false })
            };
            self.local.extend(missing.into_iter().map(unknown));
            self.is_moving = true;
            return;
        }
        missing.retain(|(_, disk, _)| *disk != DiskId::default());
        // What is met under a name of its own was renamed or copied to there, whatever else leads to it.
        let met: HashSet<DiskId> = self.stats.values().map(|stat| stat.disk).collect();
        missing.retain(|(_, disk, _)| !met.contains(disk));
        let missed: HashMap<_, _> = missing.iter().map(|(_, disk, stat)| (*disk, *stat)).collect();
        let mut aside = aside::find(passed_over, &missed);
        // What only its old name said to be a picture is there still.
        aside.extend(aside::among(no_pictures.iter().copied(), &missed));
        let lie_aside = missing.into_iter().filter(|(_, disk, _)| aside.contains(disk));
        self.local.extend(lie_aside.map(|(path, ..)| (path.clone(), Local::Aside)));
    }

    /// Of what was agreed on where a disk was mounted and is not, or the other way round, nothing is known, whatever is there now.
    fn tell_hidden(&mut self, root: &Path, base: &BTreeMap<RelativePath, BaseRow>, mounts: &Mounts) {
        for place in &mounts.changed {
            let place = root.join(crate::library::path_of(place));
            let reason = format!(
                "what is mounted here is not what was before: nothing below it is touched. If it is to stay so, `darkslide sync readopt {}` \
                 takes over what is there",
                quoted(&root.display().to_string())
            );
            self.unreadable.push((place, reason));
        }
        for (path, row) in base.iter().filter(|(path, _)| mounts.hides(path)) {
            self.stats.remove(path);
            self.local.insert(path.clone(), Local::Unknown { size: row.stat.size, grows: false });
        }
    }
}

/// Whether the system says that there is no such file.
pub(super) fn is_absent(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

enum Looked {
    Known(Known),
    Unsettled(settle::Wait),
}

/// Opens a file, waits for it to settle, and reads it.
fn look(
    path: &Path,
    settling: Settling,
    now: SystemTime,
    progress: impl FnMut(u64),
) -> io::Result<(u64, Looked)> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    let mut head = Vec::with_capacity(HEAD_LEN);
    (&mut file).take(HEAD_LEN as u64).read_to_end(&mut head)?;
    let media = match classify(path.file_name().unwrap_or_default(), &head) {
        FileType::Media(media) => media,
        // Something that is being written may have no head yet.
        FileType::NotMedia(_) => {
            let kind = darkslide_media::file_type::MediaKind::Image;
            let fresh = settle::wait(settling, kind, changed_on_this_disk(&before), now, || {
                Ok::<_, io::Error>(true)
            })?;
            let looked = fresh.map_or(Looked::Known(Known::NotMedia), Looked::Unsettled);
            return Ok((before.len(), looked));
        }
    };
    let changed = changed_on_this_disk(&before);
    let wait = settle::wait(settling, media.kind, changed, now, || is_complete(media.format, &mut file))?;
    if let Some(wait) = wait {
        return Ok((before.len(), Looked::Unsettled(wait)));
    }
    file.seek(SeekFrom::Start(0))?;
    // What was written to meanwhile is nothing in particular.
    let Some(content) = content_of(&mut file, &before, progress)? else {
        let wait = settle::Wait { until: now + settling.photos, reason: settle::Unsettled::Fresh };
        return Ok((before.len(), Looked::Unsettled(wait)));
    };
    Ok((before.len(), Looked::Known(Known::Content(content))))
}

/// What a file has from here on; none if it was written to since `before`.
pub(crate) fn content_of(
    file: &mut File,
    before: &Metadata,
    mut progress: impl FnMut(u64),
) -> io::Result<Option<ContentHash>> {
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(before.len()).unwrap_or(READ_BYTES)).max(1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                progress(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is_what_it_was = Stat::of(&file.metadata()?) == Stat::of(before);
    Ok(is_what_it_was.then(|| hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::reconcile::Synced;
    use darkslide_protocol::{FileId, Version};
    use std::fs;
    use std::time::Duration;

    /// A look reads what is new, and meanwhile somebody tidies up.
    #[test]
    fn what_moves_during_a_look_is_not_gone() {
        for moves in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            let old = root.join("Inbox/Trip/a.jpg");
            for path in [&old, &root.join("2025/b.jpg"), &root.join("2025/new.jpg")] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, [&[0xFF, 0xD8, 0xFF, 0xE0, 0, 2][..], b"picture", &[0xFF, 0xD9]].concat())
                    .unwrap();
            }
            let agreed = |path: &Path| {
                let stat = Stat::of(&path.symlink_metadata().unwrap());
                let base = Base::Synced(Synced {
                    content: ContentHash::of(&fs::read(path).unwrap()),
                    disk: stat.disk,
                    size: stat.size,
                    file: FileId(1),
                    version: Version(1),
                    absent_since: None,
                });
                (raw(path.strip_prefix(&root).unwrap()), BaseRow { base, stat })
            };
            let base = BTreeMap::from([agreed(&old), agreed(&root.join("2025/b.jpg"))]);
            // The clock of a file system ticks a few hundred times a second.
            std::thread::sleep(Duration::from_millis(20));
            fs::remove_file(root.join("2025/b.jpg")).unwrap();
            let mut has_moved = false;
            let none = Duration::ZERO;
            let scan = scan(
                &root,
                &base,
                &mut Memory::default(),
                &Mounts::default(),
                Settling { photos: none, videos: none, incomplete: none },
                SystemTime::now() + Duration::from_mins(1),
                |path, _| {
                    assert!(path.ends_with("2025/new.jpg"));
                    if moves && !has_moved {
                        std::thread::sleep(Duration::from_millis(20));
                        fs::rename(root.join("Inbox/Trip"), root.join("2025/Trip")).unwrap();
                        has_moved = true;
                    }
                },
            )
            .unwrap();
            assert_eq!((scan.is_moving, has_moved), (moves, moves));
            let is_known = |path: &str| scan.local.contains_key(&raw(Path::new(path)));
            assert!(is_known("Inbox/Trip/a.jpg") && is_known("2025/new.jpg"));
            // It is gone indeed, which is known as soon as all is still.
            assert_eq!(is_known("2025/b.jpg"), moves);
        }
    }
}
