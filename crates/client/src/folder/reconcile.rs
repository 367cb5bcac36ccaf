//! The decisions of a sync folder, as one pure function: what both sides agreed on last, what the folder has now and what the vault has now make a plan.
//!
//! `decide` is the table, a row an arm. Nothing here reads a disk, a clock or the network, and nothing that is unknown is ever taken for a deletion.
//! Whatever a plan destroys has a [`Cause`] that says why; carrying it out asks for every precondition again. It is long because half of it are the
//! words that the table is written in. The model beside it proves it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};
use serde::Serialize;

use super::names;

/// A path below the folder's root, byte for byte.
pub type RelativePath = Vec<u8>;

/// Which file on disk a path leads to: another one has another id, whatever its name and content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskId {
    /// The file's number on its disk, which is given to another file once it is deleted.
    pub inode: u64,
    /// When it came to be, ns since the epoch; 0 where the file system does not tell.
    pub born_ns: i64,
}

/// What both sides agreed on last about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Both had it.
    Synced(Synced),
    /// Neither has it any more: a tombstone.
    Deleted(Deleted),
}

impl Base {
    /// The picture.
    pub fn content(&self) -> ContentHash {
        match self {
            Self::Synced(agreed) => agreed.content,
            Self::Deleted(buried) => buried.content,
        }
    }
}

/// What both sides had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The picture.
    pub content: ContentHash,
    /// The file on disk.
    pub disk: DiskId,
    /// Its bytes.
    pub size: u64,
    /// The file in the vault.
    pub file: FileId,
    /// Its version there.
    pub version: Version,
    /// Since when the path is known to lead nowhere, µs since the epoch; or [`Self::SEEN_ASIDE`].
    pub absent_since: Option<i64>,
}

impl Synced {
    /// It was missed, and after that it lay aside: missed again, it is missed for the first time. It was missed all the same, so that a file that
    /// comes back is one that was put back.
    pub const SEEN_ASIDE: i64 = i64::MAX;

    /// Whether its path was missed, and is missed again long enough after that.
    pub(super) fn is_missed_twice(&self, settings: &Settings, now: i64) -> bool {
        self.absent_since.is_some_and(|since| since <= now && now - since >= settings.absence)
    }
}

/// What neither side has any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The picture.
    pub content: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// The file that it was in the vault.
    pub file: FileId,
    /// The version of the vault at which it was gone.
    pub version: Version,
}

/// What the folder has at one path. A path that is in no list leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// A whole file.
    Present(Present),
    /// Something of which nothing may be concluded: not settled yet, not readable, passed over.
    Unknown {
        /// Its bytes so far.
        size: u64,
        /// Whether it may still become longer.
        grows: bool,
    },
    /// Nothing, for the file that was agreed on here has a name now that is passed over.
    Aside,
}

impl Local {
    /// The picture, where it is known.
    pub fn content(&self) -> Option<ContentHash> {
        match self {
            Self::Present(here) => Some(here.content),
            Self::Unknown { .. } | Self::Aside => None,
        }
    }
}

/// A whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// The picture.
    pub content: ContentHash,
    /// The file on disk.
    pub disk: DiskId,
    /// Its bytes.
    pub size: u64,
}

/// What the vault has of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A file of the account.
    Live {
        /// Which.
        file: FileId,
        /// Its version.
        version: Version,
        /// When the picture was taken, µs since the epoch.
        taken: i64,
    },
    /// A file in the trash.
    Trash {
        /// Which.
        file: FileId,
        /// The version of its deletion.
        version: Version,
    },
    /// Only a tombstone: its owner deleted it for good.
    Purged,
}

/// Everything that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What both sides agreed on last.
    pub base: BTreeMap<RelativePath, Base>,
    /// What the folder has.
    pub local: BTreeMap<RelativePath, Local>,
    /// What the vault has, by content; what is in no list, it has no record of.
    pub remote: HashMap<ContentHash, Remote>,
    /// The version of the last deletion of what is in the trash, or was purged. Of what is not in here, nothing is known but that it was deleted.
    pub deletions: HashMap<ContentHash, Version>,
    /// Files that were agreed on, have another content in the vault now, and what was agreed on as an earlier version.
    pub edited: HashMap<FileId, ContentHash>,
    /// Files that were agreed on and have another version now, for nothing but what is said of them, or their thumbnail: since then nobody restored
    /// or edited them.
    pub details: HashSet<FileId>,
    /// Whether every folder below the root could be listed: otherwise nothing is absent.
    pub is_listed: bool,
    /// How far the vault was read.
    pub vault: Version,
    /// What the account's other sync folders have.
    pub others: Others,
}

