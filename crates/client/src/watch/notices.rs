//! What the system's notices of changes mean: which folder must be looked at again.
//!
//! Of what is removed from a watch folder nothing needs to be looked at: nothing that was backed up is ever taken back. From a sync folder
//! it does.
//!
//! What happens in a folder of ours, or to a database of ours wherever it lies, is nobody's news, and from a watch folder neither is what happens where no look goes: whoever looks writes down what was seen, and
//! would hear of that again and again.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};

use darkslide_media::names::ignored_folder;

use super::{Dirty, Removals};
#[cfg(target_os = "linux")]
use crate::library::folder::is_lost_and_found;
use crate::library::ours;
use crate::library::selection::{Exclusions, Reach};

/// What is watched, and what of it is of no interest.
#[derive(Debug)]
pub(super) struct Ground {
    /// The folder.
    pub(super) root: PathBuf,
    /// What removals in it mean.
    pub(super) removals: Removals,
    /// What its owner excluded, and folders of ours, which may lie in it.
    pub(super) exclude: Exclusions,
    /// Network disks that are mounted in it. They are looked at every now and then, and not watched: one that does not answer would keep whoever
    /// begins that.
    pub(super) apart: Vec<PathBuf>,
}

impl Ground {
    /// Whether nothing that happens at this path is to be looked at. `relative` is the same path under the root.
    fn is_quiet(&self, path: &Path, relative: &Path) -> bool {
        let mut folders = relative.ancestors().skip(1).filter_map(Path::file_name);
        self.is_apart(path)
            || ours::own_file(path).is_some()
            || self.exclude.matching(relative).is_some()
            || (self.removals == Removals::AreNothing && folders.any(|name| ignored_folder(name).is_some()))
    }

    /// Whether it lies in a folder of ours, or on a disk that is not watched.
    fn is_apart(&self, path: &Path) -> bool {
        self.exclude.is_own(path) || self.apart.iter().any(|disk| path.starts_with(disk))
    }

    /// Whether nothing is looked at in this folder below the root, by its name alone.
    pub(super) fn leaves_out(&self, folder: &Path) -> bool {
        folder.strip_prefix(&self.root).is_ok_and(|relative| self.is_quiet(folder, relative))
    }

    /// Whether it is looked at what happens in this folder below the root. A deletion from a sync folder may be one from anywhere.
    #[cfg(target_os = "linux")]
    pub(super) fn enters(&self, folder: &Path) -> bool {
        let Ok(relative) = folder.strip_prefix(&self.root) else { return false };
        if self.is_apart(folder) || self.exclude.matching(relative).is_some() {
            return false;
        }
        let is_ignored = || relative.file_name().is_some_and(|name| ignored_folder(name).is_some());
        self.removals == Removals::Matter
            || !(is_ignored() || is_lost_and_found(folder) || ours::data_folder(folder).is_some())
    }
}

