//! When what failed is tried again. Pure.
//!
//! Most failures are told by opening the file, which costs one call: those are tried in every run. The others cost what they cost before: bytes
//! that are read up to where the disk fails, or sent to a server that refuses them. They have pauses that grow with how long they
//! last, and end at once with a change of the file or a word of its owner.

use std::collections::{HashMap, HashSet};

use super::plan::{BackupPlan, Decision, Kin, Step, Why, kin_of};
use crate::catalog::{AssetRow, AssetState, Failing};
use crate::library::raw;

/// The shortest pause, µs: a quarter of an hour.
const SHORTEST: i64 = 900_000_000;

/// The longest, µs: a day.
const LONGEST: i64 = 86_400_000_000;

/// Until when something that fails is left alone, µs since the epoch: for as long again as it has been failing. None where it is tried now. A
/// clock that was set back keeps nothing waiting.
pub fn paused_until(Failing { since, last }: Failing, now: i64) -> Option<i64> {
    let pause = last.saturating_sub(since).clamp(SHORTEST, LONGEST);
    let passed = now.saturating_sub(last);
    (0..pause).contains(&passed).then(|| last.saturating_add(pause))
}

/// The same of an asset that could not be backed up.
pub fn row_paused_until(row: &AssetRow, now: i64) -> Option<i64> {
    paused_until(row.failing.filter(|_| row.state == AssetState::Blocked)?, now)
}

/// Takes out of a plan what has its pause, and gives how much that is. What arrived beside it, and may be its other half, ends the pause.
pub(super) fn leave_for_later(plan: &mut BackupPlan, known: &[AssetRow], now: i64) -> u64 {
    let resting = known.iter().filter(|row| row_paused_until(row, now).is_some());
    let resting: HashMap<_, _> = resting.map(|row| (row.path.as_slice(), row.fingerprint)).collect();
    if resting.is_empty() {
        return 0;
    }
    let arrived = plan
        .steps
        .iter()
        .filter(|step| matches!(step.decision, Decision::Read(Why::New | Why::Changed)))
        .filter_map(|step| kin_of(&step.path));
    let arrived: HashSet<Kin> = arrived.collect();
    let rests = |step: &Step| {
        let is_as_it_failed = resting.get(raw(&step.path).as_slice()) == Some(&step.fingerprint);
        let other_half = kin_of(&step.path).map(Kin::other_half);
        step.decision == Decision::Read(Why::Retry)
            && is_as_it_failed
            && !other_half.is_some_and(|other| arrived.contains(&other))
    };
    let before = plan.steps.len();
    plan.steps.retain(|step| !rests(step));
    (before - plan.steps.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::super::plan::plan;
    use super::*;
    use crate::catalog::{DeviceAlbumKey, Fingerprint};
    use crate::library::{AlbumRule, Found};
    use std::collections::BTreeSet;
    use std::path::Path;

    const HOUR: i64 = 3_600_000_000;
    const NOW: i64 = 1_800_000_000_000_000;

    fn print(size: u64) -> Fingerprint {
        Fingerprint { size, modified_ns: 1, inode: 1 }
    }

    fn row(path: &str) -> AssetRow {
        AssetRow {
            root: b"/p".to_vec(),
            path: path.as_bytes().to_vec(),
            fingerprint: print(1),
            motion: None,
            album: DeviceAlbumKey { root: b"/p".to_vec(), folder: Vec::new() },
            content_hash: None,
            file: None,
            state: AssetState::Blocked,
            reason: Some("its disk fails".to_owned()),
            first_seen: 0,
            last_seen: NOW,
            failing: Some(Failing { since: NOW - 4 * HOUR, last: NOW - HOUR }),
        }
    }

    #[test]
    fn a_pause_is_as_long_as_it_has_been_failing() {
        for (since, last, now, expected) in [
            (0, 0, 0, Some(SHORTEST)),
            (0, 0, SHORTEST - 1, Some(SHORTEST)),
            (0, 0, SHORTEST, None),
            (0, SHORTEST + 1, SHORTEST + 2, Some(2 * SHORTEST + 2)),
            (0, SHORTEST + 1, 2 * SHORTEST + 2, None),
            (0, 3 * LONGEST, 3 * LONGEST + 1, Some(4 * LONGEST)),
            (0, 3 * LONGEST, 4 * LONGEST, None),
            (NOW, NOW, NOW - 1, None),
            (9, 0, 1, Some(SHORTEST)),
        ] {
            assert_eq!(paused_until(Failing { since, last }, now), expected, "{since:?} {last} {now}");
        }
        assert_eq!(row_paused_until(&row("a.jpg"), NOW), Some(NOW + 2 * HOUR));
        let known = AssetRow { state: AssetState::NoRoom, ..row("a.jpg") };
        assert_eq!(row_paused_until(&known, NOW), None);
    }

    #[test]
    fn what_has_its_pause_is_left_alone_unless_something_arrives_for_it() {
        let known = [
            row("a.jpg"),
            row("b.jpg"),
            row("c.heic"),
            row("d.mov"),
            AssetRow { failing: None, ..row("e.jpg") },
            AssetRow { state: AssetState::BackedUp, ..row("f.heic") },
        ];
        let files = [("a.jpg", 1), ("b.jpg", 2), ("c.heic", 1), ("c.mov", 1), ("d.jpg", 1), ("d.mov", 1)];
        let files = files.into_iter().chain([("e.jpg", 1), ("f.heic", 1), ("g.jpg", 1)]);
        let found = |(path, size): (&str, u64)| Found { path: path.into(), fingerprint: print(size) };
        let files: Vec<Found> = files.map(found).collect();
        let left = |known: &[AssetRow], now| {
            let mut plan = plan(Path::new("/p"), &files, known, &BTreeSet::new(), &AlbumRule::PerRoot);
            let count = leave_for_later(&mut plan, known, now);
            let paths: Vec<_> = plan.steps.iter().map(|step| step.path.to_str().unwrap()).collect();
            (count, paths.join(" "))
        };
        assert_eq!(left(&known, NOW), (1, "b.jpg c.heic c.mov d.jpg d.mov e.jpg f.heic g.jpg".to_owned()));
        let all = "a.jpg b.jpg c.heic c.mov d.jpg d.mov e.jpg f.heic g.jpg".to_owned();
        assert_eq!(left(&known, NOW + 2 * HOUR), (0, all));
        // What came before is no news.
        let known = [&known[..], &[AssetRow { failing: None, ..row("c.mov") }]].concat();
        assert_eq!(left(&known, NOW), (2, "b.jpg c.mov d.jpg d.mov e.jpg f.heic g.jpg".to_owned()));
    }
}