/// What the other sync folders of the account have: a picture that is moved from one into another is not deleted.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// Their pictures.
    pub present: HashSet<ContentHash>,
    /// The files in them of which nothing is known yet: bytes so far, and whether they may grow.
    pub unsettled: Vec<(u64, bool)>,
}

/// Which way changes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// From the folder to the vault only: nothing in the folder is touched.
    Up,
    /// From the vault to the folder only: nothing in the vault is touched.
    Down,
}

/// What the owner chose, and what is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which way changes go.
    pub direction: Direction,
    /// Pictures that were taken longer ago than this, in µs, stay in the vault when they are deleted in the folder.
    pub keep_older_than: Option<i64>,
    /// How long after it was first missed a path must be missed again, µs.
    pub absence: i64,
}

/// What is done at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Both sides have the same: that is written down.
    Agree(Synced),
    /// What was agreed on goes along with the file, which has another name now. The old path is in [`Step::from`].
    Move(Synced),
    /// The vault gets it.
    Send {
        /// The picture.
        content: ContentHash,
        /// The file of which it is a new version.
        replaces: Option<FileId>,
    },
    /// The vault has it; the folder's album gets it.
    Link {
        /// The picture.
        content: ContentHash,
    },
    /// It is taken out of the vault's trash, if it was not deleted again since.
    Restore {
        /// The picture.
        content: ContentHash,
        /// The file.
        file: FileId,
        /// The version of its deletion.
        version: Version,
    },
    /// The folder gets it.
    Materialise {
        /// The picture.
        content: ContentHash,
        /// The file.
        file: FileId,
    },
    /// It is missed for the first time, or lies aside and does not count as missed any more.
    Miss(Synced),
    /// Nothing is agreed on any more.
    Forget,
    /// Both sides have lost it.
    Bury(Deleted),
    /// It stays in the vault, and out of the folder.
    Detach {
        /// The picture.
        content: ContentHash,
    },
    /// It goes from the folder into the local trash.
    TrashLocal {
        /// The picture.
        content: ContentHash,
        /// The file on disk.
        disk: DiskId,
        /// What is written down then.
        buried: Deleted,
    },
    /// It goes into the vault's trash, if it is still at this version.
    TrashRemote {
        /// The file.
        file: FileId,
        /// Its version.
        version: Version,
        /// What is written down then.
        buried: Deleted,
    },
}

/// Why a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// New in the folder.
    #[error("it is new in the folder")]
    New,
    /// In the folder and in the vault, each by itself.
    #[error("the vault has it already")]
    Known,
    /// It was deleted, and is in the folder again.
    #[error("it was deleted before, and is in the folder again")]
    Reappeared,
    /// The file was put back by hand after the vault's copy was trashed.
    #[error("it was put back into the folder after it was deleted in the vault")]
    PutBack,
    /// The vault has no record of it.
    #[error("the vault has no record of it")]
    NoRecord,
    /// Another content at the same path.
    #[error("it was edited in the folder")]
    Edited,
    /// The vault's version has moved, or the file's place on disk has.
    #[error("both sides have it; only details have changed")]
    Same,
    /// The same file under another name.
    #[error("it was renamed")]
    Renamed,
    /// The same content is at another path.
    #[error("the same picture is at another place in the folder")]
    Elsewhere,
    /// Missed for the first time.
    #[error("it is missing; it is looked for once more before that counts")]
    Missing,
    /// Missed, and then under a name that is passed over.
    #[error("it has a name now that is passed over; that it was missing before does not count any more")]
    Aside,
    /// Deleted in the folder.
    #[error("it was deleted in the folder")]
    DeletedHere,
    /// Deleted in the folder, and older than what deletions go for.
    #[error("it was deleted in the folder, and is so old that the vault keeps it")]
    DeletedOld,
    /// Trashed in the vault.
    #[error("it was deleted in the vault")]
    DeletedThere,
    /// Edited in the vault.
    #[error("it was edited on another client, and comes as it is now")]
    EditedThere,
    /// Purged from the vault.
    #[error("it was deleted in the vault for good")]
    PurgedThere,
    /// Deleted on both sides.
    #[error("it was deleted on both sides")]
    DeletedBoth,
    /// Deleted in the folder, and the vault has no record of it.
    #[error("it is gone from the folder, and the vault has no record of it")]
    Lost,
    /// Changed or restored in the vault since it was agreed on.
    #[error("it was restored, or changed, in the vault")]
    RestoredThere,
    /// The vault has it, and the folder should.
    #[error("it is new in the album")]
    NewThere,
    /// The vault decides.
    #[error("the folder shows what the vault has")]
    VaultDecides,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub path: RelativePath,
    /// Where it was before, if it moved.
    pub from: Option<RelativePath>,
    /// What.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// A content that was here before, stays in the vault, and does not come back into the folder by itself.
    pub lets_go: Option<ContentHash>,
}

