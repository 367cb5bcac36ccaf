//! Sync folders, plans and passes as they are told.

use std::path::{Path, PathBuf};

use anyhow::Result;
use darkslide_client::catalog::Catalog;
use darkslide_client::error::quoted;
use darkslide_client::folder::breaker::{Fate, HeldList, HeldPicture, Hold};
use darkslide_client::folder::reconcile::{Action, Direction, RelativePath, Wait};
use darkslide_client::folder::report::{self, PassReport};
use darkslide_client::folder::{Preview, SESSION_ENDED};
use serde::Serialize;
use serde_json::json;

use crate::Ending;
use crate::output::{Output, counted, date, on_one_line, table};

/// One sync folder, as it is told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(super) path: String,
    pub(super) album: String,
    pub(super) direction: Direction,
    /// Days.
    pub(super) keep_deleted_older_than: Option<i64>,
    pub(super) local_trash: String,
    pub(super) paused: bool,
    /// A pass over it is under way.
    pub(super) is_at_work: bool,
    /// Pictures that folder and vault have in common.
    pub(super) in_step: i64,
    pub(super) hold: Option<Hold>,
    /// The list of what waits: what an approval names.
    pub(super) held: Option<String>,
    pub(super) is_approved: bool,
    pub(super) last_pass: Option<PassReport>,
}

impl Told {
    /// Whether it does not go on without somebody.
    pub(crate) fn needs_somebody(&self) -> bool {
        (self.hold.is_some() && !self.is_approved)
            || self.last_pass.as_ref().is_some_and(PassReport::is_in_trouble)
    }
}

/// One step of a plan, as it is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    action: &'static str,
    cause: String,
    is_destructive: bool,
}

/// All sync folders, as they are told.
pub(crate) async fn told(catalog: &Catalog) -> Result<Vec<Told>> {
    let mut list = Vec::new();
    for row in catalog.sync_folders().await? {
        let in_step = catalog.sync_counts(row.id).await?.0;
        list.push(Told {
            path: row.folder.path.display().to_string(),
            album: row.folder.album,
            direction: row.folder.direction,
            keep_deleted_older_than: row.folder.keep_older_than.map(|micros| micros / 86_400_000_000),
            local_trash: row.folder.trash.display().to_string(),
            paused: row.paused,
            is_at_work: catalog.is_passing(row.id),
            in_step,
            hold: row.hold,
            held: row.held,
            is_approved: row.approval.is_some(),
            last_pass: row.last_pass,
        });
    }
    Ok(list)
}

fn state(folder: &Told) -> String {
    let pass = folder.last_pass.as_ref();
    match pass {
        _ if folder.paused => "paused".to_owned(),
        Some(pass) if pass.unhealthy.is_some() => "left alone".to_owned(),
        _ if folder.hold.is_some() && !folder.is_approved => "on hold".to_owned(),
        Some(pass) if pass.signed_out => {
            format!("signed out, not in step since {}", date(pass.failing_since.unwrap_or(pass.began)))
        }
        Some(pass) if pass.failure.is_some() => {
            format!("not in step since {}", date(pass.failing_since.unwrap_or(pass.began)))
        }
        Some(pass) if pass.failed_count > 0 => format!("{} failed", pass.failed_count),
        _ if folder.is_at_work => "at work".to_owned(),
        Some(pass) if pass.waiting_count > pass.lasting_count || pass.has_more => "at work".to_owned(),
        Some(pass) if pass.lasting_count > 0 => {
            format!("in step {}, {} left out", date(pass.began), pass.lasting_count)
        }
        Some(pass) => format!("in step {}", date(pass.began)),
        None if folder.in_step > 0 => "at work".to_owned(),
        None => "not looked at yet".to_owned(),
    }
}

/// The list, for people.
pub(super) fn describe(list: &[Told]) -> String {
    if list.is_empty() {
        return "No folder is kept in step; `darkslide sync add FOLDER` changes that.".to_owned();
    }
    let mut rows = vec![["Folder", "State", "In step", "Album", "Direction"].map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|folder| {
        let direction = match folder.direction {
            Direction::Both => "both ways",
            Direction::Up => "up only",
            Direction::Down => "down only",
        };
        vec![
            folder.path.clone(),
            state(folder),
            folder.in_step.to_string(),
            folder.album.clone(),
            direction.to_owned(),
        ]
    }));
    table(&rows)
}

