//! The system's notices of a folder and of the folders in it, on Linux: one watch a folder.
//!
//! Only folders that are looked into are watched. One that may not be entered is left out, and hinders no other: when its rights change, that is
//! told by the folder around it, and it is watched then. A folder that comes is watched before its coming is told, so that whoever looks
//! at it then misses nothing. When the system lost notices, all watches are set anew before that is told.
//!
//! It looks into no file, and tells nothing of what is below a folder that it does not watch.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{
    AccessKind, AccessMode, CreateKind, DataChange, EventKind, MetadataKind, ModifyKind, RemoveKind,
    RenameMode,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use super::notices::Ground;
use super::watcher::{Told, Why};

/// What is wanted of every folder. That something is opened or read is not: our own looks do that.
const WANTED: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// Bytes of notices that are read at once: some hundreds of them.
const BATCH: usize = 16 << 10;

/// Notices, until it is dropped.
#[derive(Debug)]
pub(super) struct Notices {
    /// Its other end hears when it is closed.
    _open: UnixStream,
}

/// Begins to watch. What there is by then is watched when this returns, or it fails; `hear` is called on a thread of its own.
pub(super) fn listen(ground: Arc<Ground>, hear: impl FnMut(Told) + Send + 'static) -> Result<Notices, Why> {
    let watches = Watches::begin(ground)?;
    let (open, closed) = UnixStream::pair().map_err(|error| refused(&error))?;
    let listening = std::thread::Builder::new().name("notices".to_owned());
    listening.spawn(move || watches.listen(&closed, hear)).map_err(|error| refused(&error))?;
    Ok(Notices { _open: open })
}

fn refused(error: &std::io::Error) -> Why {
    if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) {
        return Why::too_many_watchers();
    }
    Why::Refused(error.to_string())
}

struct Watches {
    ground: Arc<Ground>,
    notices: OwnedFd,
    /// Where each of them is.
    paths: HashMap<i32, PathBuf>,
    /// Folders that may not be entered.
    closed: BTreeSet<PathBuf>,
}

/// One notice, as the system gives it.
struct Raw {
    watch: i32,
    what: ReadFlags,
    name: Option<OsString>,
}