/// Why nothing is done at a path for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// It is being written, cannot be read, or is passed over.
    #[error("nothing is known of it for now")]
    Unknown,
    /// The file is still there, unfinished or hidden by its name.
    #[error(
        "it has a name now that is passed over; until it has another one, or is gone, nothing is concluded from that"
    )]
    Aside,
    /// It is missed, and not for long enough.
    #[error("it is missing; it is looked for once more before that counts as a deletion")]
    Missing,
    /// A file that has not settled may be this one under another name.
    #[error("it is missing, and a file that has not settled yet, here or in another sync folder, may be it")]
    MayHaveMoved,
    /// A folder could not be listed.
    #[error("it may be in a folder that cannot be read")]
    NotListed,
    /// Another name differs from this one only by case or by the way that its accents are written.
    #[error(
        "another file has the same name but for case or for the way that accents are written; rename one of the two"
    )]
    Collides,
    /// The direction forbids it.
    #[error("the folder's direction does not let it through")]
    Direction,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncPlan {
    /// In the order in which it is done: what adds comes before what removes.
    pub steps: Vec<Step>,
    /// What is left alone for now.
    pub waiting: Vec<(RelativePath, Wait)>,
}

impl Action {
    /// Whether something disappears from where it was.
    pub fn is_destructive(&self) -> bool {
        matches!(self, Self::TrashLocal { .. } | Self::TrashRemote { .. })
    }

    /// Additions come before removals.
    fn rank(&self) -> u8 {
        match self {
            Self::Agree(_) | Self::Move(_) => 0,
            Self::Send { .. } | Self::Link { .. } | Self::Restore { .. } => 1,
            Self::Materialise { .. } => 2,
            Self::Miss(_) | Self::Forget | Self::Bury(_) | Self::Detach { .. } => 3,
            Self::TrashRemote { .. } => 4,
            Self::TrashLocal { .. } => 5,
        }
    }
}

impl Step {
    /// Whether a picture that was deleted comes back by it.
    pub fn is_reappearance(&self) -> bool {
        matches!(self.action, Action::Send { .. } | Action::Restore { .. })
            && matches!(self.cause, Cause::Reappeared | Cause::PutBack)
    }
}