/// Adds what a notice says to what is dirty. `is_folder` is asked where the notice leaves it open.
pub(super) fn read(
    ground: &Ground,
    notice: &notify::Event,
    is_folder: impl Fn(&Path) -> bool,
    dirty: &mut Dirty,
) {
    if notice.need_rescan() {
        return dirty.merge(Dirty::everything());
    }
    for path in &notice.paths {
        let Ok(relative) = path.strip_prefix(&ground.root) else { continue };
        if ground.is_quiet(path, relative) {
            continue;
        }
        let is_root = relative.as_os_str().is_empty();
        match meaning(notice.kind) {
            // The folder itself is gone, or comes back: its health must be looked at.
            Meaning::Gone if is_root => dirty.merge(Dirty::everything()),
            Meaning::Gone if ground.removals == Removals::Matter => {
                dirty.mark(&parent(relative), Reach::Itself);
            }
            Meaning::Gone | Meaning::Nothing => {}
            Meaning::Folder => dirty.mark(relative, Reach::Below),
            Meaning::Either if is_folder(path) => dirty.mark(relative, Reach::Below),
            Meaning::Either | Meaning::File => dirty.mark(&parent(relative), Reach::Itself),
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

enum Meaning {
    Nothing,
    Gone,
    File,
    Folder,
    Either,
}

fn meaning(kind: EventKind) -> Meaning {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Create(CreateKind::File)
        | EventKind::Modify(ModifyKind::Data(_)) => Meaning::File,
        EventKind::Create(CreateKind::Folder) => Meaning::Folder,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Meaning::Gone,
        // Our own reading is among these.
        EventKind::Access(_) => Meaning::Nothing,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => Meaning::Either,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::Event;
    use notify::event::{DataChange, Flag, MetadataKind, RemoveKind};

    fn ground(removals: Removals) -> Ground {
        let exclude = Exclusions::parse(&["*.raw".to_owned()]).unwrap().and_own(vec!["/r/ours".into()]);
        Ground { root: "/r".into(), removals, exclude, apart: vec!["/r/nas".into()] }
    }

    #[test]
    fn notices_mean_folders() {
        let itself = |folder: &str| Dirty::folder(folder.into(), Reach::Itself);
        let below = |folder: &str| Dirty::folder(folder.into(), Reach::Below);
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        for (kind, path, expected) in [
            (EventKind::Create(CreateKind::File), "/r/a/1.jpg", itself("a")),
            (EventKind::Create(CreateKind::Folder), "/r/a", below("a")),
            (EventKind::Create(CreateKind::Any), "/r/folder", below("folder")),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), "/r/1.jpg", itself("")),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), "/r/1.jpg", Dirty::default()),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), "/r/1.jpg", Dirty::default()),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), "/r/a/b/1.jpg", itself("a/b")),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "/r/folder", below("folder")),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "/r/a/1.jpg", itself("a")),
            (renamed(RenameMode::To), "/r/a/new.jpg", itself("a")),
            (renamed(RenameMode::To), "/r/x/folder", below("x/folder")),
            (renamed(RenameMode::From), "/r/a/old.jpg", Dirty::default()),
            (EventKind::Remove(RemoveKind::File), "/r/a/1.jpg", Dirty::default()),
            (EventKind::Remove(RemoveKind::Folder), "/r/a", Dirty::default()),
            (EventKind::Remove(RemoveKind::Folder), "/r", Dirty::everything()),
            (EventKind::Create(CreateKind::File), "/elsewhere/1.jpg", Dirty::default()),
            (EventKind::Create(CreateKind::File), "/r/ours/catalog.sqlite-wal", Dirty::default()),
            (EventKind::Create(CreateKind::Folder), "/r/ours", Dirty::default()),
            (EventKind::Create(CreateKind::File), "/r/nas/1.jpg", Dirty::default()),
            (EventKind::Create(CreateKind::File), "/r/data/darkslide.db-wal", Dirty::default()),
            (EventKind::Create(CreateKind::File), "/r/ours too/1.jpg", itself("ours too")),
            (EventKind::Create(CreateKind::File), "/r/.cache/deep/1.jpg", Dirty::default()),
            (EventKind::Create(CreateKind::File), "/r/.1.jpg", itself("")),
            (EventKind::Create(CreateKind::File), "/r/a/1.raw", Dirty::default()),
            (renamed(RenameMode::To), "/r/a/@eaDir/1.jpg", Dirty::default()),
        ] {
            let mut dirty = Dirty::default();
            let notice = Event::new(kind).add_path(path.into());
            let ground = ground(Removals::AreNothing);
            read(&ground, &notice, |path| path.ends_with("folder"), &mut dirty);
            assert_eq!(dirty, expected, "{kind:?} of {path}");
        }
        let mut dirty = Dirty::default();
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        read(&ground(Removals::AreNothing), &overflow, |_| false, &mut dirty);
        assert!(dirty.is_everything());
    }

    #[test]
    fn what_is_removed_matters_where_deletions_do() {
        let itself = |folder: &str| Dirty::folder(folder.into(), Reach::Itself);
        for (kind, path, expected) in [
            (EventKind::Remove(RemoveKind::File), "/r/a/1.jpg", itself("a")),
            (EventKind::Remove(RemoveKind::Folder), "/r/a", itself("")),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), "/r/a/old.jpg", itself("a")),
            (EventKind::Remove(RemoveKind::Folder), "/r", Dirty::everything()),
            (EventKind::Remove(RemoveKind::File), "/r/ours/1.jpg", Dirty::default()),
            (EventKind::Remove(RemoveKind::File), "/r/.stversions/1.jpg", itself(".stversions")),
        ] {
            let mut dirty = Dirty::default();
            let notice = Event::new(kind).add_path(path.into());
            read(&ground(Removals::Matter), &notice, |_| false, &mut dirty);
            assert_eq!(dirty, expected, "{kind:?} of {path}");
        }
    }
}
