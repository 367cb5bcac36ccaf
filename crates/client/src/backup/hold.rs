//! Holding back: what is still being written is taken out of a plan, and told.
//!
//! Only files that would be read are looked at, so that a folder of known pictures still costs one `stat` each.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::plan::{BackupPlan, Decision, Step, unit_of};
use super::report::Waiting;
use super::run::Run;
use crate::library::settle::{self, Settling, Wait};

impl Run {
    /// Leaves only what has settled in the plan.
    pub(super) async fn hold_back(
        &self,
        root: PathBuf,
        mut plan: BackupPlan,
        settling: Settling,
    ) -> (PathBuf, BackupPlan) {
        let looking = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            // What cannot be read is left to the run, which says so.
            let look = |path: &Path| settle::look(path, settling, now).ok().flatten();
            let waiting = hold_back(&root, &mut plan, look);
            (root, plan, waiting)
        });
        let (root, plan, waiting) = looking.await.expect("looking at files does not panic");
        self.tally().waiting.extend(waiting);
        (root, plan)
    }
}

/// Takes the steps of unsettled files out, and of those that may be the other halves of their Live Photos.
fn hold_back(root: &Path, plan: &mut BackupPlan, look: impl Fn(&Path) -> Option<Wait>) -> Vec<Waiting> {
    let is_read = |step: &Step| matches!(step.decision, Decision::Read(_));
    let mut waits: HashMap<PathBuf, Wait> = HashMap::new();
    for step in plan.steps.iter().filter(|step| is_read(step)) {
        if let Some(wait) = look(&root.join(&step.path)) {
            waits.insert(step.path.clone(), wait);
        }
    }
    let units: HashSet<_> = waits.keys().map(|path| unit_of(path)).collect();
    let mut waiting = Vec::new();
    plan.steps.retain(|step| {
        if !is_read(step) || waits.is_empty() || !units.contains(&unit_of(&step.path)) {
            return true;
        }
        // Halves are looked at together, when the other one is ready.
        if let Some(wait) = waits.get(&step.path) {
            waiting.push(told(root, &step.path, *wait));
        }
        false
    });
    waiting
}

fn told(root: &Path, path: &Path, wait: Wait) -> Waiting {
    Waiting {
        path: root.join(path).display().to_string(),
        reason: wait.reason.to_string(),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        until: wait.until,
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
        let waiting = hold_back(Path::new("/r"), &mut plan, videos);
        let names: Vec<_> = waiting.iter().map(|waiting| waiting.path.as_str()).collect();
        assert_eq!(names, ["/r/a/IMG_1.mov", "/r/b/IMG_4.mov"]);
        assert_eq!((waiting[0].folder.as_path(), waiting[0].until), (Path::new("a"), until));
        let left: Vec<_> = plan.steps.iter().map(|step| step.path.to_str().unwrap()).collect();
        assert_eq!(left, ["a/IMG_2.jpg", "b/img_1.jpg", "b/IMG_3.mov"]);
    }
}