/// Decides for every path.
pub fn reconcile(snapshot: &Snapshot, settings: &Settings, now: i64) -> SyncPlan {
    let around = Surroundings::of(snapshot, settings, now);
    let mut plan = SyncPlan::default();
    let paths: BTreeSet<&RelativePath> = snapshot.base.keys().chain(snapshot.local.keys()).collect();
    let (mut arriving, mut coming) = (HashSet::new(), HashSet::new());
    let successors: HashSet<ContentHash> = if snapshot.edited.is_empty() {
        HashSet::new()
    } else {
        snapshot.base.iter().filter_map(|(path, base)| successor(path, base, &around)).collect()
    };
    for path in paths {
        let (base, local) = (snapshot.base.get(path), snapshot.local.get(path));
        // It is not new: it has a place.
        if local.is_none() && has_a_place(base, &successors) {
            continue;
        }
        if local.is_some() && around.collides(path) {
            plan.waiting.push((path.clone(), Wait::Collides));
            continue;
        }
        if around.moved_from.contains(path) {
            continue;
        }
        let decided = match around.moved_to.get(path) {
            Some((from, synced)) => Decided::at(Action::Move(*synced), Cause::Renamed).from((*from).clone()),
            None => decide(base, local, &around, settings, now),
        };
        match decided {
            Decided::Nothing => {}
            Decided::Wait(wait) => plan.waiting.push((path.clone(), wait)),
            // One copy comes; of the others the next pass sees that the picture is at another path.
            Decided::Step { action: Action::Materialise { content, .. }, .. }
                if coming.contains(&content) => {}
            Decided::Step { action: Action::Materialise { .. }, .. }
                if around.is_taken(path) || !arriving.insert(names::key(path)) =>
            {
                plan.waiting.push((path.clone(), Wait::Collides));
            }
            Decided::Step { action, cause, from, lets_go } => {
                if let Action::Materialise { content, .. } = action {
                    coming.insert(content);
                }
                plan.steps.push(Step { path: path.clone(), from, action, cause, lets_go });
            }
        }
    }
    // Stable: within a rank the order is that of the paths.
    plan.steps.sort_by_key(|step| step.action.rank());
    plan
}

/// What a file has become comes to where the file is, or was: that is at this path, if it is nothing to be suspended.
fn successor(path: &RelativePath, base: &Base, around: &Surroundings<'_>) -> Option<ContentHash> {
    let Base::Synced(agreed) = base else { return None };
    let now = around.snapshot.edited.get(&agreed.file)?;
    let comes_here = match around.snapshot.local.get(path) {
        // What is missed waits for what lies aside or is suspended, for however long: it must not keep the new one waiting.
        None if around.unsure_for_long.contains(&agreed.content) => false,
        None => around.moved_from.contains(path) || !around.is_taken(path),
        Some(Local::Present(here)) => {
            here.content == agreed.content
                && here.disk == agreed.disk
                && agreed.absent_since.is_none()
                && around.replacement(agreed).is_some()
                && !around.collides(path)
        }
        Some(Local::Unknown { .. } | Local::Aside) => false,
    };
    comes_here.then_some(*now)
}

/// Whether it would arrive as something new, and is what a file has become.
fn has_a_place(base: Option<&Base>, successors: &HashSet<ContentHash>) -> bool {
    matches!(base, Some(Base::Deleted(coming))
        if coming.version == Version(0) && successors.contains(&coming.content))
}

/// What is decided for one path.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Decided {
    Nothing,
    Wait(Wait),
    Step { action: Action, cause: Cause, from: Option<RelativePath>, lets_go: Option<ContentHash> },
}

impl Decided {
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into what is returned")]
    fn at(action: Action, cause: Cause) -> Self {
        Self::Step { action, cause, from: None, lets_go: None }
    }

    fn from(self, path: RelativePath) -> Self {
        match self {
            Self::Step { action, cause, lets_go, .. } => {
                Self::Step { action, cause, from: Some(path), lets_go }
            }
            other => other,
        }
    }

    fn letting_go(self, content: ContentHash) -> Self {
        match self {
            Self::Step { action, cause, from, .. } => {
                Self::Step { action, cause, from, lets_go: Some(content) }
            }
            other => other,
        }
    }
}

/// The table.
fn decide(
    base: Option<&Base>,
    local: Option<&Local>,
    around: &Surroundings<'_>,
    settings: &Settings,
    now: i64,
) -> Decided {
    match (base, local) {
        (None, None) => Decided::Nothing,
        (_, Some(Local::Unknown { .. })) => Decided::Wait(Wait::Unknown),
        (Some(Base::Synced(agreed)), Some(Local::Aside)) => aside(agreed),
        (None | Some(Base::Deleted(_)), Some(Local::Aside)) => Decided::Wait(Wait::Aside),
        (None | Some(Base::Deleted(_)), Some(Local::Present(here))) => appeared(here, around, settings),
        (Some(Base::Synced(agreed)), Some(Local::Present(here))) if here.content == agreed.content => {
            unchanged(agreed, here, around, settings)
        }
        (Some(Base::Synced(agreed)), Some(Local::Present(here))) => edited(agreed, here, around, settings),
        (Some(Base::Synced(agreed)), None) => absent(agreed, around, settings, now),
        (Some(Base::Deleted(buried)), None) => buried_here(buried, around, settings),
    }
}

