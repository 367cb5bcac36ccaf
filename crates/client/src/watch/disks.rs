//! Network disks, and whether they answer. One whose server is away keeps whoever asks it anything waiting, often for ever: so each is asked on a
//! thread of its own, and not again while it owes that answer. Everybody else goes by that, and leaves the disk alone.
//!
//! It is about disks of other machines alone: those of this one fail instead.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use darkslide_media::names::ignored_folder;
use tokio::sync::watch;
use tokio::time::Instant;

use super::file_system::untold_kind;
use crate::mount_points::{MountPoint, mount_points};

/// How long a disk may take to answer whoever only asks about something on it.
pub const TO_TELL: Duration = Duration::from_secs(5);

/// The same for whoever is to read from it and can leave it out.
pub const TO_READ: Duration = Duration::from_secs(10);

/// The same where nothing is done without it: those that sleep need some seconds to wake up.
pub const TO_WAKE: Duration = Duration::from_secs(30);

/// How often network disks are asked while somebody reads from them.
pub const ASKED_EVERY: Duration = Duration::from_mins(1);

/// Links that are followed on the way to one file: the system follows no more.
const LINKS_MAX: u32 = 40;

/// What this process has asked.
static ASKED: LazyLock<Disks> = LazyLock::new(Disks::default);

/// The disks, as this process has asked them.
pub fn asked() -> &'static Disks {
    &ASKED
}

/// What was asked, and is answered or not.
#[derive(Clone, Debug, Default)]
pub struct Disks(Arc<Mutex<HashMap<PathBuf, Owed>>>);

/// An answer that is owed.
#[derive(Clone, Debug)]
struct Owed {
    since: Instant,
    until: Instant,
    /// What was mounted there: the answer of a disk that was taken away says nothing of what is there now.
    mount: Option<MountPoint>,
    /// Closed when it comes.
    answered: watch::Receiver<()>,
}

impl Owed {
    fn is_open(&self) -> bool {
        self.answered.has_changed().is_ok()
    }

    fn is_late(&self, now: Instant) -> bool {
        self.until <= now && self.is_open()
    }
}

/// Something on a disk that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Where the disk is mounted.
    pub disk: PathBuf,
    /// The whole path, with the links resolved that lead there.
    pub path: PathBuf,
}

impl Disks {
    /// Whether a folder's disk answers in time. One that owes an answer for longer than that does not.
    pub async fn answers(&self, folder: &Path, patience: Duration) -> bool {
        let asked = |folder: &Path| drop(folder.read_dir().map(|mut list| list.next()));
        self.ask(folder, patience, asked).await
    }

    async fn ask(
        &self,
        folder: &Path,
        patience: Duration,
        question: impl FnOnce(&Path) + Send + 'static,
    ) -> bool {
        let Owed { since, until, mut answered, .. } = self.owed(folder, patience, question);
        // Whoever asked first may have had less patience.
        let until = until.max(since + patience);
        // It is closed, and never written to.
        tokio::time::timeout_at(until, answered.changed()).await.is_ok()
    }