/// How each folder stands, in full.
pub(crate) fn stand(list: &[Told]) -> String {
    if list.is_empty() {
        return describe(list);
    }
    let mut text = String::new();
    for folder in list {
        text += &format!("{}: {}\n", on_one_line(&folder.path), state(folder));
        text += &format!(
            "  {} in step with the album {:?}\n",
            counted(folder.in_step.unsigned_abs(), "picture"),
            folder.album
        );
        if let Some(hold) = &folder.hold {
            text += &format!("  On hold: {hold}.\n");
            if folder.is_approved {
                text += "  You let it happen; the next pass does it.\n";
            } else {
                text += &format!(
                    "  Nothing is removed until you say so: `darkslide sync approve {0}` lets it happen, and with `--dry-run` it shows every picture \
                     of the list{1}. What is new is sent all the same.\n",
                    quoted(&folder.path),
                    folder.held.as_ref().map(|list| format!(" {list}")).unwrap_or_default()
                );
            }
        }
        let Some(pass) = &folder.last_pass else { continue };
        text += &left(pass);
    }
    text
}

/// What a pass did, in a line; nothing if it did nothing.
pub(crate) fn done(report: &PassReport) -> String {
    let parts = [
        (report.uploaded, "sent"),
        (report.linked, "already in the vault"),
        (report.restored, "restored in the vault"),
        (report.materialised, "brought into the folder"),
        (report.renamed, "renamed"),
        (report.trashed_remote, "put into the vault's trash"),
        (report.trashed_local, "moved into the local trash"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// Where a told thing is, and what is to be said of it; some are of no place.
pub(crate) fn sentence(told: &report::Told) -> String {
    let place = if told.path.is_empty() { String::new() } else { format!("{}: ", on_one_line(&told.path)) };
    format!("{place}{}", told.reason)
}

/// What a pass left, line by line.
fn left(pass: &PassReport) -> String {
    let mut text = String::new();
    if let Some(why) = &pass.unhealthy {
        text += &format!("  Left alone: {why}\n");
    }
    if pass.signed_out {
        let why = pass.failure.as_deref().unwrap_or(SESSION_ENDED);
        let end = if why == SESSION_ENDED { "" } else { "that is put right, or until " };
        text += &format!(
            "  Nobody is signed in ({}): nothing is kept in step until {end}`darkslide login` with this profile.\n",
            on_one_line(why)
        );
    } else if let Some(why) = &pass.failure {
        text += &format!("  The last pass ended early: {}\n", on_one_line(why));
    }
    if let Some(why) = &pass.polled {
        text += &format!("  Looked at every now and then: {}\n", on_one_line(why));
    }
    for (title, list, count) in
        [("Failed", &pass.failed, pass.failed_count), ("Waiting", &pass.waiting, pass.waiting_count)]
    {
        for told in list {
            text += &format!("  {title}: {}\n", sentence(told));
        }
        if let Some(more) = count.checked_sub(list.len() as u64).filter(|more| *more > 0) {
            text += &format!("  … and {more} more\n");
        }
    }
    for told in &pass.notices {
        text += &format!("  Note: {}\n", sentence(told));
    }
    text
}

/// What a run of passes did, for people.
pub(super) fn summary(path: &Path, report: &PassReport) -> String {
    let did = done(report);
    let did = if did.is_empty() { "nothing to do".to_owned() } else { did };
    let mut text = format!(
        "{}: {did}; {} in step.\n",
        on_one_line(&path.display().to_string()),
        counted(report.in_step.unsigned_abs(), "picture")
    );
    if let Some(hold) = &report.hold {
        text += &format!(
            "  On hold: {hold}. `darkslide sync approve {}` lets it happen.\n",
            quoted(&path.display().to_string())
        );
    }
    text += &left(report);
    text
}

/// Plans, for people and for programs.
pub(super) fn show_plan(output: Output, shown: Vec<(PathBuf, Preview)>) -> Result<Ending> {
    let lossy = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let mut answer = Vec::new();
    let mut text = String::new();
    for (path, preview) in shown {
        let steps: Vec<Planned> = preview
            .plan
            .steps
            .iter()
            .map(|step| Planned {
                path: lossy(&step.path),
                from: step.from.as_deref().map(lossy),
                action: name_of(&step.action),
                cause: step.cause.to_string(),
                is_destructive: step.action.is_destructive(),
            })
            .collect();
        text += &format!("{}:\n", on_one_line(&path.display().to_string()));
        for step in &steps {
            let from =
                step.from.as_ref().map(|from| format!(" (was {})", on_one_line(from))).unwrap_or_default();
            text += &format!("  {}: {}{from}: {}\n", step.action, on_one_line(&step.path), step.cause);
        }
        let why = |path: &RelativePath, wait: Wait| {
            preview.reasons.get(path).map_or_else(|| wait.to_string(), |reason| reason.text.clone())
        };
        let waiting: Vec<_> = preview
            .plan
            .waiting
            .iter()
            .map(|(path, wait)| json!({ "path": lossy(path), "reason": why(path, *wait) }))
            .collect();
        for (path, wait) in &preview.plan.waiting {
            text += &format!("  wait: {}: {}\n", on_one_line(&lossy(path)), why(path, *wait));
        }
        for (path, reason) in &preview.unreadable {
            text += &format!("  cannot be read: {}: {reason}\n", on_one_line(&path.display().to_string()));
        }
        if let Some(held) = &preview.held {
            text += &format!("  On hold: {} (list {}).\n", held.hold, held.list.name());
        }
        if steps.is_empty() && waiting.is_empty() {
            text += "  nothing to do\n";
        }
        answer.push(json!({
            "path": path.display().to_string(),
            "steps": steps,
            "waiting": waiting,
            "hold": preview.held.as_ref().map(|held| held.hold),
            "held": preview.held.as_ref().map(|held| held.list.name()),
        }));
    }
    output.answer(&answer, |_| text)?;
    Ok(Ending::Done)
}

/// What waits in a folder, picture by picture.
pub(super) fn show_held(output: Output, path: &Path, hold: &Hold, list: &HeldList) -> Result<()> {
    let path = path.display().to_string();
    let name = list.name();
    let lossy = |picture: &HeldPicture| String::from_utf8_lossy(&picture.path).into_owned();
    let pictures: Vec<_> = list
        .pictures()
        .map(|picture| json!({ "path": lossy(picture), "content": picture.content.to_string(), "fate": picture.fate }))
        .collect();
    let answer = json!({ "path": path, "list": name, "hold": hold, "pictures": pictures });
    output.answer(&answer, |_| {
        let mut text = format!("{}: {hold} (list {name})\n", on_one_line(&path));
        for picture in list.pictures() {
            let fate = match picture.fate {
                Fate::Local => "into the local trash",
                Fate::Remote => "into the vault's trash",
                Fate::Kept => "gone from the folder, kept in the vault",
                Fate::Back => "comes back everywhere",
            };
            text += &format!("  {}: {fate}\n", on_one_line(&lossy(picture)));
        }
        text
    })?;
    Ok(())
}

fn name_of(action: &Action) -> &'static str {
    match action {
        Action::Agree(_) => "note",
        Action::Move(_) => "rename",
        Action::Send { replaces: None, .. } => "send",
        Action::Send { replaces: Some(_), .. } => "send as a new version",
        Action::Link { .. } => "link",
        Action::Restore { .. } => "restore in the vault",
        Action::Materialise { .. } => "bring into the folder",
        Action::Miss(_) => "look again",
        Action::Forget => "forget",
        Action::Bury(_) => "note as deleted",
        Action::Detach { .. } => "keep in the vault only",
        Action::TrashLocal { .. } => "move into the local trash",
        Action::TrashRemote { .. } => "put into the vault's trash",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the last pass found says nothing of one that is under way: the first one of a large folder takes minutes.
    #[test]
    fn a_folder_over_which_a_pass_is_under_way_is_at_work() {
        let mut folder = Told {
            path: "/Phone".to_owned(),
            album: "Phone".to_owned(),
            direction: Direction::Both,
            keep_deleted_older_than: None,
            local_trash: "/trash".to_owned(),
            paused: false,
            is_at_work: false,
            in_step: 0,
            hold: None,
            held: None,
            is_approved: false,
            last_pass: None,
        };
        let failed = PassReport { failed_count: 2, ..PassReport::default() };
        for (last_pass, before, during) in [
            (None, "not looked at yet", "at work"),
            (Some(PassReport::default()), "in step 1970-01-01", "at work"),
            (Some(failed), "2 failed", "2 failed"),
        ] {
            folder.last_pass = last_pass;
            for (is_at_work, said) in [(false, before), (true, during)] {
                folder.is_at_work = is_at_work;
                assert!(state(&folder).starts_with(said), "{}", state(&folder));
            }
        }
    }

    #[test]
    fn it_is_said_why_a_folder_is_only_looked_at_now_and_then() {
        let why = darkslide_client::watch::Why::WatchLimit.to_string();
        let text = left(&PassReport { polled: Some(why), ..PassReport::default() });
        assert!(text.starts_with("  Looked at every now and then: "), "{text}");
        assert!(text.contains("fs.inotify.max_user_watches"), "{text}");
        assert_eq!(left(&PassReport::default()), "");
    }
}