/// Base `S(h)`, local aside: it is not gone. Two looks that find nothing are none in a row if this one is between them.
fn aside(agreed: &Synced) -> Decided {
    let seen = Synced { absent_since: Some(Synced::SEEN_ASIDE), ..*agreed };
    if agreed.absent_since.is_none() || *agreed == seen {
        return Decided::Wait(Wait::Aside);
    }
    Decided::at(Action::Miss(seen), Cause::Aside)
}

/// Base none or `T`, local h.
fn appeared(here: &Present, around: &Surroundings<'_>, settings: &Settings) -> Decided {
    let content = here.content;
    match around.remote(&content) {
        // Nothing in the vault is touched.
        Some(Remote::Live { file, version, .. }) if settings.direction == Direction::Down => {
            Decided::at(Action::Agree(agreed(here, *file, *version)), Cause::Known)
        }
        Some(Remote::Live { .. }) => Decided::at(Action::Link { content }, Cause::Known),
        _ if settings.direction == Direction::Down => Decided::Wait(Wait::Direction),
        Some(Remote::Trash { file, version }) => {
            Decided::at(Action::Restore { content, file: *file, version: *version }, Cause::Reappeared)
        }
        Some(Remote::Purged) => Decided::at(Action::Send { content, replaces: None }, Cause::Reappeared),
        None => Decided::at(Action::Send { content, replaces: None }, Cause::New),
    }
}

/// Base `S(h)`, local the same h.
fn unchanged(agreed: &Synced, here: &Present, around: &Surroundings<'_>, settings: &Settings) -> Decided {
    let content = agreed.content;
    // What was missed and is there again was put back, whichever file it is: what was trashed in the vault since may have been by us.
    // So was what both sides had after its last deletion, of which a server that was set back no longer knows.
    let is_same_file =
        here.disk == agreed.disk && agreed.absent_since.is_none() && !around.is_deleted_before(agreed);
    let (goes_up, goes_down) = (settings.direction != Direction::Down, settings.direction != Direction::Up);
    // The file is another picture now, and this is the only copy of what it was. What it is comes to the same place.
    if let Some(now) = around.replacement(agreed).filter(|_| is_same_file && goes_down) {
        if !around.snapshot.is_listed {
            return Decided::Wait(Wait::NotListed);
        }
        let buried = Deleted { content: now, size: agreed.size, file: agreed.file, version: Version(0) };
        let trash = Action::TrashLocal { content, disk: here.disk, buried };
        return Decided::at(trash, Cause::EditedThere);
    }
    match around.remote(&content) {
        Some(Remote::Live { file, version, .. }) => {
            let now = self::agreed(here, *file, *version);
            if now == *agreed { Decided::Nothing } else { Decided::at(Action::Agree(now), Cause::Same) }
        }
        Some(Remote::Trash { .. } | Remote::Purged) if is_same_file && !goes_down => {
            Decided::Wait(Wait::Direction)
        }
        // Nothing is destroyed while not all is seen.
        Some(Remote::Trash { .. } | Remote::Purged) if is_same_file && !around.snapshot.is_listed => {
            Decided::Wait(Wait::NotListed)
        }
        Some(Remote::Trash { .. }) if is_same_file => {
            Decided::at(around.trash_local(agreed, here), Cause::DeletedThere)
        }
        Some(Remote::Purged) if is_same_file => {
            Decided::at(around.trash_local(agreed, here), Cause::PurgedThere)
        }
        _ if !goes_up => Decided::Wait(Wait::Direction),
        Some(Remote::Trash { file, version }) => {
            Decided::at(Action::Restore { content, file: *file, version: *version }, Cause::PutBack)
        }
        Some(Remote::Purged) => Decided::at(Action::Send { content, replaces: None }, Cause::PutBack),
        // Absence of a record is never a deletion.
        None => Decided::at(Action::Send { content, replaces: None }, Cause::NoRecord),
    }
}

