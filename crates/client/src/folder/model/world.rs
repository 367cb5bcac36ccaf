//! What there is: a folder, another folder of the account, a local trash, a vault, and what folder and vault agreed on last.
//!
//! Contents are numbers; their hashes are of one byte. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};

use super::ledger::Ledger;
use crate::folder::names;
use crate::folder::reconcile::{
    Base, Deleted, Direction, DiskId, Local, Others, Present, RelativePath, Remote, Settings, Snapshot,
    Synced,
};

/// How many contents there are.
pub(super) const CONTENTS: u8 = 3;

/// Two of these are one name without case, and two are one name once composed. Half of them lie in a folder that may not be listed.
pub(super) const PATHS: [&str; 6] =
    ["a.jpg", "A.JPG", "b.jpg", "sub/\u{e9}.jpg", "sub/e\u{301}.jpg", "sub/c.jpg"];

/// What is not found when the folder below the root cannot be listed.
const UNLISTED: &[u8] = b"sub/";

/// How long after the first look a path must be missed again.
pub(super) const ABSENCE: i64 = 10;

/// An age that deletions may be limited to; the first content is older, the others are not.
pub(super) const KEEP_AGE: i64 = 1_000_000;

/// When a run begins.
const BEGINNING: i64 = 10_000_000;

static HASHES: LazyLock<[ContentHash; 3]> = LazyLock::new(|| [0, 1, 2].map(|n| ContentHash::of(&[n])));

/// A picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content(pub(super) u8);

impl Content {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CONTENTS).map(Self)
    }

    pub(super) fn hash(self) -> ContentHash {
        HASHES[usize::from(self.0)]
    }

    pub(super) fn of(hash: ContentHash) -> Self {
        Self::all().find(|content| content.hash() == hash).expect("every hash is of a content")
    }

    /// Two are as long as each other.
    pub(super) fn size(self) -> u64 {
        if self.0 == 2 { 20 } else { 10 }
    }

    /// The first is old.
    pub(super) fn taken(self) -> i64 {
        if self.0 == 0 { 0 } else { BEGINNING }
    }
}

/// How far a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is all there.
    Whole,
    /// A part of it.
    Growing,
    /// All of it, and nobody can tell yet, or it cannot be read.
    Unsettled,
}

/// A file on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DiskFile {
    pub(super) content: Content,
    pub(super) disk: DiskId,
    pub(super) written: Written,
    /// Whether its owner put it there, and neither deleted the picture in the vault since.
    pub(super) is_wanted: bool,
}

impl DiskFile {
    /// What a look at it tells.
    pub(super) fn seen(&self) -> Local {
        let size = self.content.size();
        match self.written {
            Written::Whole => Local::Present(Present { content: self.content.hash(), disk: self.disk, size }),
            Written::Growing => Local::Unknown { size: 1, grows: true },
            Written::Unsettled => Local::Unknown { size, grows: false },
        }
    }
}

/// Where a file of the vault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Trash,
    Purged,
}

/// A file of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VaultFile {
    pub(super) content: Content,
    pub(super) version: Version,
    /// The version at which it came, became what it is, or was restored: details move the other one alone.
    pub(super) renewed: Version,
    pub(super) state: State,
    /// Whether it is in the folder's album.
    pub(super) is_in_album: bool,
    pub(super) title: RelativePath,
    /// Contents that it had before.
    pub(super) earlier: BTreeSet<Content>,
}

/// The vault, as its database has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Vault {
    pub(super) files: BTreeMap<FileId, VaultFile>,
    /// The last id that was given away: an old database gives the same ones away again.
    last: i64,
}

impl Vault {
    /// Files of a content that are in a state, by id.
    pub(super) fn find(&self, content: Content, state: State) -> impl Iterator<Item = FileId> {
        self.files
            .iter()
            .filter(move |(_, file)| file.content == content && file.state == state)
            .map(|(id, _)| *id)
    }

    pub(super) fn live(&self, content: Content) -> Option<FileId> {
        self.find(content, State::Live).next()
    }

