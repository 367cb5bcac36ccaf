//! Every state of a single path, against a second statement of the table: rows of conditions, of which exactly one must hold.
//!
//! It is written from the design and not from the code: it knows none of the functions that decide. It is long because the table is, and because
//! the rows are words over the dimensions that come before them.

use std::collections::{BTreeMap, HashMap};

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};

use super::invariants;
use super::world::{ABSENCE, KEEP_AGE};
use crate::folder::reconcile::{
    Action, Base, Cause, Deleted, Direction, DiskId, Local, Others, Present, Remote, Settings, Snapshot,
    SyncPlan, Synced, Wait, reconcile,
};

const NOW: i64 = 10 * KEEP_AGE;
const SIZE: u64 = 10;
const PATH: &[u8] = b"a.jpg";
const OTHER_PATH: &[u8] = b"b.jpg";
const FILE: FileId = FileId(1);
const OTHER_FILE: FileId = FileId(2);
const AGREED: Version = Version(5);
const DISK: DiskId = DiskId { inode: 1, born_ns: 1 };
const OTHER_DISK: DiskId = DiskId { inode: 2, born_ns: 2 };
const THIRD_DISK: DiskId = DiskId { inode: 3, born_ns: 3 };

/// When a path was first missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missed {
    Never,
    JustNow,
    LongAgo,
    /// The clock was set back.
    Later,
    /// It lay aside after that.
    SeenAside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    Nothing,
    Synced(Missed),
    Deleted,
    /// What the vault has and nobody here knows is given as a tombstone of version 0.
    Arriving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Absent,
    Same,
    /// The same content in another file.
    PutBack,
    /// Another content, and what the vault has of that.
    Edited(There),
    Growing,
    Unreadable,
    /// The file has a name that is passed over.
    Aside,
}

/// What the vault has of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    None,
    Live,
    /// Somebody changed what is said of it since.
    LiveDetails,
    LiveLater,
    OtherFile,
    OtherFileEarlier,
    Trash,
    Purged,
    /// There is no record of it: the file is another picture now.
    Replaced,
}

/// What else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Nothing,
    /// The content is at another path.
    Copy,
    /// The file that was here is at another path.
    Renamed,
    /// What an edit has made of it is at another path.
    CopyOfEdit,
    /// Another path had the content as well, and is missed for the first time.
    OtherMissed,
    /// The same, long ago.
    OtherGone,
    /// The same, and nobody can say what is there now.
    OtherUnknown,
    /// The same, and its file has a name that is passed over.
    OtherAside,
    /// The same, and it has another content now.
    OtherEdited,
    InOtherFolder,
    Unsettled,
    GrowingFile,
    UnsettledInOtherFolder,
    UnsettledOfOtherSize,
    /// Another file has the same name but for case.
    OtherCase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Everything,
    Young,
    Old,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    was: Was,
    is: Is,
    there: There,
    around: Around,
    direction: Direction,
    keep: Keep,
    is_listed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Agree,
    Move,
    Send,
    Replace,
    Link,
    Restore,
    Materialise,
    Miss,
    Forget,
    Bury,
    Detach,
    TrashLocal,
    TrashRemote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    Waits(Wait),
    Does(Kind, Cause),
}

use Around as A;
use Outcome::{Does, Nothing, Waits};

impl Case {
    fn is_synced(self) -> bool {
        matches!(self.was, Was::Synced(_))
    }

    /// A whole file where nothing was, or nothing any more.
    fn appears(self) -> Option<There> {
        match self.is {
            _ if self.is_synced() || self.around == A::OtherCase => None,
            Is::Same | Is::PutBack => Some(self.there),
            Is::Edited(there) => Some(there),
            _ => None,
        }
    }

    /// The content that was agreed on.
    fn stays(self) -> bool {
        self.is_synced() && matches!(self.is, Is::Same | Is::PutBack) && self.around != A::OtherCase
    }

    /// In the file that it was in, which was there all along.
    fn stays_the_same(self) -> bool {
        self.stays() && self.is == Is::Same && self.was == Was::Synced(Missed::Never)
    }

    /// In another file, or in one that was missed in between.
    fn is_put_back(self) -> bool {
        self.stays() && !self.stays_the_same()
    }

    fn is_edited(self) -> Option<There> {
        match self.is {
            Is::Edited(there) if self.is_synced() && self.around != A::OtherCase => Some(there),
            _ => None,
        }
    }