impl Watches {
    fn begin(ground: Arc<Ground>) -> Result<Self, Why> {
        let notices =
            init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|errno| refused(&errno.into()))?;
        let root = ground.root.clone();
        let mut watches = Self { ground, notices, paths: HashMap::new(), closed: BTreeSet::new() };
        watches.watch_from(root.clone())?;
        if watches.paths.is_empty() {
            let why = root.read_dir().err().unwrap_or_else(|| std::io::ErrorKind::PermissionDenied.into());
            return Err(refused(&why));
        }
        Ok(watches)
    }

    /// Watches a folder and all that is below it. Where something is there already, it is watched as before.
    fn watch_from(&mut self, top: PathBuf) -> Result<(), Why> {
        let mut left = vec![top];
        while let Some(folder) = left.pop() {
            // Before it is listed: what comes meanwhile is told.
            if self.watch(&folder)? {
                self.list(&folder, &mut left);
            }
        }
        Ok(())
    }

    /// Whether it is watched now. It may be gone, or closed.
    fn watch(&mut self, folder: &Path) -> Result<bool, Why> {
        let wanted = if *folder == self.ground.root {
            WANTED | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF
        } else {
            WANTED | WatchFlags::DONT_FOLLOW
        };
        match add_watch(&self.notices, folder, wanted) {
            Ok(watch) => {
                self.closed.remove(folder);
                self.paths.insert(watch, folder.to_owned());
                Ok(true)
            }
            Err(Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG) => {
                self.closed.insert(folder.to_owned());
                Ok(false)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(Errno::NOSPC) => Err(Why::WatchLimit),
            Err(errno) => Err(Why::Refused(format!("{}: {}", folder.display(), std::io::Error::from(errno)))),
        }
    }

    fn list(&mut self, folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = folder.read_dir() else {
            self.closed.insert(folder.to_owned());
            return;
        };
        let folders =
            entries.map_while(Result::ok).filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
        found.extend(folders.map(|entry| entry.path()).filter(|path| self.ground.enters(path)));
    }

    /// Hears until the other end of `closed` is.
    fn listen(mut self, closed: &UnixStream, mut hear: impl FnMut(Told)) {
        let mut buffer = vec![MaybeUninit::uninit(); BATCH];
        loop {
            let mut waits = [PollFd::new(&self.notices, PollFlags::IN), PollFd::new(closed, PollFlags::IN)];
            let polled = poll(&mut waits, None);
            let [_, closing] = &waits;
            if !closing.revents().is_empty() {
                return;
            }
            let read = match polled {
                Ok(_) => self.read(&mut buffer),
                Err(errno) => Err(errno),
            };
            match read {
                Ok(batch) => self.take_all(batch, &mut hear),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return hear(Told::Failed(refused(&errno.into()))),
            }
        }
    }

    fn read(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Raw>, Errno> {
        let mut reader = Reader::new(&self.notices, buffer);
        let mut batch = Vec::new();
        loop {
            let event = reader.next()?;
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
            batch.push(Raw { watch: event.wd(), what: event.events(), name });
            if reader.is_buffer_empty() {
                return Ok(batch);
            }
        }
    }

    fn take_all(&mut self, batch: Vec<Raw>, hear: &mut impl FnMut(Told)) {
        let is_lost = batch.iter().any(|raw| raw.what.contains(ReadFlags::QUEUE_OVERFLOW));
        for raw in batch {
            self.take(raw, hear);
        }
        if is_lost {
            if let Err(why) = self.watch_anew() {
                hear(Told::Failed(why));
            }
            hear(Told::Lost);
        }
    }

    fn take(&mut self, raw: Raw, hear: &mut impl FnMut(Told)) {
        let Raw { watch, what, name } = raw;
        if what.contains(ReadFlags::IGNORED) {
            self.paths.remove(&watch);
            return;
        }
        if what.contains(ReadFlags::UNMOUNT) {
            // Whoever looks finds out what lies there now.
            return hear(Told::Lost);
        }
        let Some(folder) = self.paths.get(&watch) else { return };
        let path = name.map_or_else(|| folder.clone(), |name| folder.join(name));
        if what.contains(ReadFlags::ISDIR)
            && let Err(why) = self.follow(&path, what)
        {
            hear(Told::Failed(why));
        }
        for kind in kinds(what) {
            hear(Told::Change(notify::Event::new(kind).add_path(path.clone())));
        }
    }

    /// Watches folders that come, and no longer those that go. The watch of one that is removed ends by itself.
    fn follow(&mut self, folder: &Path, what: ReadFlags) -> Result<(), Why> {
        if what.contains(ReadFlags::MOVED_FROM) {
            return self.leave(folder);
        }
        if what.contains(ReadFlags::DELETE) {
            self.closed.remove(folder);
        }
        let comes = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        let opens = || what.contains(ReadFlags::ATTRIB) && self.has_closed(folder);
        if (comes || opens()) && self.ground.enters(folder) {
            self.watch_from(folder.to_owned())?;
        }
        Ok(())
    }

    /// Whether this folder or one below it could not be entered.
    fn has_closed(&self, folder: &Path) -> bool {
        self.closed.range(folder.to_owned()..).next().is_some_and(|closed| closed.starts_with(folder))
    }

    /// No longer watches a folder where it was. Another one may have come there since, which has a watch already where two were exchanged.
    fn leave(&mut self, folder: &Path) -> Result<(), Why> {
        self.closed.retain(|closed| !closed.starts_with(folder));
        let before: Vec<i32> =
            self.paths.extract_if(|_, path| path.starts_with(folder)).map(|(watch, _)| watch).collect();
        let watched = if self.ground.enters(folder) { self.watch_from(folder.to_owned()) } else { Ok(()) };
        self.end(before);
        watched
    }

    /// Ends those of these watches that are nowhere any more.
    fn end(&self, watches: impl IntoIterator<Item = i32>) {
        for watch in watches.into_iter().filter(|watch| !self.paths.contains_key(watch)) {
            // It may have ended.
            let _removed = remove_watch(&self.notices, watch);
        }
    }

    /// Nobody knows which folders have come, gone and been renamed.
    fn watch_anew(&mut self) -> Result<(), Why> {
        let before: HashSet<i32> = std::mem::take(&mut self.paths).into_keys().collect();
        self.closed.clear();
        let watched = self.watch_from(self.ground.root.clone());
        self.end(before);
        watched
    }
}

/// What a notice says, in the words that all systems share.
fn kinds(what: ReadFlags) -> impl Iterator<Item = EventKind> {
    let is_folder = what.contains(ReadFlags::ISDIR);
    let created = if is_folder { CreateKind::Folder } else { CreateKind::File };
    let removed = if is_folder { RemoveKind::Folder } else { RemoveKind::File };
    let all = [
        (ReadFlags::CREATE, EventKind::Create(created)),
        (ReadFlags::MOVED_TO, EventKind::Modify(ModifyKind::Name(RenameMode::To))),
        (ReadFlags::MOVED_FROM, EventKind::Modify(ModifyKind::Name(RenameMode::From))),
        (ReadFlags::MOVE_SELF, EventKind::Modify(ModifyKind::Name(RenameMode::From))),
        (ReadFlags::DELETE, EventKind::Remove(removed)),
        (ReadFlags::DELETE_SELF, EventKind::Remove(RemoveKind::Folder)),
        (ReadFlags::MODIFY, EventKind::Modify(ModifyKind::Data(DataChange::Any))),
        (ReadFlags::CLOSE_WRITE, EventKind::Access(AccessKind::Close(AccessMode::Write))),
        (ReadFlags::ATTRIB, EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any))),
    ];
    all.into_iter().filter(move |(flag, _)| what.contains(*flag)).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::super::{Dirty, Removals, notices};
    use super::*;
    use crate::library::selection::Exclusions;
    use std::fs;

    fn watches(root: &Path, removals: Removals) -> Watches {
        let exclude = Exclusions::parse(&["drafts".to_owned()]).unwrap().and_own(vec![root.join("ours")]);
        let apart = vec![root.join("nas")];
        Watches::begin(Arc::new(Ground { root: root.to_owned(), removals, exclude, apart })).unwrap()
    }

    /// Takes all that the system has to tell by now.
    fn drain(watches: &mut Watches) -> Vec<Told> {
        let (mut told, mut buffer) = (Vec::new(), vec![MaybeUninit::uninit(); BATCH]);
        loop {
            match watches.read(&mut buffer) {
                Ok(batch) => watches.take_all(batch, &mut |one| told.push(one)),
                Err(Errno::AGAIN) => return told,
                Err(errno) => panic!("{errno}"),
            }
        }
    }

    /// The folders that are watched, by their paths under the root.
    fn watched(watches: &Watches) -> BTreeSet<String> {
        let root = &watches.ground.root;
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        watches.paths.values().map(below).collect()
    }

    fn set(folders: &[&str]) -> BTreeSet<String> {
        folders.iter().map(|folder| (*folder).to_owned()).collect()
    }

    #[test]
    fn folders_that_are_looked_into_are_watched_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inside in ["a/deep", "drafts/deep", "ours", "nas/deep", ".hidden", "server/objects"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        fs::write(root.join("server/darkslide.db"), b"x").unwrap();
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        assert_eq!(watched(&watches(&root, Removals::AreNothing)), set(&["", "a", "a/deep"]));
        let in_step = ["", "a", "a/deep", ".hidden", "server", "server/objects"];
        assert_eq!(watched(&watches(&root, Removals::Matter)), set(&in_step));
    }

    #[test]
    fn folders_that_come_go_and_are_moved_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/deep")).unwrap();
        let mut watches = watches(&root, Removals::AreNothing);
        // Its inner folder is there before anybody hears of it.
        fs::create_dir_all(root.join("b/deep")).unwrap();
        drain(&mut watches);
        assert_eq!(watched(&watches), set(&["", "a", "a/deep", "b", "b/deep"]));
        fs::rename(root.join("a"), root.join("b/a")).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        fs::remove_dir(root.join("b/deep")).unwrap();
        drain(&mut watches);
        assert_eq!(watched(&watches), set(&["", "a", "b", "b/a", "b/a/deep"]));
        fs::write(root.join("b/a/deep/1.jpg"), b"x").unwrap();
        let mut dirty = Dirty::default();
        for told in drain(&mut watches) {
            if let Told::Change(notice) = told {
                notices::read(&watches.ground, &notice, |_| false, &mut dirty);
            }
        }
        assert_eq!(dirty, Dirty::folder("b/a/deep".into(), crate::library::selection::Reach::Itself));
    }

    /// The second of two folders that are exchanged leaves its place after the first has come there.
    #[test]
    fn folders_that_are_exchanged_are_watched_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inside in ["a/first", "b/second"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        let mut watches = watches(&root, Removals::AreNothing);
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, root.join("a"), rustix::fs::CWD, root.join("b"), exchange)
            .unwrap();
        drain(&mut watches);
        assert_eq!(watched(&watches), set(&["", "a", "a/second", "b", "b/first"]));
        for (inside, name) in [("a", "1.jpg"), ("a/second", "2.jpg"), ("b", "3.jpg"), ("b/first", "4.jpg")] {
            fs::write(root.join(inside).join(name), b"x").unwrap();
            let told = drain(&mut watches);
            let is_told = |told: &Told| match told {
                Told::Change(notice) => notice.paths.contains(&root.join(inside).join(name)),
                _ => false,
            };
            assert!(told.iter().any(is_told), "{inside}");
        }
    }

    /// What came, went and was renamed while nobody was told is watched where it is.
    #[test]
    fn after_lost_notices_what_is_there_is_watched() {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inside in ["a/deep", "gone"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        let mut watches = watches(&root, Removals::AreNothing);
        for number in 0..=most / 2 {
            // Two notices.
            fs::write(root.join(number.to_string()), b"").unwrap();
        }
        fs::rename(root.join("a"), root.join("b")).unwrap();
        fs::create_dir_all(root.join("late/deep")).unwrap();
        fs::rename(root.join("gone"), elsewhere.path().join("gone")).unwrap();
        let told = drain(&mut watches);
        assert!(told.iter().any(|told| matches!(told, Told::Lost)));
        assert_eq!(watched(&watches), set(&["", "b", "b/deep", "late", "late/deep"]));
    }
}