    /// The version of the last deletion of a content.
    fn deletion(&self, content: Content) -> Option<Version> {
        let deleted = self.files.values().filter(|file| file.content == content && file.state != State::Live);
        deleted.map(|file| file.version).max()
    }

    /// Whether the bytes are there, in whatever state.
    pub(super) fn holds(&self, content: Content) -> bool {
        self.files.values().any(|file| {
            file.state != State::Purged && (file.content == content || file.earlier.contains(&content))
        })
    }
}

/// What was agreed on, and what was detached, contents and files.
pub(super) type SavedBase = (BTreeMap<RelativePath, Base>, BTreeSet<Content>, BTreeSet<FileId>);

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) now: i64,
    pub(super) disk: BTreeMap<RelativePath, DiskFile>,
    /// What another sync folder has.
    pub(super) others: Vec<DiskFile>,
    /// What has a name that is passed over, each with where it was.
    pub(super) aside: Vec<(RelativePath, DiskFile)>,
    /// What was moved out of all sync folders.
    pub(super) elsewhere: Vec<DiskFile>,
    pub(super) local_trash: Vec<DiskFile>,
    pub(super) vault: Vault,
    pub(super) base: BTreeMap<RelativePath, Base>,
    pub(super) detached: BTreeSet<Content>,
    /// Files that do not come into the folder whatever they are edited to, until it has them again.
    pub(super) detached_files: BTreeSet<FileId>,
    /// What a pass has sent or brought, and has not noted yet.
    pub(super) arrived: BTreeMap<RelativePath, Synced>,
    pub(super) is_mounted: bool,
    pub(super) is_listed: bool,
    pub(super) saved_vault: Option<Vault>,
    pub(super) saved_base: Option<SavedBase>,
    pub(super) ledger: Ledger,
    /// The server's clock: an old database does not set it back.
    version: i64,
    last_number: u64,
    reuses_numbers: bool,
}

impl World {
    pub(super) fn new(direction: Direction, keeps_old: bool, reuses_numbers: bool) -> Self {
        Self {
            settings: Settings {
                direction,
                keep_older_than: keeps_old.then_some(KEEP_AGE),
                absence: ABSENCE,
            },
            now: BEGINNING,
            disk: BTreeMap::new(),
            others: Vec::new(),
            aside: Vec::new(),
            elsewhere: Vec::new(),
            local_trash: Vec::new(),
            vault: Vault::default(),
            base: BTreeMap::new(),
            detached: BTreeSet::new(),
            detached_files: BTreeSet::new(),
            arrived: BTreeMap::new(),
            is_mounted: true,
            is_listed: true,
            saved_vault: None,
            saved_base: None,
            ledger: Ledger::default(),
            version: 0,
            last_number: 0,
            reuses_numbers,
        }
    }

    pub(super) fn new_disk(&mut self) -> DiskId {
        if self.reuses_numbers {
            let used: BTreeSet<u64> = self.files().map(|file| file.disk.inode).collect();
            let inode = (1..u64::MAX).find(|inode| !used.contains(inode)).expect("numbers do not end");
            return DiskId { inode, born_ns: 0 };
        }
        self.last_number += 1;
        DiskId { inode: self.last_number, born_ns: self.now }
    }

    /// All files on disks, wherever.
    fn files(&self) -> impl Iterator<Item = &DiskFile> {
        let aside = self.aside.iter().map(|(_, file)| file);
        self.disk.values().chain(&self.others).chain(aside).chain(&self.elsewhere).chain(&self.local_trash)
    }

    /// How far the vault's changes have come.
    pub(super) fn version(&self) -> Version {
        Version(self.version)
    }

    pub(super) fn next_version(&mut self) -> Version {
        self.version += 1;
        self.version()
    }

    /// A new live file in the vault.
    pub(super) fn upload(&mut self, content: Content, title: &[u8], is_in_album: bool) -> FileId {
        let version = self.next_version();
        self.vault.last += 1;
        let file = FileId(self.vault.last);
        let (state, title, earlier) = (State::Live, title.to_vec(), BTreeSet::new());
        let uploaded = VaultFile { content, version, renewed: version, state, is_in_album, title, earlier };
        self.vault.files.insert(file, uploaded);
        file
    }