    fn is_renamed(self) -> bool {
        self.is_synced() && self.is == Is::Absent && self.is_listed && self.around == A::Renamed
    }

    /// A look that found nothing would count when the next one finds nothing.
    fn was_missed(self) -> bool {
        matches!(self.was, Was::Synced(Missed::JustNow | Missed::LongAgo | Missed::Later))
    }

    /// Agreed on, and not there.
    fn is_missed(self) -> bool {
        self.is_synced() && self.is == Is::Absent && !self.is_renamed()
    }

    /// Missed twice, everything having been listed.
    fn is_gone(self) -> bool {
        self.is_missed() && self.was == Was::Synced(Missed::LongAgo) && self.is_listed
    }

    /// Gone, and nowhere else either.
    fn is_nowhere(self) -> bool {
        self.is_gone() && !self.is_elsewhere() && !self.may_have_moved() && self.around != A::InOtherFolder
    }

    fn is_elsewhere(self) -> bool {
        matches!(self.around, A::Copy | A::Renamed)
    }

    fn may_have_moved(self) -> bool {
        let is_unsure = matches!(self.around, A::OtherMissed | A::OtherUnknown | A::OtherAside);
        is_unsure || (self.around == A::OtherEdited && self.goes_up()) || self.may_be_a_new_file()
    }

    /// A file that nothing is known of may be it.
    fn may_be_a_new_file(self) -> bool {
        matches!(self.around, A::Unsettled | A::GrowingFile | A::UnsettledInOtherFolder)
    }

    fn is_live(self) -> bool {
        !matches!(self.there, There::None | There::Replaced | There::Trash | There::Purged)
    }

    fn has_no_record(self) -> bool {
        matches!(self.there, There::None | There::Replaced)
    }

    /// What the vault's file has become takes this one's place.
    fn is_replaced(self) -> bool {
        let is_alone = !self.is_elsewhere()
            && !matches!(
                self.around,
                A::OtherMissed | A::OtherGone | A::OtherUnknown | A::OtherAside | A::OtherEdited
            );
        self.stays_the_same() && self.there == There::Replaced && self.direction != Direction::Up && is_alone
    }

    fn is_deleted_there(self) -> bool {
        matches!(self.there, There::Trash | There::Purged)
    }

    /// Live as this path, or another one, has seen it.
    fn is_live_as_seen(self) -> bool {
        matches!(self.there, There::Live | There::LiveDetails)
    }

    /// A tombstone whose picture the vault has again.
    fn has_come_back(self) -> bool {
        let is_there = self.there != There::OtherFileEarlier || self.was == Was::Arriving;
        matches!(self.was, Was::Deleted | Was::Arriving)
            && self.is == Is::Absent
            && self.is_live()
            && is_there
            && self.direction != Direction::Up
    }

    fn goes_up(self) -> bool {
        self.direction != Direction::Down
    }
}

/// A row of the table.
struct Row {
    name: &'static str,
    holds: fn(Case) -> bool,
    does: fn(Case) -> Outcome,
}

fn up(case: Case, kind: Kind, cause: Cause) -> Outcome {
    if case.goes_up() { Does(kind, cause) } else { Waits(Wait::Direction) }
}

