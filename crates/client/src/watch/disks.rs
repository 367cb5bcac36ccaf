//! Network disks, and whether they answer. One whose server is away keeps whoever asks it anything waiting, often for ever: so each is asked on a
//! thread of its own, and not again while it owes that answer. Everybody else goes by that, and leaves the disk alone.
//!
//! It is about disks of other machines alone: those of this one fail instead.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use darkslide_media::names::ignored_folder;
use tokio::sync::watch;
use tokio::time::Instant;

use super::file_system::untold_kind;
use crate::mount_points::{MountPoint, mount_points};

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
    until: Instant,
    /// Closed when it comes.
    answered: watch::Receiver<()>,
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
        let Owed { until, mut answered } = self.owed(folder, patience, question);
        // It is closed, and never written to.
        tokio::time::timeout_at(until, answered.changed()).await.is_ok()
    }

    fn owed(&self, folder: &Path, patience: Duration, question: impl FnOnce(&Path) + Send + 'static) -> Owed {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owed) = asked.get(folder).filter(|owed| owed.answered.has_changed().is_ok()) {
            return owed.clone();
        }
        let (owes, answered) = watch::channel(());
        let owed = Owed { until: Instant::now() + patience, answered };
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
        let mut silent = Vec::new();
        for disk in network_disks_below(root, &mount_points()) {
            if !self.answers(&disk, patience).await {
                silent.push(disk);
            }
        }
        silent
    }

    /// The network disk that a path is on, if it does not answer in time. Links are not followed: that would be asking it.
    pub async fn silent_at(&self, path: &Path, patience: Duration) -> Option<PathBuf> {
        let mounts = mount_points();
        let disk = network_disk_of(path, &mounts)?;
        (!self.answers(disk, patience).await).then(|| disk.to_owned())
    }

    /// Waits until a network disk that a root is on, or that lies below it, falls silent; for ever where none does. They are asked every so often. Those
    /// of which that is known are left alone.
    pub async fn falls_silent(
        &self,
        root: &Path,
        known: &[PathBuf],
        every: Duration,
        patience: Duration,
    ) -> PathBuf {
        loop {
            tokio::time::sleep(every).await;
            if let Some(disk) = self.silent_at(root, patience).await {
                return disk;
            }
            let mut silent = self.silent_below(root, patience).await.into_iter();
            if let Some(disk) = silent.find(|disk| !known.contains(disk)) {
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

/// Where the disk is mounted that a path is on, if it is a network disk. Of several at one place the last one counts.
fn network_disk_of<'m>(path: &Path, mounts: &'m [MountPoint]) -> Option<&'m Path> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.path));
    let disk = around.max_by_key(|mount| mount.path.components().count())?;
    untold_kind(&disk.kind).map(|_| disk.path.as_path())
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
            assert!(!disks.ask(nas, Duration::from_hours(1), |_| panic!("it is asked again")).await);
        }
        assert!(disks.ask(Path::new("/other"), Duration::from_hours(1), |_| ()).await);
        let mut owed = disks.owed(nas, SHORT, |_| panic!("it is asked again")).answered;
        drop(answer);
        assert!(owed.changed().await.is_err(), "it is closed");
        assert!(disks.ask(nas, Duration::from_hours(1), |_| ()).await);
        assert!(disks.answers(Path::new("/nowhere/at/all"), Duration::from_hours(1)).await);
        assert!(disks.silent_at(Path::new("/proc"), SHORT).await.is_none());
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
