//! What is said of what waits: why, what its owner can do, and whether it waits until then.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::reconcile::{Direction, RelativePath, SyncPlan, Wait};
use super::scan::Unsettled;
use crate::library::path_of;
use crate::watch::disks;

/// What is said of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Why it waits, and what ends that.
    pub text: String,
    /// Whether it waits until somebody does something.
    pub lasts: bool,
}

/// Of everything that waits in a plan over a root, and of files that have not settled.
pub(super) fn reasons(
    root: &Path,
    direction: Direction,
    plan: &SyncPlan,
    unsettled: &[Unsettled],
) -> BTreeMap<RelativePath, Reason> {
    let mut known = HashMap::new();
    let reason = |(path, wait): &(RelativePath, Wait)| {
        let link = match wait {
            Wait::Unknown if !disks::asked().owes(&root.join(path_of(path))) => {
                link_to(root, &path_of(path), &mut known)
            }
            _ => None,
        };
        let reason = match link {
            Some(link) => behind(&link, &path_of(path)),
            None => Reason { text: text_of(*wait, direction), lasts: lasts(*wait) },
        };
        (path.clone(), reason)
    };
    let mut reasons: BTreeMap<_, _> = plan.waiting.iter().map(reason).collect();
    reasons.extend(
        unsettled.iter().map(|Unsettled { path, reason, .. }| {
            (path.clone(), Reason { text: reason.clone(), lasts: false })
        }),
    );
    reasons
}

/// Whether it is there until somebody does something.
fn lasts(wait: Wait) -> bool {
    match wait {
        Wait::Direction | Wait::Collides | Wait::Aside => true,
        Wait::Unknown | Wait::Missing | Wait::MayHaveMoved | Wait::NotListed => false,
    }
}

fn text_of(wait: Wait, direction: Direction) -> String {
    match (wait, direction) {
        (Wait::Direction, Direction::Down) => "the folder only goes down: what is here and not in the vault stays here alone. To send it, \
             `darkslide sync remove` the folder, and `sync add` it again without `--direction down`"
            .to_owned(),
        (Wait::Direction, Direction::Up) => "it was deleted in the vault, and nothing is removed from a folder that only goes up: delete it here \
             as well, or take it out of the trash there with `darkslide trash restore`"
            .to_owned(),
        _ => wait.to_string(),
    }
}

fn behind(link: &Path, path: &Path) -> Reason {
    let (what, it) = if link == path {
        ("it is a link now".to_owned(), "it")
    } else {
        (format!("{} is a link now", link.display()), "what was below it")
    };
    let text = format!(
        "{what}, and links are not followed: nothing is concluded from that. Put back what the link stands for, or keep the place that it leads to in \
         step with `darkslide sync add`; once the link is removed, {it} counts as deleted"
    );
    Reason { text, lasts: true }
}

/// The link that is in the way to a path below a root, the path itself included. `known` are those that were looked at.
fn link_to(root: &Path, path: &Path, known: &mut HashMap<PathBuf, bool>) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().filter(|above| !above.as_os_str().is_empty()).collect();
    way.reverse();
    let is_link = |place: &&Path| {
        let look = || root.join(place).symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        *known.entry(place.to_path_buf()).or_insert_with(look)
    };
    way.into_iter().find(is_link).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("elsewhere/Ski")).unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join("2024")).unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join("a.jpg")).unwrap();
        let waiting = ["2024/Ski/b.jpg", "a.jpg", "elsewhere/c.jpg"].map(|path| (path.into(), Wait::Unknown));
        let plan = SyncPlan { waiting: waiting.to_vec(), ..SyncPlan::default() };
        let reasons = reasons(root, Direction::Both, &plan, &[]);
        for (path, said, lasts) in [
            ("2024/Ski/b.jpg", "2024 is a link now", true),
            ("a.jpg", "it is a link now", true),
            ("elsewhere/c.jpg", "nothing is known of it for now", false),
        ] {
            let reason = &reasons[path.as_bytes()];
            assert!(reason.text.starts_with(said) && reason.lasts == lasts, "{path}: {reason:?}");
        }
    }
}