const TABLE: [Row; 29] = [
    Row {
        name: "two names that differ by case: both are left alone",
        holds: |case| !matches!(case.is, Is::Absent | Is::Aside) && case.around == A::OtherCase,
        does: |_| Waits(Wait::Collides),
    },
    Row {
        name: "unknown",
        holds: |case| matches!(case.is, Is::Growing | Is::Unreadable) && case.around != A::OtherCase,
        does: |_| Waits(Wait::Unknown),
    },
    Row {
        name: "the file has a name that is passed over",
        holds: |case| case.is == Is::Aside && !case.was_missed(),
        does: |_| Waits(Wait::Aside),
    },
    Row {
        name: "S | missed, and under a name that is passed over after that: it was not missed twice",
        holds: |case| case.is == Is::Aside && case.was_missed(),
        does: |_| Does(Kind::Miss, Cause::Aside),
    },
    Row {
        name: "– | – |",
        holds: |case| case.was == Was::Nothing && case.is == Is::Absent,
        does: |_| Nothing,
    },
    Row {
        name: "– or T | h | None: upload",
        holds: |case| matches!(case.appears(), Some(There::None | There::Replaced)),
        does: |case| up(case, Kind::Send, Cause::New),
    },
    Row {
        name: "– or T | h | Live: link",
        holds: |case| {
            case.appears().is_some_and(|there| {
                !matches!(there, There::None | There::Replaced | There::Trash | There::Purged)
            })
        },
        does: |case| Does(if case.goes_up() { Kind::Link } else { Kind::Agree }, Cause::Known),
    },
    Row {
        name: "– or T | h | Trash: restore",
        holds: |case| case.appears() == Some(There::Trash),
        does: |case| up(case, Kind::Restore, Cause::Reappeared),
    },
    Row {
        name: "– or T | h | Purged: upload, reappeared",
        holds: |case| case.appears() == Some(There::Purged),
        does: |case| up(case, Kind::Send, Cause::Reappeared),
    },
    Row {
        name: "S | same | Live: none, or rebase",
        holds: |case| case.stays() && case.is_live(),
        does: |case| {
            let is_as_agreed = case.stays_the_same() && case.there == There::Live;
            if is_as_agreed { Nothing } else { Does(Kind::Agree, Cause::Same) }
        },
    },
    Row {
        name: "S | same, same file | Trash or Purged: to the local trash",
        holds: |case| case.stays_the_same() && case.is_deleted_there(),
        does: |case| match (case.direction, case.is_listed) {
            (Direction::Up, _) => Waits(Wait::Direction),
            (_, false) => Waits(Wait::NotListed),
            _ if case.there == There::Trash => Does(Kind::TrashLocal, Cause::DeletedThere),
            _ => Does(Kind::TrashLocal, Cause::PurgedThere),
        },
    },
    Row {
        name: "S | same, another file, or missed in between | Trash: restore",
        holds: |case| case.is_put_back() && case.there == There::Trash,
        does: |case| up(case, Kind::Restore, Cause::PutBack),
    },
    Row {
        name: "S | same, another file, or missed in between | Purged: upload again",
        holds: |case| case.is_put_back() && case.there == There::Purged,
        does: |case| up(case, Kind::Send, Cause::PutBack),
    },
    Row {
        name: "S | same | None: upload again",
        holds: |case| case.stays() && case.has_no_record() && !case.is_replaced(),
        does: |case| up(case, Kind::Send, Cause::NoRecord),
    },
    Row {
        name: "S | same, same file, nowhere else | its file has another content: to the local trash, for that to come",
        holds: Case::is_replaced,
        does: |case| {
            if case.is_listed { Does(Kind::TrashLocal, Cause::EditedThere) } else { Waits(Wait::NotListed) }
        },
    },
    Row {
        name: "S(h) | h′ | any: upload, link or restore h′ as the new version",
        holds: |case| case.is_edited().is_some(),
        does: |case| {
            let is_shared = matches!(
                case.around,
                A::Copy
                    | A::Renamed
                    | A::CopyOfEdit
                    | A::OtherMissed
                    | A::OtherGone
                    | A::OtherUnknown
                    | A::OtherAside
                    | A::OtherEdited
            );
            let is_the_file = matches!(case.there, There::Live | There::LiveDetails | There::LiveLater);
            up(
                case,
                match case.is_edited() {
                    Some(There::Trash) => Kind::Restore,
                    Some(There::None | There::Replaced | There::Purged) if is_the_file && !is_shared => {
                        Kind::Replace
                    }
                    Some(There::None | There::Replaced | There::Purged) => Kind::Send,
                    _ => Kind::Link,
                },
                Cause::Edited,
            )
        },
    },
    Row {
        name: "S | absent; the same file is at another path: it was renamed",
        holds: Case::is_renamed,
        does: |_| Nothing,
    },
    Row {
        name: "S | absent, not all was listed",
        holds: |case| case.is_missed() && !case.is_listed,
        does: |_| Waits(Wait::NotListed),
    },
    Row {
        name: "S | absent, observed once",
        holds: |case| case.is_missed() && case.is_listed && !case.is_gone(),
        does: |case| match case.was {
            Was::Synced(Missed::JustNow) => Waits(Wait::Missing),
            _ => Does(Kind::Miss, Cause::Missing),
        },
    },
    Row {
        name: "S | absent, observed twice | any; h at another path: drop the base row",
        holds: |case| case.is_gone() && case.is_elsewhere(),
        does: |_| Does(Kind::Forget, Cause::Elsewhere),
    },
    Row {
        name: "S | absent, observed twice; something unknown may be it",
        holds: |case| case.is_gone() && case.may_have_moved(),
        does: |_| Waits(Wait::MayHaveMoved),
    },
    Row {
        name: "S | absent, observed twice; another sync folder has it",
        holds: |case| case.is_gone() && case.around == A::InOtherFolder,
        does: |_| Does(Kind::Detach, Cause::Elsewhere),
    },
    Row {
        name: "S | absent, observed twice | Live, rev = base, or later by details: server trash, or detach what is old",
        holds: |case| case.is_nowhere() && case.is_live_as_seen(),
        does: |case| match (case.direction, case.keep) {
            (Direction::Down, _) => Does(Kind::Materialise, Cause::VaultDecides),
            (_, Keep::Old) => Does(Kind::Detach, Cause::DeletedOld),
            _ => Does(Kind::TrashRemote, Cause::DeletedHere),
        },
    },
    Row {
        name: "S | absent, observed twice | Live, rev > base, or another file: materialise",
        holds: |case| case.is_nowhere() && case.is_live() && !case.is_live_as_seen(),
        does: |case| match case.direction {
            Direction::Down => Does(Kind::Materialise, Cause::VaultDecides),
            Direction::Both => Does(Kind::Materialise, Cause::RestoredThere),
            Direction::Up => Does(Kind::Detach, Cause::RestoredThere),
        },
    },
    Row {
        name: "S | absent, observed twice | Trash or Purged: T",
        holds: |case| case.is_nowhere() && case.is_deleted_there(),
        does: |_| Does(Kind::Bury, Cause::DeletedBoth),
    },
    Row {
        name: "S | absent, observed twice | None: T and an alarm",
        holds: |case| case.is_nowhere() && case.there == There::None,
        does: |_| Does(Kind::Bury, Cause::Lost),
    },
    Row {
        name: "S | absent, observed twice | its file has another content: materialise that",
        holds: |case| case.is_nowhere() && case.there == There::Replaced,
        does: |case| match case.direction {
            Direction::Up => Does(Kind::Bury, Cause::Lost),
            _ => Does(Kind::Materialise, Cause::RestoredThere),
        },
    },
    Row {
        name: "T | absent | not come back",
        holds: |case| {
            let is_buried = matches!(case.was, Was::Deleted | Was::Arriving) && case.is == Is::Absent;
            is_buried && !case.has_come_back()
        },
        does: |_| Nothing,
    },
    Row {
        name: "T | absent | Live: materialise, if h is at no other path",
        holds: Case::has_come_back,
        does: |case| match case.around {
            A::Copy
            | A::Renamed
            | A::OtherMissed
            | A::OtherGone
            | A::OtherUnknown
            | A::OtherAside
            | A::OtherEdited => Does(Kind::Forget, Cause::Elsewhere),
            _ if case.may_be_a_new_file() => Waits(Wait::MayHaveMoved),
            _ if case.was == Was::Arriving => Does(Kind::Materialise, Cause::NewThere),
            _ => Does(Kind::Materialise, Cause::RestoredThere),
        },
    },
];