    /// Changes a file of the vault, which moves its version.
    pub(super) fn change(&mut self, file: FileId, change: impl FnOnce(&mut VaultFile)) {
        let version = self.change_details(file);
        let changed = self.vault.files.get_mut(&file).expect("only files that exist are changed");
        changed.renewed = version;
        change(changed);
    }

    /// Changes what is said of a file, or its thumbnail, which moves its version as well.
    pub(super) fn change_details(&mut self, file: FileId) -> Version {
        let version = self.next_version();
        self.vault.files.get_mut(&file).expect("only files that exist are changed").version = version;
        version
    }

    /// Whether a path has seen a file as what it is.
    pub(super) fn has_seen(&self, content: Content, file: FileId) -> bool {
        let renewed = self.vault.files.get(&file).map(|file| file.renewed);
        self.base.values().any(|base| {
            matches!(base, Base::Synced(agreed)
                if agreed.content == content.hash() && agreed.file == file && renewed.is_some_and(|renewed| renewed <= agreed.version))
        })
    }

    /// What a client says that the vault has: the live file that was agreed on, or that a tombstone is of, else the first one; else what was
    /// trashed last, else that it was purged.
    pub(super) fn remote(&self, content: Content) -> Option<Remote> {
        let vault = &self.vault;
        if let Some(file) =
            vault.find(content, State::Live).min_by_key(|id| (self.distance(content, *id), *id))
        {
            let version = vault.files[&file].version;
            return Some(Remote::Live { file, version, taken: content.taken() });
        }
        let trashed = vault.find(content, State::Trash).max_by_key(|id| (vault.files[id].version, *id));
        trashed
            .map(|file| Remote::Trash { file, version: vault.files[&file].version })
            .or_else(|| vault.find(content, State::Purged).next().map(|_| Remote::Purged))
    }

    /// How far a file of the vault is from what was agreed on about its content.
    fn distance(&self, content: Content, file: FileId) -> u8 {
        let near = self.base.values().filter_map(|base| match base {
            Base::Synced(agreed) if (agreed.content, agreed.file) == (content.hash(), file) => Some(0),
            Base::Deleted(buried) if (buried.content, buried.file) == (content.hash(), file) => Some(1),
            _ => None,
        });
        near.min().unwrap_or(2)
    }

    /// What is at a path, as the system says.
    pub(super) fn at(&self, path: &[u8]) -> Option<&DiskFile> {
        self.disk.get(path).filter(|_| self.is_mounted)
    }

    /// Whether this folder or another one has the content, or is about to.
    pub(super) fn is_in_folders(&self, content: Content) -> bool {
        self.disk.values().chain(&self.others).any(|file| file.content == content)
    }

    /// Every copy on any disk.
    pub(super) fn copies(&mut self, content: Content) -> impl Iterator<Item = &mut DiskFile> {
        let everywhere = self
            .disk
            .values_mut()
            .chain(&mut self.others)
            .chain(self.aside.iter_mut().map(|(_, file)| file))
            .chain(&mut self.elsewhere)
            .chain(&mut self.local_trash);
        everywhere.filter(move |file| file.content == content)
    }

    /// Contents that are somewhere.
    pub(super) fn held(&self) -> BTreeSet<Content> {
        self.files()
            .map(|file| file.content)
            .chain(Content::all().filter(|content| self.vault.holds(*content)))
            .collect()
    }