    fn owed(&self, folder: &Path, patience: Duration, question: impl FnOnce(&Path) + Send + 'static) -> Owed {
        let mount = mount_of(folder, &mount_points()).cloned();
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owed) = asked.get(folder).filter(|owed| owed.is_open() && owed.mount == mount) {
            return owed.clone();
        }
        let (owes, answered) = watch::channel(());
        let since = Instant::now();
        let owed = Owed { since, until: since + patience, mount, answered };
        asked.insert(folder.to_owned(), owed.clone());
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || {
            question(&folder);
            drop(owes);
        });
        owed
    }

    /// The network disks below a root that do not answer in time.
    pub async fn silent_below(&self, root: &Path, patience: Duration) -> Vec<PathBuf> {
        self.silent_among(network_disks_below(root, &mount_points()).into_iter(), patience).await
    }

    /// Those below a root that have not answered in time, as far as they were asked: whoever walks it leaves them out.
    pub fn owing_below(&self, root: &Path) -> Vec<PathBuf> {
        self.late(|disk| disk.starts_with(root) && disk != root)
    }

    /// Whether a whole path lies on one that has not answered in time, as far as it was asked.
    pub fn owes(&self, path: &Path) -> bool {
        !self.late(|disk| path.starts_with(disk)).is_empty()
    }

    /// Those that have not answered in time, and are mounted still.
    fn late(&self, is_wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let now = Instant::now();
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late = asked.iter().filter(|(disk, owed)| is_wanted(disk) && owed.is_late(now));
        let late: Vec<_> = late.map(|(disk, owed)| (disk.clone(), owed.mount.clone())).collect();
        drop(asked);
        if late.is_empty() {
            return Vec::new();
        }
        let mounts = mount_points();
        let is_there = |(disk, mount): (PathBuf, Option<MountPoint>)| {
            (mount_of(&disk, &mounts) == mount.as_ref()).then_some(disk)
        };
        late.into_iter().filter_map(is_there).collect()
    }

    /// Where a path leads, if that is on a network disk that does not answer in time.
    pub async fn silent_at(&self, path: &Path, patience: Duration) -> Option<Silent> {
        self.silent_by(path, &mount_points(), patience).await
    }

    /// Links are followed one by one: nothing is asked of a disk before it is known that it answers.
    async fn silent_by(&self, path: &Path, mounts: &[MountPoint], patience: Duration) -> Option<Silent> {
        if mounts.iter().all(|mount| untold_kind(&mount.kind).is_none()) {
            return None;
        }
        let (mut here, mut rest) = (PathBuf::new(), std::path::absolute(path).ok()?);
        let (mut answering, mut links) = (None, 0);
        loop {
            let mut names = rest.components();
            match names.next()? {
                Component::CurDir => {}
                Component::ParentDir => drop(here.pop()),
                name => here.push(name),
            }
            let behind = names.as_path().to_owned();
            let disk = network_disk_of(&here, mounts);
            if let Some(disk) = disk.filter(|disk| answering != Some(*disk)) {
                if !self.answers(disk, patience).await {
                    here.extend(&behind);
                    return Some(Silent { disk: disk.to_owned(), path: here });
                }
                answering = Some(disk);
            }
            rest = match here.read_link() {
                Ok(target) if links < LINKS_MAX => {
                    links += 1;
                    here.pop();
                    target.join(behind)
                }
                _ => behind,
            };
        }
    }

    /// The network disks that some whole paths without links are on, and which do not answer in time.
    pub async fn silent_of<'p>(
        &self,
        paths: impl Iterator<Item = &'p Path>,
        patience: Duration,
    ) -> Vec<PathBuf> {
        let mounts = mount_points();
        let disks: BTreeSet<&Path> = paths.filter_map(|path| network_disk_of(path, &mounts)).collect();
        self.silent_among(disks.into_iter().map(Path::to_owned), patience).await
    }

    async fn silent_among(&self, disks: impl Iterator<Item = PathBuf>, patience: Duration) -> Vec<PathBuf> {
        let mut silent = Vec::new();
        for disk in disks {
            if !self.answers(&disk, patience).await {
                silent.push(disk);
            }
        }
        silent
    }

    /// Waits until a network disk that one of these roots is on, or that lies below it, falls silent; for ever where none does. They are asked
    /// every so often. Those of which that is known are left alone.
    pub async fn falls_silent(
        &self,
        roots: &[PathBuf],
        known: &[PathBuf],
        every: Duration,
        patience: Duration,
    ) -> PathBuf {
        loop {
            tokio::time::sleep(every).await;
            let mounts = mount_points();
            let around = roots.iter().filter_map(|root| network_disk_of(root, &mounts).map(Path::to_owned));
            let below = roots.iter().flat_map(|root| network_disks_below(root, &mounts));
            let disks: BTreeSet<PathBuf> = around.chain(below).collect();
            let unknown = disks.into_iter().filter(|disk| !known.contains(disk));
            if let Some(disk) = self.silent_among(unknown, patience).await.into_iter().next() {
                return disk;
            }
        }
    }
}

/// Where network disks are mounted below a root, as far as a scan comes to them.
fn network_disks_below(root: &Path, mounts: &[MountPoint]) -> Vec<PathBuf> {
    let is_met = |mount: &&MountPoint| {
        let below = mount.path.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
        let is_met = below.is_some_and(|below| !below.iter().any(|name| ignored_folder(name).is_some()));
        is_met && untold_kind(&mount.kind).is_some()
    };
    mounts.iter().filter(is_met).map(|mount| mount.path.clone()).collect()
}

/// Where the disk is mounted that a path is on, if it is a network disk.
fn network_disk_of<'m>(path: &Path, mounts: &'m [MountPoint]) -> Option<&'m Path> {
    let disk = mount_of(path, mounts)?;
    untold_kind(&disk.kind).map(|_| disk.path.as_path())
}