fn content() -> ContentHash {
    ContentHash::of(b"h")
}

fn edited() -> ContentHash {
    ContentHash::of(b"h'")
}

fn whole(content: ContentHash, disk: DiskId) -> Local {
    Local::Present(Present { content, disk, size: SIZE })
}

fn remote(there: There, keep: Keep) -> Option<Remote> {
    let taken = if keep == Keep::Old { NOW - KEEP_AGE - 1 } else { NOW - KEEP_AGE };
    let live = |file, version| Some(Remote::Live { file, version, taken });
    match there {
        There::None | There::Replaced => None,
        There::Live => live(FILE, AGREED),
        There::LiveDetails | There::LiveLater => live(FILE, Version(9)),
        There::OtherFile => live(OTHER_FILE, Version(9)),
        There::OtherFileEarlier => live(OTHER_FILE, Version(3)),
        There::Trash => Some(Remote::Trash { file: FILE, version: Version(9) }),
        There::Purged => Some(Remote::Purged),
    }
}

fn synced(missed: Missed) -> Synced {
    let absent_since = match missed {
        Missed::Never => None,
        Missed::JustNow => Some(NOW - ABSENCE + 1),
        Missed::LongAgo => Some(NOW - ABSENCE),
        Missed::Later => Some(NOW + 1),
        Missed::SeenAside => Some(Synced::SEEN_ASIDE),
    };
    Synced { content: content(), disk: DISK, size: SIZE, file: FILE, version: AGREED, absent_since }
}

