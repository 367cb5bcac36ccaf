//! Halves of Live Photos that are not planned together: a settled file is read all the same if what arrived beside it may be its other half,
//! and what is known to be one is planned as one, also where its folder is cut between the halves. Pure.
//!
//! Of what arrived marks are kept, not names: there may be many, and one that stands for two has a file read that need not be.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};

use super::plan::{BackupPlan, Decision, Why, kin_of};
use crate::catalog::AssetRow;
use crate::library::path_of;

/// What arrived under a root, by the folder.
#[derive(Default)]
pub(super) struct Arrivals(HashMap<PathBuf, Arrived>);

/// What arrived in one folder, as far as it may be half of a Live Photo.
#[derive(Default)]
pub(super) struct Arrived {
    /// What the other halves would be.
    wanted: HashSet<u64>,
    /// Assets that are known and in the plan already.
    planned: HashSet<u64>,
}

impl Arrivals {
    /// Notes what a plan of some files says, of which so much is known.
    pub(super) fn note(&mut self, plan: &BackupPlan, known: &[AssetRow]) {
        let arrived =
            plan.steps.iter().filter(|step| matches!(step.decision, Decision::Read(Why::New | Why::Changed)));
        for kin in arrived.filter_map(|step| kin_of(&step.path)) {
            let other_half = kin.other_half();
            self.of(&other_half.folder).wanted.insert(mark(&other_half));
        }
        for path in known.iter().filter(|row| row.is_settled()).map(|row| path_of(&row.path)) {
            self.of(path.parent().unwrap_or(Path::new(""))).planned.insert(mark(&path));
        }
    }

    fn of(&mut self, folder: &Path) -> &mut Arrived {
        self.0.entry(folder.to_owned()).or_default()
    }

    /// What arrived in a folder of which nothing more comes; none where that is no half of anything.
    pub(super) fn take(&mut self, folder: &Path) -> Option<Arrived> {
        self.0.remove(folder).filter(|arrived| !arrived.wanted.is_empty())
    }
}

impl Arrived {
    /// Whether this asset of the folder is settled and read all the same.
    pub(super) fn is_companion(&self, row: &AssetRow) -> bool {
        let path = path_of(&row.path);
        row.is_settled()
            && kin_of(&path).is_some_and(|kin| self.wanted.contains(&mark(&kin)))
            && !self.planned.contains(&mark(&path))
    }
}

/// The halves that belong to some files and are not among them: videos of what is known there, and stills whose videos are there.
pub(super) fn other_halves(here: &[Vec<u8>], known: &[AssetRow], stills: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let here: HashSet<&[u8]> = here.iter().map(Vec::as_slice).collect();
    let videos = known.iter().filter_map(|row| row.motion.as_ref()).map(|(path, _)| path.clone());
    let halves = videos.chain(stills).filter(|path| !here.contains(path.as_slice()));
    halves.collect::<BTreeSet<_>>().into_iter().collect()
}

fn mark(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::plan::Step;
    use crate::catalog::{AssetState, DeviceAlbumKey, Fingerprint};
    use darkslide_crypto::ContentHash;
    use darkslide_protocol::FileId;

    const PRINT: Fingerprint = Fingerprint { size: 1, modified_ns: 1, inode: 1 };

    fn step(path: &str, decision: Decision) -> Step {
        Step { path: path.into(), fingerprint: PRINT, motion: None, decision }
    }

    fn row(path: &str) -> AssetRow {
        AssetRow {
            root: b"/r".to_vec(),
            path: path.as_bytes().to_vec(),
            fingerprint: PRINT,
            motion: None,
            album: DeviceAlbumKey { root: b"/r".to_vec(), folder: Vec::new() },
            content_hash: Some(ContentHash::of(b"content")),
            file: Some(FileId(1)),
            state: AssetState::BackedUp,
            reason: None,
            first_seen: 1,
            last_seen: 1,
            failing: None,
        }
    }

    #[test]
    fn a_settled_half_is_read_when_the_other_arrives() {
        let plan = BackupPlan {
            steps: vec![
                step("a/1.mov", Decision::Read(Why::New)),
                step("a/2.heic", Decision::Read(Why::Changed)),
                step("a/3.mov", Decision::Read(Why::Retry)),
                step("a/4.mov", Decision::Unchanged),
                step("a/5.mov", Decision::Read(Why::New)),
                step("a/n.txt", Decision::Read(Why::New)),
                step("b/1.jpg", Decision::Read(Why::Retry)),
                step("c/n.txt", Decision::Read(Why::New)),
                step("1.jpg", Decision::Read(Why::New)),
            ],
        };
        let blocked = AssetRow { state: AssetState::Blocked, ..row("a/1.heic") };
        let mut arrivals = Arrivals::default();
        arrivals.note(&plan, &[row("a/5.heic"), blocked.clone(), row("b/2.jpg"), row("0.mov")]);
        let arrived = arrivals.take(Path::new("a")).unwrap();
        for (row, expected) in [
            (row("a/1.heic"), true),
            (row("a/1.JPG"), true),
            (row("a/2.mov"), true),
            // Not the other half, or of another name.
            (row("a/1.mp4"), false),
            (row("a/2.jpg"), false),
            (row("a/11.heic"), false),
            (row("a/n.jpg"), false),
            // Nothing arrived beside it.
            (row("a/3.heic"), false),
            (row("a/4.heic"), false),
            // Planned already.
            (row("a/5.heic"), false),
            (row("a/5.jpg"), true),
            // Not settled.
            (blocked, false),
            (AssetRow { motion: Some((b"a/x.mov".to_vec(), PRINT)), ..row("a/1.heic") }, false),
        ] {
            assert_eq!(arrived.is_companion(&row), expected, "{row:?}");
        }
        assert!(arrivals.take(Path::new("a")).is_none(), "it was taken");
        for folder in ["b", "c", "d"] {
            assert!(arrivals.take(Path::new(folder)).is_none(), "{folder}");
        }
        let arrived = arrivals.take(Path::new("")).unwrap();
        assert!(arrived.is_companion(&row("1.mov")) && !arrived.is_companion(&row("0.mov")));
    }

    #[test]
    fn the_other_halves_are_those_that_are_not_here() {
        let unit = |still: &str, video: &str| AssetRow {
            motion: Some((video.as_bytes().to_vec(), PRINT)),
            ..row(still)
        };
        let paths = |text: &str| text.split(' ').map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
        let known = [unit("1.heic", "1.mov"), unit("2.heic", "x.mov"), row("3.jpg"), unit("4.heic", "x.mov")];
        let halves = other_halves(
            &paths("1.heic 1.mov 2.heic 3.jpg 4.heic 5.mov"),
            &known,
            paths("1.heic 0.heic y.heic"),
        );
        assert_eq!(halves, paths("0.heic x.mov y.heic"));
    }

    #[test]
    fn what_is_noted_in_portions_adds_up() {
        let arrived = |path: &str| BackupPlan { steps: vec![step(path, Decision::Read(Why::New))] };
        let mut arrivals = Arrivals::default();
        arrivals.note(&arrived("a/1.mov"), &[row("a/2.heic")]);
        arrivals.note(&arrived("a/2.mov"), &[]);
        let arrived = arrivals.take(Path::new("a")).unwrap();
        assert!(arrived.is_companion(&row("a/1.heic")) && !arrived.is_companion(&row("a/2.heic")));
    }
}
