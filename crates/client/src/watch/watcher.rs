//! The watcher of one folder: the system's notices where there are any, and nothing where there are none.
//!
//! It collects which folders are dirty until somebody asks, in bounded memory; it never reads a file. A notice that was lost or
//! an error means that everything is dirty.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[cfg(target_os = "linux")]
use super::inotify as system;
use super::notices::{self, Ground};
#[cfg(not(target_os = "linux"))]
use super::recursive as system;
use super::{Dirty, Root, file_system};
use crate::library::selection::Exclusions;

/// How changes of a folder become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The system tells them.
    Told,
    /// It is looked at every now and then.
    Polled(Why),
}

/// Why a folder is polled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Others may write to it.
    #[error("it is on {0}, where changes that other machines make are not told")]
    FileSystem(&'static str),
    /// The same of a disk that is mounted in it.
    #[error("{} in it is on {name}, where changes that other machines make are not told", .path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
        /// What it is.
        name: &'static str,
    },
    /// Too many folders.
    #[error(
        "the system watches no more folders for this user; `sudo sysctl fs.inotify.max_user_watches=1048576` allows more (put \
         fs.inotify.max_user_watches=1048576 into /etc/sysctl.d/60-darkslide.conf to keep it), then start the agent again"
    )]
    WatchLimit,
    /// Something else.
    #[error("the system does not tell its changes: {0}")]
    Refused(String),
}

impl Why {
    /// The user has no more instances of inotify, or the process no more descriptors: the same setting's neighbour.
    #[cfg(target_os = "linux")]
    pub(super) fn too_many_watchers() -> Self {
        Self::Refused(
            "there are too many watchers; `sudo sysctl fs.inotify.max_user_instances=1024` allows more"
                .to_owned(),
        )
    }
}

/// What the system says.
pub(super) enum Told {
    /// Something has changed.
    Change(notify::Event),
    /// Anything may have changed.
    Lost,
    /// From now on some of the folders are not watched.
    Failed(Why),
}

#[derive(Debug, Default)]
struct Shared {
    dirty: Dirty,
    failure: Option<Why>,
}

/// Whether what is removed from a folder is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removals {
    /// It means nothing: watch folders.
    AreNothing,
    /// It may be a deletion: sync folders.
    Matter,
}

/// Watches one folder until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Mutex<Shared>>,
    /// Kept for as long as notices are wanted.
    _notices: Option<system::Notices>,
    root: Option<Arc<Root>>,
    how: How,
}