impl Case {
    fn snapshot(self) -> Snapshot {
        let buried = Deleted { content: content(), size: SIZE, file: FILE, version: AGREED };
        let was = match self.was {
            Was::Nothing => None,
            Was::Synced(missed) => Some(Base::Synced(synced(missed))),
            Was::Deleted => Some(Base::Deleted(buried)),
            Was::Arriving => Some(Base::Deleted(Deleted { version: Version(0), ..buried })),
        };
        let is = match self.is {
            Is::Absent => None,
            Is::Same => Some(whole(content(), DISK)),
            Is::PutBack => Some(whole(content(), OTHER_DISK)),
            Is::Edited(_) => Some(whole(edited(), DISK)),
            // Longer than what is missed: it says nothing of any other path.
            Is::Growing => Some(Local::Unknown { size: SIZE + 1, grows: true }),
            Is::Unreadable => Some(Local::Unknown { size: SIZE + 2, grows: false }),
            Is::Aside => Some(Local::Aside),
        };
        let base: BTreeMap<_, _> = was.map(|was| (PATH.to_vec(), was)).into_iter().collect();
        let local: BTreeMap<_, _> = is.map(|is| (PATH.to_vec(), is)).into_iter().collect();
        let mut remotes = HashMap::new();
        remotes.extend(remote(self.there, self.keep).map(|there| (content(), there)));
        if let Is::Edited(there) = self.is {
            remotes.extend(remote(there, self.keep).map(|there| (edited(), there)));
        }
        let vault = Version(9);
        let mut snapshot = Snapshot {
            base,
            local,
            remote: remotes,
            deletions: HashMap::new(),
            edited: (self.there == There::Replaced)
                .then(|| (FILE, ContentHash::of(b"fourth")))
                .into_iter()
                .collect(),
            details: (self.there == There::LiveDetails).then_some(FILE).into_iter().collect(),
            is_listed: self.is_listed,
            vault,
            others: Others::default(),
        };
        self.surround(&mut snapshot);
        snapshot
    }

    fn surround(self, snapshot: &mut Snapshot) {
        let third = ContentHash::of(b"third");
        let at_other = |local: Local| (OTHER_PATH.to_vec(), local);
        let unknown = |size, grows| Local::Unknown { size, grows };
        let was_at_other =
            |missed| (OTHER_PATH.to_vec(), Base::Synced(Synced { disk: THIRD_DISK, ..synced(missed) }));
        match self.around {
            A::Nothing => {}
            A::Copy => snapshot.local.extend([at_other(whole(content(), THIRD_DISK))]),
            A::Renamed => snapshot.local.extend([at_other(whole(content(), DISK))]),
            A::CopyOfEdit => snapshot.local.extend([at_other(whole(edited(), OTHER_DISK))]),
            A::OtherMissed => snapshot.base.extend([was_at_other(Missed::JustNow)]),
            A::OtherGone => snapshot.base.extend([was_at_other(Missed::LongAgo)]),
            A::OtherUnknown => {
                snapshot.base.extend([was_at_other(Missed::Never)]);
                snapshot.local.extend([at_other(unknown(SIZE + 3, false))]);
            }
            A::OtherAside => {
                snapshot.base.extend([was_at_other(Missed::Never)]);
                snapshot.local.extend([at_other(Local::Aside)]);
            }
            A::OtherEdited => {
                snapshot.base.extend([was_at_other(Missed::Never)]);
                snapshot.local.extend([at_other(whole(third, THIRD_DISK))]);
            }
            A::InOtherFolder => drop(snapshot.others.present.insert(content())),
            A::Unsettled => snapshot.local.extend([at_other(unknown(SIZE, false))]),
            A::GrowingFile => snapshot.local.extend([at_other(unknown(SIZE - 1, true))]),
            A::UnsettledInOtherFolder => snapshot.others.unsettled.push((SIZE, true)),
            A::UnsettledOfOtherSize => {
                snapshot.local.extend([at_other(unknown(SIZE - 1, false))]);
                snapshot.others.unsettled.push((SIZE + 1, true));
            }
            A::OtherCase => snapshot.local.extend([(b"A.JPG".to_vec(), whole(third, OTHER_DISK))]),
        }
    }
}