/// What a path is on. Of several mounts at one place the last one counts.
fn mount_of<'m>(path: &Path, mounts: &'m [MountPoint]) -> Option<&'m MountPoint> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.path));
    around.max_by_key(|mount| mount.path.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(20);

    /// Once, whoever looked was kept waiting on a thread of its own, each minute, until there were no more threads.
    #[tokio::test]
    async fn a_disk_that_owes_an_answer_is_not_asked_again() {
        let disks = Disks::default();
        let (answer, question) = mpsc::channel::<()>();
        let nas = Path::new("/nas");
        assert!(!disks.ask(nas, SHORT, move |_| assert!(question.recv().is_err())).await);
        for _ in 0..3 {
            assert!(!disks.ask(nas, SHORT, |_| panic!("it is asked again")).await);
        }
        assert!(disks.owes(&nas.join("2024")));
        // Another disk is mounted there: the one that was there says nothing of it.
        let gone = crate::mount_points::read(b"1 0 0:9 / /nas rw - nfs4 nas:/ rw");
        let set = |mount| disks.0.lock().unwrap().get_mut(nas).unwrap().mount = mount;
        let now = disks.0.lock().unwrap()[nas].mount.clone();
        set(gone);
        assert!(!disks.owes(&nas.join("2024")));
        set(now);
        assert!(disks.ask(Path::new("/other"), Duration::from_hours(1), |_| ()).await);
        let mut owed = disks.owed(nas, SHORT, |_| panic!("it is asked again")).answered;
        drop(answer);
        assert!(owed.changed().await.is_err(), "it is closed");
        assert!(disks.ask(nas, Duration::from_hours(1), |_| ()).await);
        assert!(disks.answers(Path::new("/nowhere/at/all"), Duration::from_hours(1)).await);
        assert!(disks.silent_at(Path::new("/proc"), SHORT).await.is_none());
    }

    /// Once, whoever explained a link to something on such a disk asked it for that.
    #[cfg(unix)]
    #[tokio::test]
    async fn links_are_followed_up_to_a_disk_that_does_not_answer() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inside in ["nas/2024", "here"] {
            std::fs::create_dir_all(root.join(inside)).unwrap();
        }
        symlink(root.join("nas/2024"), root.join("here/whole")).unwrap();
        symlink("../here/whole", root.join("here/twice")).unwrap();
        symlink("round", root.join("here/round")).unwrap();
        let line = format!("3 1 0:9 / {} rw - nfs4 nas:/photos rw", root.join("nas").display());
        let mounts = [crate::mount_points::read(line.as_bytes()).unwrap()];
        let disks = Disks::default();
        let at = async |path: &str| disks.silent_by(&root.join(path), &mounts, SHORT).await;
        assert_eq!(at("here/twice/a.jpg").await, None, "it answers");
        assert_eq!(disks.owing_below(&root), [] as [PathBuf; 0]);
        let (answer, question) = mpsc::channel::<()>();
        assert!(!disks.ask(&root.join("nas"), SHORT, move |_| assert!(question.recv().is_err())).await);
        for (path, leads_to) in [
            ("here/a.jpg", None),
            ("here/round", None),
            ("gone/a.jpg", None),
            ("nas", Some("nas")),
            ("here/../nas/a.jpg", Some("nas/a.jpg")),
            ("here/whole", Some("nas/2024")),
            ("here/twice/deep/a.jpg", Some("nas/2024/deep/a.jpg")),
        ] {
            let silent = leads_to.map(|to| Silent { disk: root.join("nas"), path: root.join(to) });
            assert_eq!(at(path).await, silent, "{path}");
        }
        assert_eq!(disks.owing_below(&root), [root.join("nas")]);
        assert!(disks.owes(&root.join("nas/2024")) && !disks.owes(&root.join("here")));
        assert_eq!(disks.owing_below(&root.join("nas")), [] as [PathBuf; 0]);
        drop(answer);
    }

    #[test]
    fn only_disks_of_other_machines_are_asked() {
        let mounts = {
            let lines = [
                "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
                "2 1 8:2 / /r/card rw - vfat /dev/sdb1 rw",
                "3 1 0:9 / /r/nas rw - nfs4 nas:/photos rw",
                "4 3 8:3 / /r/nas/disk rw - ext4 /dev/sdc1 rw",
                "5 1 0:8 / /r/.hidden/there rw - fuse.sshfs me@there: rw",
                "6 1 0:8 / /r2 rw - cifs there rw",
                "7 1 0:8 / /twice rw - nfs4 there rw",
                "8 7 8:4 / /twice rw - ext4 /dev/sdd1 rw",
            ];
            lines.map(|line| crate::mount_points::read(line.as_bytes()).unwrap())
        };
        assert_eq!(network_disks_below(Path::new("/r"), &mounts), [Path::new("/r/nas")]);
        assert_eq!(network_disks_below(Path::new("/r/nas"), &mounts), [] as [PathBuf; 0]);
        for (path, disk) in [
            ("/r/a.jpg", None),
            ("/r/nas", Some("/r/nas")),
            ("/r/nas/2024/a.jpg", Some("/r/nas")),
            ("/r/nas/disk/a.jpg", None),
            ("/r/nas2/a.jpg", None),
            ("/r2/a.jpg", Some("/r2")),
            ("/twice/a.jpg", None),
        ] {
            assert_eq!(network_disk_of(Path::new(path), &mounts), disk.map(Path::new), "{path}");
        }
    }
}