impl Watcher {
    /// Begins to watch; `news` is told when there is something to ask for. What was there before is not news, nor is what happens where a scan
    /// with these exclusions does not look. A folder in it that may not be entered is left out until it may.
    pub fn begin(path: &Path, removals: Removals, exclude: Exclusions, news: Arc<Notify>) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let polled = |why| Self { shared: Arc::default(), _notices: None, root: None, how: How::Polled(why) };
        match file_system::untold(path) {
            Ok(None) => {}
            Ok(Some(name)) => return polled(Why::FileSystem(name)),
            Err(error) => return polled(Why::Refused(error.to_string())),
        }
        // Before the watch begins: what takes the root's place in between is seen.
        let root = Arc::new(Root::look(path));
        let mut ground = Ground { root: path.to_owned(), removals, exclude, apart: Vec::new() };
        // What is told of the rest is heard all the same.
        let untold = root.untold_below(|mounted| ground.leaves_out(mounted));
        let mounted = untold.first().cloned().map(|(path, name)| Why::Mounted { path, name });
        let how = mounted.map_or(How::Told, How::Polled);
        ground.apart = untold.into_iter().map(|(path, _)| path).collect();
        match listen(ground, Arc::clone(&shared), news) {
            Ok(notices) => Self { shared, _notices: Some(notices), root: Some(root), how },
            Err(why) => polled(why),
        }
    }

    /// What has become dirty since this was asked last.
    pub fn take(&mut self) -> Dirty {
        let mut shared = lock(&self.shared);
        // From now on some of its folders are not watched: all of them are looked at every now and then.
        if let Some(why) = shared.failure.take() {
            self.how = How::Polled(why);
        }
        std::mem::take(&mut shared.dirty)
    }

    /// The root that the system's notices are of, to be asked whether it is still there; none where there are no notices.
    pub fn root(&self) -> Option<&Arc<Root>> {
        self.root.as_ref()
    }

    /// How changes become known.
    pub fn how(&self) -> &How {
        &self.how
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(ground: Ground, shared: Arc<Mutex<Shared>>, news: Arc<Notify>) -> Result<system::Notices, Why> {
    let ground = Arc::new(ground);
    let heard = Arc::clone(&ground);
    system::listen(ground, move |told| {
        let mut shared = lock(&shared);
        match told {
            Told::Change(notice) => notices::read(&heard, &notice, is_folder, &mut shared.dirty),
            Told::Lost => shared.dirty.merge(Dirty::everything()),
            Told::Failed(why) => {
                shared.dirty.merge(Dirty::everything());
                shared.failure.get_or_insert(why);
            }
        }
        if !shared.dirty.is_clean() {
            news.notify_one();
        }
    })
}

/// Links are not followed.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::selection::{Reach, Scope};
    use std::fs;

    /// Waits until a folder is known to be dirty, by the system's own notices.
    async fn until_dirty(watcher: &mut Watcher, news: &Notify, folder: &str) -> Reach {
        loop {
            news.notified().await;
            match watcher.take().take() {
                Some(Scope::Folders(folders)) => {
                    if let Some(reach) = folders.get(Path::new(folder)) {
                        return *reach;
                    }
                }
                Some(Scope::Everything) => panic!("nothing overflowed"),
                None => {}
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn changes_are_told_as_folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("a")).unwrap();
        let news = Arc::new(Notify::new());
        let mut watcher =
            Watcher::begin(&root, Removals::AreNothing, Exclusions::default(), Arc::clone(&news));
        assert_eq!(watcher.how(), &How::Told);
        fs::write(root.join("a/1.jpg"), b"x").unwrap();
        assert_eq!(until_dirty(&mut watcher, &news, "a").await, Reach::Itself);
        fs::create_dir(root.join("b")).unwrap();
        assert_eq!(until_dirty(&mut watcher, &news, "b").await, Reach::Below);
        fs::rename(root.join("a/1.jpg"), root.join("2.jpg")).unwrap();
        until_dirty(&mut watcher, &news, "").await;
        // Reading is no change.
        watcher.take();
        fs::read(root.join("2.jpg")).unwrap();
        // A new folder is told before it is watched: what comes into it in between is found by looking at all that is below it.
        let moment = std::time::Duration::from_millis(50);
        loop {
            fs::write(root.join("b/3.jpg"), b"x").unwrap();
            if tokio::time::timeout(moment, until_dirty(&mut watcher, &news, "b")).await.is_ok() {
                break;
            }
        }
    }

    /// A look writes down what it saw: that must not be the reason for another.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_written_in_our_own_folders_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inside in ["ours/default", ".hidden/deep", "pictures"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        for (removals, quiet) in [
            (Removals::AreNothing, &["ours", "ours/default", ".hidden", ".hidden/deep"][..]),
            (Removals::Matter, &["ours", "ours/default"]),
        ] {
            let news = Arc::new(Notify::new());
            let exclude = Exclusions::default().and_own(vec![root.join("ours")]);
            let mut watcher = Watcher::begin(&root, removals, exclude, Arc::clone(&news));
            assert_eq!(watcher.how(), &How::Told);
            for inside in quiet {
                fs::write(root.join(inside).join("catalog.sqlite"), b"x").unwrap();
                fs::remove_file(root.join(inside).join("catalog.sqlite")).unwrap();
            }
            // Notices come in their order: behind this one there is none of those above.
            fs::write(root.join("pictures/1.jpg"), b"x").unwrap();
            news.notified().await;
            let dirty = watcher.take().take();
            let expected = Scope::Folders([("pictures".into(), Reach::Itself)].into());
            assert_eq!(dirty, Some(expected), "{removals:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_polled() {
        let watcher = Watcher::begin(
            Path::new("/nowhere/at/all"),
            Removals::Matter,
            Exclusions::default(),
            Arc::default(),
        );
        assert!(matches!(watcher.how(), How::Polled(Why::Refused(_))));
        assert!(Why::WatchLimit.to_string().contains("sudo sysctl fs.inotify.max_user_watches="));
    }
}