fn kind(action: &Action) -> Kind {
    match action {
        Action::Agree(_) => Kind::Agree,
        Action::Move(_) => Kind::Move,
        Action::Send { replaces: None, .. } => Kind::Send,
        Action::Send { replaces: Some(_), .. } => Kind::Replace,
        Action::Link { .. } => Kind::Link,
        Action::Restore { .. } => Kind::Restore,
        Action::Materialise { .. } => Kind::Materialise,
        Action::Miss(_) => Kind::Miss,
        Action::Forget => Kind::Forget,
        Action::Bury(_) => Kind::Bury,
        Action::Detach { .. } => Kind::Detach,
        Action::TrashLocal { .. } => Kind::TrashLocal,
        Action::TrashRemote { .. } => Kind::TrashRemote,
    }
}

/// What a plan has for one path.
fn outcome(plan: &SyncPlan, path: &[u8]) -> Outcome {
    let mut found = Vec::new();
    found.extend(
        plan.steps.iter().filter(|step| step.path == path).map(|step| Does(kind(&step.action), step.cause)),
    );
    found.extend(plan.waiting.iter().filter(|(other, _)| other == path).map(|(_, wait)| Waits(*wait)));
    match found[..] {
        [] => Nothing,
        [one] => one,
        _ => panic!("a path is decided on once: {found:?}"),
    }
}

/// Every row holds somewhere, exactly one holds for every state, and it says what is planned.
#[test]
fn every_state_of_a_path_is_decided_as_the_table_says() {
    let mut held: HashMap<&str, u32> = HashMap::new();
    each_case(|case| {
        let snapshot = case.snapshot();
        let settings = Settings {
            direction: case.direction,
            keep_older_than: (case.keep != Keep::Everything).then_some(KEEP_AGE),
            absence: ABSENCE,
        };
        let plan = reconcile(&snapshot, &settings, NOW);
        let rows: Vec<&Row> = TABLE.iter().filter(|row| (row.holds)(case)).collect();
        let [row] = rows[..] else {
            panic!(
                "{} rows hold for {case:?}: {:?}",
                rows.len(),
                rows.iter().map(|row| row.name).collect::<Vec<_>>()
            )
        };
        *held.entry(row.name).or_default() += 1;
        let mut expected = (row.does)(case);
        if case.around == A::OtherCase && matches!(expected, Does(Kind::Materialise, _)) {
            expected = Waits(Wait::Collides);
        }
        assert_eq!(outcome(&plan, PATH), expected, "{}: {case:?} {snapshot:?}", row.name);
        if case.is_renamed() {
            assert_eq!(outcome(&plan, OTHER_PATH), Does(Kind::Move, Cause::Renamed), "{case:?}");
        }
        if let Err(broken) = invariants::of_plan(&snapshot, &plan, &settings, NOW) {
            panic!("{broken}: {case:?}");
        }
    });
    assert_eq!(held.len(), TABLE.len(), "a row that never holds says nothing");
}

fn each_case(mut check: impl FnMut(Case)) {
    use There as T;
    let theres = [
        T::None,
        T::Replaced,
        T::Live,
        T::LiveDetails,
        T::LiveLater,
        T::OtherFile,
        T::OtherFileEarlier,
        T::Trash,
        T::Purged,
    ];
    let edits = [T::None, T::OtherFile, T::Trash, T::Purged].map(Is::Edited);
    let missed = [Missed::Never, Missed::JustNow, Missed::LongAgo, Missed::Later, Missed::SeenAside];
    let missed = missed.map(Was::Synced);
    for was in [Was::Nothing, Was::Deleted, Was::Arriving].into_iter().chain(missed) {
        for is in [Is::Absent, Is::Same, Is::PutBack, Is::Growing, Is::Unreadable, Is::Aside]
            .into_iter()
            .chain(edits)
        {
            for there in theres {
                each_circumstance(|(around, direction, keep, is_listed)| {
                    check(Case { was, is, there, around, direction, keep, is_listed });
                });
            }
        }
    }
}

fn each_circumstance(mut check: impl FnMut((Around, Direction, Keep, bool))) {
    for around in [
        A::Nothing,
        A::Copy,
        A::Renamed,
        A::CopyOfEdit,
        A::OtherMissed,
        A::OtherGone,
        A::OtherUnknown,
        A::OtherAside,
        A::OtherEdited,
        A::InOtherFolder,
        A::Unsettled,
        A::GrowingFile,
        A::UnsettledInOtherFolder,
        A::UnsettledOfOtherSize,
        A::OtherCase,
    ] {
        for direction in [Direction::Both, Direction::Up, Direction::Down] {
            for keep in [Keep::Everything, Keep::Young, Keep::Old] {
                for is_listed in [true, false] {
                    check((around, direction, keep, is_listed));
                }
            }
        }
    }
}
