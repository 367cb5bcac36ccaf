//! Holding back: what is still being written is taken out of a plan, and told.
//!
//! Only files that would be read are looked at, so that a folder of known pictures still costs one `stat` each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::plan::{BackupPlan, Decision, Step, unit_of};
use super::report::{Named, Waiting};
use crate::library::settle::{self, Settling, Wait};

/// Files of one folder that are named.
const NAMED_MAX: usize = 5;

/// Leaves only what has settled in the plan.
pub(super) async fn hold_back(
    root: &Path,
    mut plan: BackupPlan,
    settling: Settling,
) -> (BackupPlan, Vec<Waiting>) {
    let root = root.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        let now = SystemTime::now();
        // What cannot be read is left to the run, which says so.
        let look = |path: &Path| settle::look(path, settling, now).ok().flatten();
        let waiting = hold_in(&root, &mut plan, look);
        (plan, waiting)
    });
    looking.await.expect("looking at files does not panic")
}

/// Takes the steps of unsettled files out, and of those that may be the other halves of their Live Photos. Gives what waits, by folder.
fn hold_in(root: &Path, plan: &mut BackupPlan, look: impl Fn(&Path) -> Option<Wait>) -> Vec<Waiting> {
    let is_read = |step: &Step| matches!(step.decision, Decision::Read(_));
    let mut waits: HashMap<PathBuf, Wait> = HashMap::new();
    for step in plan.steps.iter().filter(|step| is_read(step)) {
        if let Some(wait) = look(&root.join(&step.path)) {
            waits.insert(step.path.clone(), wait);
        }
    }
    let units: HashSet<_> = waits.keys().map(|path| unit_of(path)).collect();
    let mut waiting = BTreeMap::new();
    plan.steps.retain(|step| {
        if !is_read(step) || waits.is_empty() || !units.contains(&unit_of(&step.path)) {
            return true;
        }
        // Halves are looked at together, when the other one is ready.
        if let Some(wait) = waits.get(&step.path) {
            tell(&mut waiting, root, &step.path, *wait);
        }
        false
    });
    waiting.into_values().collect()
}

fn tell(waiting: &mut BTreeMap<PathBuf, Waiting>, root: &Path, path: &Path, wait: Wait) {
    let folder = path.parent().unwrap_or(Path::new(""));
    let in_folder = waiting.entry(folder.to_owned()).or_insert_with(|| Waiting {
        folder: folder.to_owned(),
        files: 0,
        some: Vec::new(),
        until: wait.until,
    });
    in_folder.files += 1;
    in_folder.until = in_folder.until.min(wait.until);
    if in_folder.some.len() < NAMED_MAX {
        let path = root.join(path).display().to_string();
        in_folder.some.push(Named { path, reason: wait.reason.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::plan::Why;
    use crate::catalog::Fingerprint;
    use crate::library::settle::Unsettled;
    use std::time::Duration;

    #[test]
    fn unsettled_files_and_their_other_halves_are_held_back() {
        let step = |path: &str, decision| Step {
            path: path.into(),
            fingerprint: Fingerprint { size: 1, modified_ns: 1, inode: 1 },
            motion: None,
            decision,
        };
        let read = Decision::Read(Why::New);
        let mut plan = BackupPlan {
            steps: vec![
                step("a/IMG_1.heic", read.clone()),
                step("a/IMG_1.mov", read.clone()),
                step("a/IMG_2.jpg", read.clone()),
                step("b/img_1.jpg", read.clone()),
                step("b/IMG_3.mov", Decision::Unchanged),
                step("b/IMG_4.mov", read),
            ],
        };
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let videos = |path: &Path| {
            let is_video = path.extension().is_some_and(|extension| extension == "mov");
            is_video.then_some(Wait { until, reason: Unsettled::Fresh })
        };
        let waiting = hold_in(Path::new("/r"), &mut plan, videos);
        let names: Vec<_> =
            waiting.iter().flat_map(|waiting| &waiting.some).map(|named| named.path.as_str()).collect();
        assert_eq!(names, ["/r/a/IMG_1.mov", "/r/b/IMG_4.mov"]);
        let folders: Vec<_> =
            waiting.iter().map(|waiting| (waiting.folder.to_str().unwrap(), waiting.files)).collect();
        assert_eq!((folders, waiting[0].until), (vec![("a", 1), ("b", 1)], until));
        let left: Vec<_> = plan.steps.iter().map(|step| step.path.to_str().unwrap()).collect();
        assert_eq!(left, ["a/IMG_2.jpg", "b/img_1.jpg", "b/IMG_3.mov"]);
    }

    #[test]
    fn of_many_that_wait_in_a_folder_some_are_named() {
        let step = |number: u64| Step {
            path: format!("a/{number}.jpg").into(),
            fingerprint: Fingerprint { size: 1, modified_ns: 1, inode: 1 },
            motion: None,
            decision: Decision::Read(Why::New),
        };
        let mut plan = BackupPlan { steps: (0..9).map(step).collect() };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let seconds = |path: &Path| if path.ends_with("3.jpg") { 5 } else { 9 };
        let wait = |path: &Path| Some(Wait { until: at(seconds(path)), reason: Unsettled::Fresh });
        let waiting = hold_in(Path::new("/r"), &mut plan, wait);
        let [waiting] = waiting.as_slice() else { panic!("one folder") };
        assert_eq!((waiting.files, waiting.some.len(), waiting.until), (9, NAMED_MAX, at(5)));
        assert_eq!(waiting.some[0].reason, Unsettled::Fresh.to_string());
        assert!(plan.steps.is_empty());
    }
}
