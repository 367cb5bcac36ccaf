//! What a sync folder has: one `stat` a file that is what it was, and a reading of every other one that has settled.
//!
//! Nothing is concluded from what cannot be seen: what has not settled, cannot be read or is passed over is unknown, and a path is absent only
//! if the system says that there is no such file, while every folder could be listed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use darkslide_crypto::ContentHash;
use darkslide_media::complete::is_complete;
use darkslide_media::file_type::{FileType, HEAD_LEN, classify};

use super::mounts::Mounts;
use super::reading::content_while;
use super::reconcile::{Base, DiskId, Local, Present, RelativePath, Step};
use super::still::{Since, Tree};
use super::{aside, marker};
use crate::catalog::BaseRow;
use crate::error::quoted;
use crate::library::folder::{fingerprint, nanoseconds};
use crate::library::settle::{self, Settling, changed_on_this_disk};
use crate::library::{PassReason, PassedOver, raw};

/// Bytes of text at least that are no beginning of a picture: what formats begin with is shorter, or no text.
const TEXT_LEN: usize = 64;

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
    /// Whether reading was cut short: of what was not read by then nothing is known.
    pub is_cut: bool,
    /// What is being written.
    pub unsettled: Vec<Unsettled>,
    /// What could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Files that are what was agreed on, and of which `stat` says something new all the same; with what was agreed on.
    pub touched: Vec<(RelativePath, BaseRow)>,
    /// Bytes that were read.
    pub bytes_read: u64,
}

/// Scans a root. `goes_on` is told how many bytes were read, and says whether more are to be. Fails only if the root itself cannot be listed.
pub fn scan(
    root: &Path,
    base: &BTreeMap<RelativePath, BaseRow>,
    memory: &mut Memory,
    mounts: &Mounts,
    settling: Settling,
    now: SystemTime,
    goes_on: impl FnMut(&Path, u64) -> bool,
) -> io::Result<Scan> {
    let mut scan = Scan { is_listed: true, ..Scan::default() };
    let mut found = Vec::new();
    let (tree, mut passed_over) = Tree::walk(root, |path, stat| found.push((path, stat)))?;
    let before = std::mem::take(&mut memory.seen);
    let (seen, unknown, no_pictures) = (HashMap::new(), HashMap::new(), Vec::new());
    let mut eyes = Eyes { root, base, before, settling, now, goes_on, seen, unknown, no_pictures };
    for (path, stat) in found {
        scan.meet(&path, stat, &mut eyes);
    }
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
    scan.tell_absent(&tree, &hidden, &mut passed_over, &mut eyes);
    memory.seen = eyes.seen;
    scan.tell_hidden(root, base, mounts);
    Ok(scan)
}

/// What files are looked at with.
struct Eyes<'a, P> {
    root: &'a Path,
    base: &'a BTreeMap<RelativePath, BaseRow>,
    /// What was found out at earlier looks.
    before: HashMap<RelativePath, (Stat, Known)>,
    settling: Settling,
    now: SystemTime,
    goes_on: P,
    /// What is found out at this one.
    seen: HashMap<RelativePath, (Stat, Known)>,
    /// Files of which nothing was found out.
    unknown: HashMap<RelativePath, Stat>,
    /// Files that are no pictures.
    no_pictures: Vec<Stat>,
}