fn agreed(here: &Present, file: FileId, version: Version) -> Synced {
    let Present { content, disk, size } = *here;
    Synced { content, disk, size, file, version, absent_since: None }
}

/// Base `S(h)`, local h′: an edit beats a deletion.
fn edited(agreed: &Synced, here: &Present, around: &Surroundings<'_>, settings: &Settings) -> Decided {
    if settings.direction == Direction::Down {
        return Decided::Wait(Wait::Direction);
    }
    let content = here.content;
    let action = match around.remote(&content) {
        Some(Remote::Live { .. }) => Action::Link { content },
        Some(Remote::Trash { file, version }) => Action::Restore { content, file: *file, version: *version },
        Some(Remote::Purged) | None => {
            let is_there = matches!(around.remote(&agreed.content),
                Some(Remote::Live { file, .. }) if *file == agreed.file);
            // Another path still is what the file is, or became something else; or the new content has a place of its own as well: which of
            // them the file would follow must not hang on who comes first.
            let is_alone = around.agreed_at(&agreed.content) == 1 && around.present_at(&content) == 1;
            let is_free = is_there && is_alone && !around.is_present(&agreed.content);
            Action::Send { content, replaces: is_free.then_some(agreed.file) }
        }
    };
    Decided::at(action, Cause::Edited).letting_go(agreed.content)
}

/// Base `S(h)`, local nothing.
fn absent(agreed: &Synced, around: &Surroundings<'_>, settings: &Settings, now: i64) -> Decided {
    if !around.snapshot.is_listed {
        return Decided::Wait(Wait::NotListed);
    }
    if !agreed.is_missed_twice(settings, now) {
        // The first time; or the clock was set back since.
        let is_first = agreed.absent_since.is_none_or(|since| since > now);
        let missed = Synced { absent_since: Some(now), ..*agreed };
        let first = || Decided::at(Action::Miss(missed), Cause::Missing);
        return if is_first { first() } else { Decided::Wait(Wait::Missing) };
    }
    if around.is_present(&agreed.content) {
        return Decided::at(Action::Forget, Cause::Elsewhere);
    }
    // Neither is a picture gone while something is not known of another path that had it.
    if around.may_be_unsettled(agreed.size) || around.unsure.contains(&agreed.content) {
        return Decided::Wait(Wait::MayHaveMoved);
    }
    let buried = around.buried(agreed);
    let content = agreed.content;
    if around.snapshot.others.present.contains(&content) {
        return Decided::at(Action::Detach { content }, Cause::Elsewhere);
    }
    match around.remote(&content) {
        Some(Remote::Live { file, version, taken }) => {
            // At whichever path: what one of them has seen, was not restored since. Whoever changes details, as this client does when it sends a
            // thumbnail, restores nothing.
            let is_as_agreed = around.agreed.contains(&(&content, *file, *version))
                || around.snapshot.details.contains(file);
            let is_old = settings.keep_older_than.is_some_and(|age| now.saturating_sub(*taken) > age);
            let materialise = Action::Materialise { content, file: *file };
            match (settings.direction, is_as_agreed) {
                (Direction::Down, _) => Decided::at(materialise, Cause::VaultDecides),
                (Direction::Both, false) => Decided::at(materialise, Cause::RestoredThere),
                (Direction::Up, false) => Decided::at(Action::Detach { content }, Cause::RestoredThere),
                (_, true) if is_old => Decided::at(Action::Detach { content }, Cause::DeletedOld),
                (_, true) => Decided::at(
                    Action::TrashRemote { file: *file, version: *version, buried },
                    Cause::DeletedHere,
                ),
            }
        }
        // The vault had it after that, and knows nothing of it any more.
        Some(Remote::Purged) if around.is_deleted_before(agreed) => {
            Decided::at(Action::Bury(buried), Cause::Lost)
        }
        Some(Remote::Trash { .. } | Remote::Purged) => Decided::at(Action::Bury(buried), Cause::DeletedBoth),
        None => match around.snapshot.edited.get(&agreed.file) {
            // Another path has it, or is missed: what becomes of that one decides.
            Some(now) if around.is_present(now) || around.agreed_at(now) > 0 => {
                Decided::at(Action::Forget, Cause::Elsewhere)
            }
            // An edit beats a deletion.
            Some(now) if settings.direction != Direction::Up => {
                Decided::at(Action::Materialise { content: *now, file: agreed.file }, Cause::RestoredThere)
            }
            _ => Decided::at(Action::Bury(buried), Cause::Lost),
        },
    }
}

