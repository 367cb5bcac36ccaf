//! What must have become of each picture, by what was done to it and by nothing else: whoever deletes, edits or puts back writes it down here, and no
//! record of the program is asked.
//!
//! Pictures are numbers, and no two contents are alike. A *round* begins when folder and vault are seen to have the same: what both have then is
//! *agreed*, and what is done to it from then on must arrive on the other side. What is deleted or edited before it was agreed may have been under way,
//! and may come back ([the guide](../../../../docs/folder-sync.md#what-it-cannot-do-yet)): of that only the latest bytes are asked for.

use std::collections::{BTreeMap, BTreeSet};

/// A picture.
pub(crate) type Number = u32;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Whoever uses the folder.
    Folder,
    /// Another client of the vault.
    Vault,
}

/// What one side did to a picture last, in this round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Deed {
    /// Nothing that matters; a rename is nothing.
    #[default]
    Nothing,
    Deleted,
    PutBack,
    Edited,
}

/// What must be found of a picture once all is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// On both sides.
    Live,
    /// On neither side.
    Gone,
    /// On both sides, or in a trash, or among the earlier versions.
    Kept,
    /// Whatever both sides agree on.
    Either,
}

/// Who had a picture when this round began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// It is new since.
    #[default]
    New,
    Both,
    Neither,
}

/// One picture.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Both sides had it, when a round began.
    was_agreed: bool,
    before: Before,
    /// Nobody knows what was done to it.
    is_doubtful: bool,
    /// Both sides edited at once what was here before.
    is_rivals: bool,
    folder: Deed,
    vault: Deed,
}

impl Known {
    fn deed(&mut self, side: Side) -> &mut Deed {
        match side {
            Side::Folder => &mut self.folder,
            Side::Vault => &mut self.vault,
        }
    }

    fn expected(self) -> Expected {
        use Deed::{Deleted, Edited, Nothing, PutBack};
        match (self.folder, self.vault) {
            _ if self.is_doubtful => Expected::Either,
            (Nothing, Nothing) if self.before == Before::Neither => Expected::Gone,
            (Nothing, Nothing) if self.is_rivals => Expected::Kept,
            (Nothing | PutBack, Nothing) => Expected::Live,
            // It came, and went before both sides were seen to have it.
            _ if self.before != Before::Both => Expected::Either,
            // One side took it back, and the other one did not.
            (PutBack, _) | (_, PutBack) => Expected::Either,
            (Deleted | Edited, _) | (_, Deleted | Edited) => Expected::Gone,
        }
    }
}

/// All pictures that there ever were.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pictures: BTreeMap<Number, Known>,
    /// What was edited to what, by which side, in this round.
    edits: Vec<(Side, Number, Number)>,
}

impl Ledger {
    /// It is there, and was never there before.
    pub(crate) fn added(&mut self, number: Number) {
        self.pictures.insert(number, Known::default());
    }

    /// It was deleted, surely.
    pub(crate) fn deleted(&mut self, side: Side, number: Number) {
        *self.known(number).deed(side) = Deed::Deleted;
    }

    /// It is in the folder again.
    pub(crate) fn put_back(&mut self, number: Number) {
        *self.known(number).deed(Side::Folder) = Deed::PutBack;
    }

    /// It is another picture now, surely.
    pub(crate) fn edited(&mut self, side: Side, from: Number, to: Number) {
        self.added(to);
        *self.known(from).deed(side) = Deed::Edited;
        self.edits.push((side, from, to));
        let tos: Vec<_> = self.edits.iter().filter(|(_, before, _)| *before == from).copied().collect();
        if tos.iter().any(|(by, ..)| *by != side) {
            for (_, _, rival) in tos {
                self.known(rival).is_rivals = true;
            }
        }
    }

    /// Whether something was done to it is not known.
    pub(crate) fn doubted(&mut self, number: Number) {
        self.known(number).is_doubtful = true;
    }

    /// Whether nobody did anything to it in this round, and it is there.
    pub(crate) fn is_untouched(&self, number: Number) -> bool {
        self.pictures.get(&number).is_some_and(|known| {
            let is_at_rest = known.folder == Deed::Nothing && known.vault == Deed::Nothing;
            is_at_rest && known.before != Before::Neither && !known.is_doubtful
        })
    }