impl<P> Eyes<'_, P> {
    /// Whether a file with this path was met already, and was what it is.
    fn has_met(&self, scan: &Scan, key: &RelativePath, stat: Stat) -> bool {
        let is_agreed = self.base.get(key).is_some_and(|row| row.stat == stat);
        match scan.local.get(key) {
            Some(Local::Present(here)) if is_agreed => here.disk == stat.disk,
            _ => self.seen.get(key).map(|(seen, _)| seen).or(self.unknown.get(key)) == Some(&stat),
        }
    }
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

    /// Notes what a file is that was met.
    fn meet<P: FnMut(&Path, u64) -> bool>(&mut self, path: &Path, stat: Stat, eyes: &mut Eyes<'_, P>) {
        let key = raw(path);
        let row = eyes.base.get(&key);
        if let Some(BaseRow { base: Base::Synced(agreed), stat: before }) = row
            && *before == stat
        {
            let here = Present { content: agreed.content, disk: stat.disk, size: stat.size };
            self.local.insert(key, Local::Present(here));
            return;
        }
        let known = match eyes.before.get(&key) {
            Some((before, known)) if *before == stat => Some(*known),
            _ => self.look(path, &key, eyes),
        };
        let is_agreed = matches!(row, Some(BaseRow { base: Base::Synced(_), .. }));
        match known {
            Some(Known::Content(content)) => {
                if let Some(row) = row
                    && let Base::Synced(agreed) = row.base
                    && agreed.content == content
                {
                    self.touched.push((key.clone(), *row));
                }
                self.put(key.clone(), Present { content, disk: stat.disk, size: stat.size }, stat);
            }
            // A picture was agreed on here, and what is there now is none: nothing is concluded.
            Some(Known::NotMedia) if is_agreed => {
                self.local.insert(key.clone(), Local::Unknown { size: stat.size, grows: false });
            }
            Some(Known::NotMedia) => eyes.no_pictures.push(stat),
            None => {}
        }
        match known {
            Some(known) => drop(eyes.seen.insert(key, (stat, known))),
            None => drop(eyes.unknown.insert(key, stat)),
        }
    }

    /// Finds out what a file is that is new, or not what it was. None where that is not known for now.
    fn look<P: FnMut(&Path, u64) -> bool>(
        &mut self,
        path: &Path,
        key: &RelativePath,
        eyes: &mut Eyes<'_, P>,
    ) -> Option<Known> {
        let whole = eyes.root.join(path);
        let unread = |whole: &Path| {
            let size = whole.symlink_metadata().map_or(0, |metadata| metadata.len());
            Local::Unknown { size, grows: false }
        };
        if self.is_cut {
            self.local.insert(key.clone(), unread(&whole));
            return None;
        }
        let (size, looked) = match look(&whole, eyes.settling, eyes.now, |bytes| {
            self.bytes_read += bytes;
            self.is_cut |= !(eyes.goes_on)(&whole, bytes);
            !self.is_cut
        }) {
            // Whatever else became of it: it is not read to its end.
            Ok(_) if self.is_cut => {
                self.local.insert(key.clone(), unread(&whole));
                return None;
            }
            Ok(looked) => looked,
            // It went away between two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.local.insert(key.clone(), unread(&whole));
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
    /// there is no such file, and whatever may have moved meanwhile. What has only another name, one that is passed over or that makes no picture of it, lies aside.
    fn tell_absent<P: FnMut(&Path, u64) -> bool>(
        &mut self,
        tree: &Tree,
        hidden: &[PathBuf],
        passed_over: &mut Vec<PassedOver>,
        eyes: &mut Eyes<'_, P>,
    ) {
        let mut missing = Vec::new();
        for (path, row) in eyes.base {
            let Base::Synced(agreed) = row.base else { continue };
            if self.local.contains_key(path) {
                continue;
            }
            let below = crate::library::path_of(path);
            let is_hidden = hidden.iter().any(|hidden| below.starts_with(hidden));
            if is_hidden || !is_absent(&eyes.root.join(&below)) {
                self.local.insert(path.clone(), Local::Unknown { size: agreed.size, grows: false });
            } else {
                missing.push((path, agreed.disk, row.stat));
            }
        }
        if missing.is_empty() {
            return;
        }
        let since = tree.since(eyes.root);
        let came: Option<HashSet<DiskId>> =
            since.as_ref().map(|since| since.files.iter().map(|(_, stat)| stat.disk).collect());
        // Under whichever name it came: what becomes of it, the next look tells.
        let mut unsure = HashSet::new();
        missing.retain(|(path, disk, stat)| {
            let may_be_there = came.as_ref().is_none_or(|came| came.contains(disk));
            if may_be_there {
                self.local.insert((*path).clone(), Local::Unknown { size: stat.size, grows: false });
                unsure.insert(*disk);
            }
            !may_be_there
        });
        self.is_moving |= !unsure.is_empty();
        let Some(mut since) = since else { return };
        since.files.retain(|(_, stat)| !unsure.contains(&stat.disk));
        self.tell_since(&since, eyes);
        passed_over.extend(since.passed_over);
        missing.retain(|(_, disk, _)| *disk != DiskId::default());
        // What is met under a name of its own was renamed or copied to there, whatever else leads to it.
        let met: HashSet<DiskId> = self.stats.values().map(|stat| stat.disk).collect();
        missing.retain(|(_, disk, _)| !met.contains(disk));
        let missed: HashMap<_, _> = missing.iter().map(|(_, disk, stat)| (*disk, *stat)).collect();
        let mut aside = aside::find(passed_over, &missed);
        // What only its old name said to be a picture is there still.
        aside.extend(aside::among(eyes.no_pictures.iter().copied(), &missed));
        let lie_aside = missing.into_iter().filter(|(_, disk, _)| aside.contains(disk));
        self.local.extend(lie_aside.map(|(path, ..)| (path.clone(), Local::Aside)));
    }

    /// Of the one folder in which something came or went since: what came may be a copy of what is missing, and what went is no other place of it.
    fn tell_since<P: FnMut(&Path, u64) -> bool>(&mut self, since: &Since, eyes: &mut Eyes<'_, P>) {
        let Some(folder) = &since.folder else { return };
        let there: HashSet<RelativePath> = since.files.iter().map(|(path, _)| raw(path)).collect();
        for (path, local) in &mut self.local {
            if let Local::Present(here) = *local
                && crate::library::path_of(path).parent() == Some(folder)
                && !there.contains(path)
            {
                self.stats.remove(path);
                *local = Local::Unknown { size: here.size, grows: false };
            }
        }
        for (path, stat) in &since.files {
            if !eyes.has_met(self, &raw(path), *stat) {
                self.meet(path, *stat, eyes);
            }
        }
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
    goes_on: impl FnMut(u64) -> bool,
) -> io::Result<(u64, Looked)> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    let mut head = Vec::with_capacity(HEAD_LEN);
    (&mut file).take(HEAD_LEN as u64).read_to_end(&mut head)?;
    let media = match classify(path.file_name().unwrap_or_default(), &head) {
        FileType::Media(media) => media,
        FileType::NotMedia(_) if is_text(&head) => {
            return Ok((before.len(), Looked::Known(Known::NotMedia)));
        }
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
    let Some(content) = content_while(&mut file, &before, goes_on)? else {
        let wait = settle::Wait { until: now + settling.photos, reason: settle::Unsettled::Fresh };
        return Ok((before.len(), Looked::Unsettled(wait)));
    };
    Ok((before.len(), Looked::Known(Known::Content(content))))
}

/// Whether a file that is no picture begins with text: of a log that a program goes on writing to it need not be waited for that it settles. Anything else may
/// be a picture whose head is still to be filled in, or that only its name makes one.
fn is_text(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character at its end may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    whole.len() >= TEXT_LEN && whole.chars().all(|one| !one.is_control() || one.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::reconcile::Synced;
    use darkslide_protocol::{FileId, Version};
    use std::fs;
    use std::time::Duration;

    fn picture(number: u8) -> Vec<u8> {
        [&[0xFF, 0xD8, 0xFF, 0xE0, 0, 2][..], b"picture", &[number, 0xFF, 0xD9]].concat()
    }

    /// A folder with pictures, of which all but `2025/new.jpg` are agreed on, and one that was deleted. `meanwhile` is done while a look reads what is new.
    fn look_while(meanwhile: impl Fn(&Path)) -> Scan {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut base = BTreeMap::new();
        for (number, name) in (0_u8..).zip(["Inbox/Trip/a.jpg", "2025/b.jpg", "2025/c.jpg"]) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, picture(number)).unwrap();
            let stat = Stat::of(&path.symlink_metadata().unwrap());
            let agreed = Synced {
                content: ContentHash::of(&picture(number)),
                disk: stat.disk,
                size: stat.size,
                file: FileId(1),
                version: Version(1),
                absent_since: None,
            };
            base.insert(raw(Path::new(name)), BaseRow { base: Base::Synced(agreed), stat });
        }
        fs::write(root.join("2025/new.jpg"), picture(9)).unwrap();
        // The clock of a file system ticks a few hundred times a second.
        std::thread::sleep(Duration::from_millis(20));
        fs::remove_file(root.join("2025/b.jpg")).unwrap();
        let mut is_done = false;
        let scan = scan(
            &root,
            &base,
            &mut Memory::default(),
            &Mounts::default(),
            Settling { photos: Duration::ZERO, videos: Duration::ZERO, incomplete: Duration::ZERO },
            SystemTime::now() + Duration::from_mins(1),
            |path, _| {
                if !std::mem::replace(&mut is_done, true) {
                    assert!(path.ends_with("2025/new.jpg"));
                    std::thread::sleep(Duration::from_millis(20));
                    meanwhile(&root);
                }
                true
            },
        );
        assert!(is_done);
        scan.unwrap()
    }

    fn at<'s>(scan: &'s Scan, path: &str) -> Option<&'s Local> {
        scan.local.get(&raw(Path::new(path)))
    }

    /// A look reads what is new, and meanwhile somebody tidies up.
    #[test]
    fn what_moves_during_a_look_is_not_gone() {
        for moves in [false, true] {
            let scan = look_while(|root| {
                if moves {
                    fs::rename(root.join("Inbox/Trip"), root.join("2025/Trip")).unwrap();
                }
            });
            assert_eq!(scan.is_moving, moves);
            assert!(at(&scan, "Inbox/Trip/a.jpg").is_some() && at(&scan, "2025/new.jpg").is_some());
            // It is gone indeed, which is known as soon as all is still.
            assert_eq!(at(&scan, "2025/b.jpg").is_some(), moves);
        }
    }

    /// Others have trashed something, which does not wait for what is new.
    #[test]
    fn what_is_not_read_to_its_end_is_unknown_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (number, name) in [(1, "a.jpg"), (2, "b.jpg")] {
            fs::write(root.join(name), picture(number)).unwrap();
        }
        let mut memory = Memory::default();
        let settling =
            Settling { photos: Duration::ZERO, videos: Duration::ZERO, incomplete: Duration::ZERO };
        let mut look = |goes_on: bool| {
            let (base, mounts, now) = (BTreeMap::new(), Mounts::default(), SystemTime::now());
            let now = now + Duration::from_mins(1);
            scan(&root, &base, &mut memory, &mounts, settling, now, |_, _| goes_on).unwrap()
        };
        let is_unknown = |local: &Local| matches!(local, Local::Unknown { grows: false, .. });
        let scan = look(false);
        assert!(scan.is_cut && scan.local.len() == 2 && scan.local.values().all(is_unknown), "{scan:?}");
        let scan = look(true);
        assert!(!scan.is_cut && !scan.local.values().any(is_unknown), "{scan:?}");
        assert_eq!(at(&scan, "b.jpg").unwrap().content(), Some(ContentHash::of(&picture(2))));
    }

    /// A program writes its log anew.
    fn log(root: &Path, folder: &str) {
        let staged = root.join(folder).join("staged");
        fs::write(&staged, "2026-11-30 all is well\n".repeat(9)).unwrap();
        fs::rename(staged, root.join(folder).join("app.log")).unwrap();
    }

    /// A camera uploads, or a program writes, at every look.
    #[test]
    fn what_comes_and_goes_in_one_folder_puts_off_only_what_it_may_be() {
        type Change = fn(&Path);
        let changes: [(Change, bool, bool); 7] = [
            (|root| log(root, "2025"), true, false),
            (|root| log(root, ""), true, false),
            (|root| fs::write(root.join("Inbox/d.jpg"), picture(8)).unwrap(), true, false),
            (|root| fs::write(root.join("Inbox/d.jpg"), picture(1)).unwrap(), true, true),
            (|root| fs::remove_file(root.join("2025/new.jpg")).unwrap(), true, true),
            (|root| fs::write(root.join("Inbox/copy"), picture(1)).unwrap(), true, true),
            (
                |root| {
                    log(root, "");
                    log(root, "2025");
                },
                false,
                true,
            ),
        ];
        for (number, (change, is_known, may_be_it)) in changes.into_iter().enumerate() {
            let scan = look_while(change);
            assert_eq!(scan.is_moving, !is_known, "{number}");
            assert_eq!(at(&scan, "2025/b.jpg").is_none(), is_known, "{number}");
            let content = Some(ContentHash::of(&picture(1)));
            let is_it = |local: &Local| matches!(local, Local::Unknown { .. }) || local.content() == content;
            assert_eq!(scan.local.values().any(is_it), may_be_it, "{number}: {scan:?}");
        }
    }

    #[test]
    fn text_is_not_waited_for() {
        let text = "2026-11-30 über all is well\n".repeat(50).into_bytes();
        for (bytes, is_known) in [
            (&b""[..], false),
            (&b"{\"state\": 1}"[..], false),
            (&text[..TEXT_LEN - 1], false),
            (&text[..=TEXT_LEN], true),
            // In the middle of a character.
            (&text[..text.iter().rposition(|byte| *byte == 0xbc).unwrap()], true),
            (&text[..], true),
            (&[&[0; HEAD_LEN][..], &text].concat(), false),
            (&[&text[..100], &[0; HEAD_LEN]].concat(), false),
            (&[&[0xbc][..], &text].concat(), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, bytes).unwrap();
            let fresh = Duration::from_hours(1);
            let settling = Settling { photos: fresh, videos: fresh, incomplete: fresh };
            let (_, looked) = look(&path, settling, SystemTime::now(), |_| true).unwrap();
            let has_settled = matches!(looked, Looked::Known(Known::NotMedia));
            assert_eq!(has_settled, is_known, "{} bytes", bytes.len());
        }
    }
}