/// Base `T(h)`, local nothing.
fn buried_here(buried: &Deleted, around: &Surroundings<'_>, settings: &Settings) -> Decided {
    let Some(Remote::Live { file, version, .. }) = around.remote(&buried.content) else {
        return Decided::Nothing;
    };
    // Another copy that was in the vault all along says nothing of this one.
    let has_come_back = *file == buried.file || *version > buried.version;
    if !has_come_back || settings.direction == Direction::Up {
        return Decided::Nothing;
    }
    // Another path has it, or is missed: what becomes of that one decides, and this tombstone must not bring back what is deleted there.
    if around.is_present(&buried.content) || around.agreed_at(&buried.content) > 0 {
        return Decided::at(Action::Forget, Cause::Elsewhere);
    }
    if around.may_be_unsettled(buried.size) {
        return Decided::Wait(Wait::MayHaveMoved);
    }
    let cause = if buried.version == Version(0) { Cause::NewThere } else { Cause::RestoredThere };
    Decided::at(Action::Materialise { content: buried.content, file: *file }, cause)
}

/// What a decision about one path must know of the others.
struct Surroundings<'s> {
    snapshot: &'s Snapshot,
    /// Contents that the folder has, wherever, and at how many paths.
    present: HashMap<&'s ContentHash, u32>,
    /// What was agreed on, at whichever path.
    agreed: HashSet<(&'s ContentHash, FileId, Version)>,
    /// Contents that were agreed on, and at how many paths.
    agreed_at: HashMap<&'s ContentHash, u32>,
    /// Those of which a path is missed and not for long enough, or cannot be told.
    unsure: HashSet<&'s ContentHash>,
    /// Those of which that may last: a path lies aside, or its edit is suspended.
    unsure_for_long: HashSet<&'s ContentHash>,
    /// Files of which nothing is known yet: their bytes so far, and whether they may grow.
    unsettled: Vec<(u64, bool)>,
    /// How many paths of the folder are the same but for case and normalisation.
    names: HashMap<String, u32>,
    /// Old paths of files that were renamed.
    moved_from: HashSet<&'s RelativePath>,
    /// Their new ones, with the old path and what is agreed on.
    moved_to: HashMap<&'s RelativePath, (&'s RelativePath, Synced)>,
}

impl<'s> Surroundings<'s> {
    fn of(snapshot: &'s Snapshot, settings: &Settings, now: i64) -> Self {
        let mut around = Self {
            snapshot,
            present: HashMap::with_capacity(snapshot.local.len()),
            agreed: HashSet::with_capacity(snapshot.base.len()),
            agreed_at: HashMap::with_capacity(snapshot.base.len()),
            unsure: HashSet::new(),
            unsure_for_long: HashSet::new(),
            unsettled: snapshot.others.unsettled.clone(),
            names: HashMap::with_capacity(snapshot.local.len()),
            moved_from: HashSet::new(),
            moved_to: HashMap::new(),
        };
        for (path, local) in &snapshot.local {
            match local {
                Local::Present(here) => {
                    *around.present.entry(&here.content).or_default() += 1;
                }
                Local::Unknown { size, grows } => around.unsettled.push((*size, *grows)),
                // Which file it is, is known, and it has not this name.
                Local::Aside => continue,
            }
            *around.names.entry(names::key(path)).or_default() += 1;
        }
        for (path, base) in &snapshot.base {
            let Base::Synced(agreed) = base else { continue };
            around.agreed.insert((&agreed.content, agreed.file, agreed.version));
            *around.agreed_at.entry(&agreed.content).or_default() += 1;
            let is_unsure = match snapshot.local.get(path) {
                // An edit that is not noted yet may be undone. What only comes down never notes it, and trashes nothing in the vault.
                Some(Local::Present(here)) => {
                    let is_edited = here.content != agreed.content && settings.direction != Direction::Down;
                    if is_edited && around.collides(path) {
                        around.unsure_for_long.insert(&agreed.content);
                    }
                    is_edited
                }
                Some(Local::Unknown { .. }) => true,
                Some(Local::Aside) => {
                    around.unsure_for_long.insert(&agreed.content);
                    true
                }
                None => !agreed.is_missed_twice(settings, now),
            };
            if is_unsure {
                around.unsure.insert(&agreed.content);
            }
        }
        around.find_moves();
        around
    }