    /// How many pictures there ever were.
    pub(crate) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// What must be found of each.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (Number, Expected)> {
        self.pictures.iter().map(|(number, known)| (*number, known.expected()))
    }

    /// All that is known of a picture.
    pub(crate) fn told(&self, number: Number) -> String {
        let edits: Vec<_> = self.edits.iter().filter(|edit| edit.1 == number || edit.2 == number).collect();
        format!("{:?} {edits:?}", self.pictures.get(&number))
    }

    /// Those of which this must be found.
    pub(crate) fn all(&self, which: Expected) -> BTreeSet<Number> {
        self.expected().filter(|(_, expected)| *expected == which).map(|(number, _)| number).collect()
    }

    /// Both sides were seen to have these, and no others: a round begins.
    pub(crate) fn begin_round(&mut self, both: &BTreeSet<Number>) {
        self.edits.clear();
        for (number, known) in &mut self.pictures {
            let is_agreed = both.contains(number);
            let was_agreed = known.was_agreed || is_agreed;
            let before = if is_agreed { Before::Both } else { Before::Neither };
            *known = Known { was_agreed, before, ..Known::default() };
        }
    }

    /// Both sides may have lost it, and its bytes must be somewhere.
    pub(crate) fn must_reach(&mut self, number: Number) {
        self.known(number).was_agreed = true;
    }

    /// What both sides once had, and have no more: its bytes must be somewhere.
    pub(crate) fn must_be_reachable(&self, both: &BTreeSet<Number>) -> BTreeSet<Number> {
        let was = self.pictures.iter().filter(|(number, known)| known.was_agreed && !both.contains(number));
        was.map(|(number, _)| *number).collect()
    }

    fn known(&mut self, number: Number) -> &mut Known {
        self.pictures.entry(number).or_default()
    }
}

#[test]
fn what_is_done_last_on_each_side_says_what_must_be_found() {
    type Do = fn(&mut Ledger);
    let cases: [(Do, Expected, Expected); 11] = [
        (|_| (), Expected::Live, Expected::Live),
        (|ledger| ledger.deleted(Side::Folder, 1), Expected::Gone, Expected::Either),
        (|ledger| ledger.deleted(Side::Vault, 1), Expected::Gone, Expected::Either),
        (|ledger| ledger.edited(Side::Folder, 1, 2), Expected::Gone, Expected::Either),
        (|ledger| ledger.doubted(1), Expected::Either, Expected::Either),
        (
            |ledger| {
                ledger.deleted(Side::Folder, 1);
                ledger.put_back(1);
            },
            Expected::Live,
            Expected::Live,
        ),
        (
            |ledger| {
                ledger.deleted(Side::Folder, 1);
                ledger.deleted(Side::Vault, 1);
            },
            Expected::Gone,
            Expected::Either,
        ),
        (
            |ledger| {
                ledger.edited(Side::Folder, 1, 2);
                ledger.deleted(Side::Vault, 1);
            },
            Expected::Gone,
            Expected::Either,
        ),
        (
            |ledger| {
                ledger.put_back(1);
                ledger.deleted(Side::Vault, 1);
            },
            Expected::Either,
            Expected::Either,
        ),
        (
            |ledger| {
                ledger.deleted(Side::Folder, 1);
                ledger.begin_round(&BTreeSet::new());
            },
            Expected::Gone,
            Expected::Gone,
        ),
        (
            |ledger| {
                ledger.begin_round(&BTreeSet::new());
                ledger.put_back(1);
            },
            Expected::Live,
            Expected::Live,
        ),
    ];
    for (number, (deeds, agreed, new)) in cases.into_iter().enumerate() {
        for (is_agreed, expected) in [(true, agreed), (false, new)] {
            let mut ledger = Ledger::default();
            ledger.added(1);
            if is_agreed {
                ledger.begin_round(&BTreeSet::from([1]));
            }
            deeds(&mut ledger);
            let found = ledger.expected().find(|(number, _)| *number == 1);
            assert_eq!(found, Some((1, expected)), "{number} {is_agreed}");
        }
    }
    let mut ledger = Ledger::default();
    ledger.edited(Side::Folder, 1, 2);
    ledger.edited(Side::Vault, 1, 3);
    assert_eq!(ledger.all(Expected::Kept), BTreeSet::from([2, 3]));
}