    /// What a pass looks at.
    pub(super) fn look(&self) -> Snapshot {
        let is_seen = |path: &RelativePath| self.is_listed || !path.starts_with(UNLISTED);
        let mut local: BTreeMap<_, _> = self
            .disk
            .iter()
            .filter(|(path, _)| is_seen(path))
            .map(|(path, file)| (path.clone(), file.seen()))
            .collect();
        let lies_aside = |(path, base): (&RelativePath, &Base)| {
            let Base::Synced(agreed) = base else { return None };
            let is_it = self.aside.iter().any(|(_, file)| file.disk == agreed.disk);
            (is_it && is_seen(path) && !self.disk.contains_key(path)).then(|| (path.clone(), Local::Aside))
        };
        local.extend(self.base.iter().filter_map(lies_aside));
        let mut others = Others::default();
        for other in &self.others {
            match other.seen() {
                Local::Present(present) => drop(others.present.insert(present.content)),
                Local::Unknown { size, grows } => others.unsettled.push((size, grows)),
                Local::Aside => {}
            }
        }
        let mut snapshot = Snapshot {
            base: self.base.clone(),
            local,
            is_listed: self.is_listed,
            vault: self.version(),
            others,
            ..Snapshot::default()
        };
        if self.settings.direction != Direction::Up {
            self.arrive(&mut snapshot);
        }
        snapshot.remote =
            Content::all().filter_map(|content| Some((content.hash(), self.remote(content)?))).collect();
        snapshot.deletions = Content::all()
            .filter_map(|content| Some((content.hash(), self.vault.deletion(content)?)))
            .collect();
        let edited = self.base.values().filter_map(|base| match base {
            Base::Synced(agreed) if !snapshot.remote.contains_key(&agreed.content) => {
                let now = self.vault.files.get(&agreed.file)?;
                let was_it = now.earlier.contains(&Content::of(agreed.content));
                (now.state == State::Live && was_it).then(|| (agreed.file, now.content.hash()))
            }
            _ => None,
        });
        snapshot.edited = edited.collect();
        let details = |(content, remote): (&ContentHash, &Remote)| match remote {
            Remote::Live { file, .. } => self.has_seen(Content::of(*content), *file).then_some(*file),
            _ => None,
        };
        snapshot.details = snapshot.remote.iter().filter_map(details).collect();
        snapshot
    }

    /// Files of the album that the folder knows nothing of are what neither side had, at a name that is free.
    fn arrive(&self, snapshot: &mut Snapshot) {
        let known: BTreeSet<Content> =
            snapshot.base.values().map(content_of).chain(present(snapshot)).collect();
        let mut coming = BTreeSet::new();
        // What was deleted, and is live nowhere, gives its name up.
        let gives_way = |base: &Base| {
            matches!(base, Base::Deleted(buried)
                if buried.version > Version(0) && self.vault.live(Content::of(buried.content)).is_none())
        };
        let taken = |snapshot: &Snapshot, path: &[u8], is_own: bool| {
            let kept =
                |(other, base): &(&RelativePath, &Base)| !(is_own && *other == path && gives_way(base));
            let paths = snapshot.base.iter().filter(kept).map(|(path, _)| path);
            paths.chain(snapshot.local.keys()).any(|other| names::key(other) == names::key(path))
        };
        for (id, file) in &self.vault.files {
            let content = file.content;
            let is_detached = self.detached.contains(&content) || self.detached_files.contains(id);
            let is_known = known.contains(&content) || is_detached;
            if file.state != State::Live || !file.is_in_album || is_known || !coming.insert(content) {
                continue;
            }
            let name = file.title.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let numbered = (1..100).map(|number| [format!("{number}-").as_bytes(), name].concat());
            let own = std::iter::once(name.to_vec()).find(|path| !taken(snapshot, path, true));
            let mut numbered = numbered.filter(|path| !taken(snapshot, path, false));
            let free = own.or_else(|| numbered.next());
            let (content, size) = (content.hash(), content.size());
            let arrival = Deleted { content, size, file: *id, version: Version(0) };
            snapshot.base.extend(free.map(|path| (path, Base::Deleted(arrival))));
        }
    }
}

/// What a row is about.
pub(super) fn content_of(base: &Base) -> Content {
    Content::of(match base {
        Base::Synced(agreed) => agreed.content,
        Base::Deleted(buried) => buried.content,
    })
}

/// What was seen whole.
fn present(snapshot: &Snapshot) -> impl Iterator<Item = Content> {
    snapshot.local.values().filter_map(|local| match local {
        Local::Present(here) => Some(Content::of(here.content)),
        Local::Unknown { .. } | Local::Aside => None,
    })
}