    /// A rename is the same file on disk with the same content, and nothing at the old path.
    fn find_moves(&mut self) {
        // Otherwise nothing is known to have gone.
        if !self.snapshot.is_listed {
            return;
        }
        let gone = |(path, base): (&'s RelativePath, &'s Base)| match base {
            Base::Synced(agreed) if !self.snapshot.local.contains_key(path) => {
                Some(((agreed.disk, agreed.size, agreed.content), (path, agreed)))
            }
            _ => None,
        };
        let gone: HashMap<_, _> = self.snapshot.base.iter().filter_map(gone).collect();
        if gone.is_empty() {
            return;
        }
        for (path, local) in &self.snapshot.local {
            let Local::Present(here) = local else { continue };
            if matches!(self.snapshot.base.get(path), Some(Base::Synced(_))) || self.collides(path) {
                continue;
            }
            let Some((from, agreed)) = gone.get(&(here.disk, here.size, here.content)) else { continue };
            if self.moved_from.insert(from) {
                // That it was missed stays noted until both sides are seen to have it: a file that comes back was not trashed by others. But it is
                // missed no more.
                let absent_since = agreed.absent_since.map(|_| Synced::SEEN_ASIDE);
                self.moved_to.insert(path, (from, Synced { absent_since, ..**agreed }));
            }
        }
    }

    fn remote(&self, content: &ContentHash) -> Option<&Remote> {
        self.snapshot.remote.get(content)
    }

    fn is_present(&self, content: &ContentHash) -> bool {
        self.present.contains_key(content)
    }

    fn present_at(&self, content: &ContentHash) -> u32 {
        self.present.get(content).copied().unwrap_or_default()
    }

    fn agreed_at(&self, content: &ContentHash) -> u32 {
        self.agreed_at.get(content).copied().unwrap_or_default()
    }

    /// Whether the vault's last deletion of what was agreed on is older than that. Otherwise it is newer, as deletions are of a server that
    /// was never set back.
    fn is_deleted_before(&self, agreed: &Synced) -> bool {
        self.snapshot.deletions.get(&agreed.content).is_some_and(|deleted| *deleted < agreed.version)
    }

    /// What the file of a path has become in the vault, which has no record of its old content, where that is at no other path of the folder.
    fn replacement(&self, agreed: &Synced) -> Option<ContentHash> {
        let is_alone = self.agreed_at(&agreed.content) == 1 && self.present_at(&agreed.content) == 1;
        let now = self.snapshot.edited.get(&agreed.file).copied();
        now.filter(|_| is_alone && self.remote(&agreed.content).is_none())
    }

    /// Whether a file of which nothing is known yet may be one of so many bytes.
    fn may_be_unsettled(&self, size: u64) -> bool {
        self.unsettled.iter().any(|&(so_far, grows)| if grows { so_far <= size } else { so_far == size })
    }

    fn collides(&self, path: &RelativePath) -> bool {
        self.names.get(&names::key(path)).is_some_and(|paths| *paths > 1)
    }

    /// Whether the folder has this name, or one that only differs by case or normalisation.
    fn is_taken(&self, path: &RelativePath) -> bool {
        self.names.contains_key(&names::key(path))
    }

    fn buried(&self, agreed: &Synced) -> Deleted {
        Deleted {
            content: agreed.content,
            size: agreed.size,
            file: agreed.file,
            version: self.snapshot.vault,
        }
    }

    fn trash_local(&self, agreed: &Synced, here: &Present) -> Action {
        Action::TrashLocal { content: agreed.content, disk: here.disk, buried: self.buried(agreed) }
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
