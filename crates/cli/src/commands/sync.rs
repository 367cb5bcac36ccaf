//! `darkslide sync`: folders that are kept in step with the vault. A running agent hears of every change of the list, and makes the passes.

pub(crate) mod show;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use darkslide_client::catalog::{Catalog, Feed, NewSyncFolder, SyncFolderRow, SyncPlace};
use darkslide_client::folder::breaker::Hold;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::folder::report::PassReport;
use darkslide_client::folder::trash::TrashedFile;
use darkslide_client::folder::{
    self, Memories, PassSettings, ReadoptError, Share, choose, marker, pass, preview, restore_from_trash,
    trash,
};
use darkslide_client::library::settle::Settling;
use darkslide_client::profile::{Profile, ProfileName};
use darkslide_client::session::Session;
use darkslide_client::{Version, micros_of};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use show::{describe, show_plan, stand, summary, told};

use super::backup::{my_turn, stop_on_interrupt};
use super::status::{describe_set_back, recent_set_back};
use super::watch::{Heard, tell_agent};
use crate::Ending;
use crate::agent::control::{Line, Request};
use crate::arguments::{
    Approve, General, SettlingArguments, SyncAction, SyncAdd, SyncRun, SyncTrashAction, Way,
};
use crate::output::{Output, bytes, date, table};
use crate::progress::Progress;
use crate::{profile, questions};

/// Passes of one run at most: everything is in step long before.
const PASSES_MAX: usize = 10_000;

/// The longest pause between two passes of a run.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long another process that is sending is waited for, and how often.
const BUSY: Duration = Duration::from_secs(1);
const BUSY_MAX: u32 = 60;

/// Does one action.
pub(crate) async fn run(output: Output, general: &General, action: SyncAction) -> Result<Ending> {
    let profile = profile::open(general)?;
    let catalog = profile.catalog().await?;
    let rows = catalog.sync_folders().await?;
    match action {
        SyncAction::Add(arguments) => return add(output, general, &profile, &catalog, arguments).await,
        SyncAction::List => {}
        SyncAction::Status { path } => return status(output, &catalog, path.as_deref()).await,
        SyncAction::Run(arguments) => {
            return Box::pin(run_passes(output, general, &profile, &catalog, arguments)).await;
        }
        SyncAction::Pause { path } => {
            catalog.pause_sync_folder(choose::find(&path, &rows)?.id, true).await?;
            tell_agent(output, &profile).await;
        }
        SyncAction::Resume { path } => {
            catalog.pause_sync_folder(choose::find(&path, &rows)?.id, false).await?;
            tell_agent(output, &profile).await;
        }
        SyncAction::Remove { path } => {
            remove(output, &profile, &catalog, choose::find(&path, &rows)?).await?;
        }
        SyncAction::Approve(Approve { path, dry_run, list, yes }) => {
            let row = choose::find(&path, &rows)?;
            let (hold, held) = waiting(row, list.as_deref())?;
            if dry_run {
                let list = catalog.held_list(row.id, held).await?;
                show::show_held(output, &row.folder.path, hold, &list)?;
                return Ok(Ending::Done);
            }
            let what = format!("{}: {hold} (list {held})", row.folder.path.display());
            questions::confirm(yes, &format!("{what}. Let it happen?"))?;
            approve(output, &profile, &catalog, row.id, held).await?;
        }
        SyncAction::Readopt { path } => {
            readopt(output, &profile, &catalog, choose::find(&path, &rows)?).await?;
        }
        SyncAction::Trash(arguments) => {
            return match arguments.action {
                SyncTrashAction::List { path } => {
                    list_trash(output, &profile, &catalog, &rows, path.as_deref()).await
                }
                SyncTrashAction::Restore { ids } => {
                    restore_trash(output, &profile, &catalog, &rows, &ids).await
                }
            };
        }
    }
    list(output, &catalog).await
}

/// How passes are made on this machine.
pub(crate) fn pass_settings(settling: SettlingArguments) -> PassSettings {
    PassSettings {
        sending: super::backup::settings(),
        settling: settling.settling(),
        absence: Duration::from_millis(settling.absence),
        share: Share::default(),
        polled: None,
    }
}

impl SettlingArguments {
    /// When files have settled.
    pub(crate) fn settling(self) -> Settling {
        Settling {
            photos: Duration::from_millis(self.settle_photos),
            videos: Duration::from_millis(self.settle_videos),
            incomplete: Duration::from_millis(self.settle_incomplete),
        }
    }
}

/// Makes a folder a sync folder, whose album has its name unless told otherwise.
pub(crate) async fn add_folder(
    profile: &Profile,
    catalog: &Catalog,
    arguments: &SyncAdd,
) -> Result<NewSyncFolder> {
    let direction = match arguments.direction {
        Way::Both => Direction::Both,
        Way::Up => Direction::Up,
        Way::Down => Direction::Down,
    };
    let rows = catalog.sync_folders().await?;
    let watched = catalog.watch_folders().await?;
    let given = arguments.local_trash.clone();
    let given = given.map(std::path::absolute).transpose()?;
    let outside = given.clone().unwrap_or_else(|| profile.folder().join("trash"));
    let path = choose::admit(&arguments.path, &outside, direction, &rows, &watched)?;
    if let Some(trash) = &given
        && !trash::is_free(trash).with_context(|| format!("cannot read {}", trash.display()))?
    {
        bail!(
            "{} holds something else, and what is in a local trash is deleted after 30 days: say `--local-trash` with a folder of its own, as {}",
            trash.display(),
            trash.join("darkslide-trash").display()
        );
    }
    let (others, unreadable) = of_other_profiles(profile).await?;
    choose::admit_beside(&path, &outside, &others)?;
    let found = marker::read(&path)?;
    let is_own = |marker: &String| rows.iter().any(|row| row.folder.marker == *marker);
    if let (Some(false), Some(name)) = (found.as_ref().map(is_own), unreadable.first()) {
        anyhow::bail!(
            "{} has the marker of a sync folder, and whether it is one of the profile {name} cannot be told: that profile's catalog cannot be \
             read. Mend that first; or, if nobody keeps the folder in step any more, remove {} from it",
            path.display(),
            marker::NAME
        );
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let album = arguments.album.clone().or(name).filter(|name| !name.trim().is_empty());
    let album = album.context("the folder has no name: say with --album which album its pictures go to")?;
    let marker = if arguments.dry_run {
        found.unwrap_or_default()
    } else {
        if direction != Direction::Up {
            marker::probe(&path)?;
        }
        let own = rows.into_iter().map(|row| row.folder.marker);
        let taken: Vec<_> = own.chain(others.into_iter().map(|(_, place)| place.marker)).collect();
        choose::mark(&path, &taken).with_context(|| unmarked(&path, direction, &marker::new_id()))?
    };
    let trash = given.unwrap_or_else(|| profile.local_trash(&marker));
    let keep_older_than =
        arguments.keep_deleted_older_than.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    let folder = NewSyncFolder { path, marker, album, direction, keep_older_than, trash };
    if !arguments.dry_run {
        catalog.add_sync_folder(&folder, micros_of(SystemTime::now())).await?;
    }
    Ok(folder)
}

/// What is said where a folder cannot be given this marker: of one that only goes up, it is all that is needed.
fn unmarked(path: &Path, direction: Direction, id: &str) -> String {
    let what = format!("cannot mark {}", path.display());
    if direction != Direction::Up {
        return what;
    }
    format!(
        "{what}. Nothing else is ever written there, and this once: {}, then ask again",
        marker::by_hand(path, id)
    )
}

/// The sync folders of this user's other profiles, and those profiles that cannot be read.
async fn of_other_profiles(profile: &Profile) -> Result<(Vec<(ProfileName, SyncPlace)>, Vec<ProfileName>)> {
    let home = profile::home()?;
    let (mut folders, mut unreadable) = (Vec::new(), Vec::new());
    for name in home.profiles()?.into_iter().filter(|name| name != profile.name()) {
        match home.profile(&name)?.sync_places().await {
            Ok(places) => folders.extend(places.into_iter().map(|place| (name.clone(), place))),
            Err(_) => unreadable.push(name),
        }
    }
    Ok((folders, unreadable))
}

async fn add(
    output: Output,
    general: &General,
    profile: &Profile,
    catalog: &Catalog,
    arguments: SyncAdd,
) -> Result<Ending> {
    let folder = add_folder(profile, catalog, &arguments).await?;
    if arguments.dry_run {
        let session = Arc::new(profile::session(general, profile).await?);
        let unmarked = NewSyncFolder { marker: String::new(), ..folder };
        let row = SyncFolderRow {
            id: 0,
            folder: unmarked,
            paused: false,
            added: 0,
            hold: None,
            held: None,
            approval: None,
            last_pass: None,
        };
        let settings = pass_settings(arguments.settling);
        let progress = Progress::begin(output, "looking");
        let shown = preview(&session, catalog, &row, &settings, false, &progress.events).await;
        progress.end().await;
        return show_plan(output, vec![(row.folder.path, shown?)]);
    }
    let next = match tell_agent(output, profile).await {
        Heard::Now => "the agent does it from now on",
        Heard::NotYet => "the agent does it when it goes on",
        Heard::ByNobody => {
            "`darkslide agent run` or `darkslide agent install` does it from now on, `darkslide sync run` once"
        }
    };
    output.notice(format!(
        "{} is kept in step with the album {:?}; {next}.",
        folder.path.display(),
        folder.album
    ));
    profile::tell_if_nobody_is_logged_in(output, profile)?;
    list(output, catalog).await
}

async fn remove(output: Output, profile: &Profile, catalog: &Catalog, row: &SyncFolderRow) -> Result<()> {
    catalog.remove_sync_folder(row.id).await?;
    tell_agent(output, profile).await;
    if let Err(error) = choose::unmark(&row.folder.path, &row.folder.marker) {
        output.warn(format!("warning: the marker in {} stays: {error}", row.folder.path.display()));
    }
    output.notice(format!(
        "{} is not kept in step any more; what is in it, in its local trash {} and in the vault stays.",
        row.folder.path.display(),
        row.folder.trash.display()
    ));
    Ok(())
}

/// What waits in a folder, and the name of its list; an error if that is not the list that is meant.
fn waiting<'r>(row: &'r SyncFolderRow, meant: Option<&str>) -> Result<(&'r Hold, &'r str)> {
    let path = row.folder.path.display();
    let (Some(hold), Some(held)) = (&row.hold, &row.held) else { bail!("nothing is on hold in {path}") };
    if let Some(meant) = meant.filter(|meant| meant != held) {
        bail!("what is on hold in {path} is not {meant}, but {held}: `--dry-run` shows it");
    }
    Ok((hold, held))
}

async fn approve(
    output: Output,
    profile: &Profile,
    catalog: &Catalog,
    folder: i64,
    list: &str,
) -> Result<()> {
    catalog.approve_sync_folder(folder, list).await?;
    let is_heard = tell_agent(output, profile).await == Heard::Now;
    output.notice(if is_heard { "The agent goes on." } else { "The next pass goes on." });
    Ok(())
}

async fn readopt(output: Output, profile: &Profile, catalog: &Catalog, row: &SyncFolderRow) -> Result<()> {
    let (path, direction) = (&row.folder.path, row.folder.direction);
    if direction != Direction::Up {
        marker::probe(path)?;
    }
    let id = marker::new_id();
    let mut busy = 0;
    loop {
        match folder::readopt(catalog, row, &id).await {
            Ok(()) => break,
            Err(ReadoptError::Busy) if busy < BUSY_MAX => {
                busy += 1;
                tokio::time::sleep(BUSY).await;
            }
            Err(ReadoptError::Marker(error)) => {
                return Err(error).with_context(|| unmarked(path, direction, &id));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} is not taken over", path.display()));
            }
        }
    }
    tell_agent(output, profile).await;
    output.notice(format!(
        "{} is taken over as it is: it is merged with the vault, and nothing is deleted.",
        path.display()
    ));
    Ok(())
}

async fn list(output: Output, catalog: &Catalog) -> Result<Ending> {
    output.answer(&told(catalog).await?, |list| describe(list))?;
    Ok(Ending::Done)
}

async fn status(output: Output, catalog: &Catalog, path: Option<&Path>) -> Result<Ending> {
    let rows = catalog.sync_folders().await?;
    let only = path.map(|path| choose::find(path, &rows)).transpose()?;
    let only = only.map(|row| row.folder.path.display().to_string());
    let mut list = told(catalog).await?;
    list.retain(|folder| only.as_ref().is_none_or(|only| *only == folder.path));
    let set_back = recent_set_back(catalog).await?;
    output.answer(&list, |list| format!("{}{}", describe_set_back(set_back), stand(list)))?;
    Ok(Ending::unless(list.iter().any(show::Told::needs_somebody)))
}

async fn run_passes(
    output: Output,
    general: &General,
    profile: &Profile,
    catalog: &Catalog,
    arguments: SyncRun,
) -> Result<Ending> {
    let mut rows = catalog.sync_folders().await?;
    if let Some(path) = &arguments.path {
        let id = choose::find(path, &rows)?.id;
        rows.retain(|row| row.id == id);
    }
    if rows.is_empty() {
        bail!("no folder is kept in step; `darkslide sync add FOLDER` changes that");
    }
    let session = Arc::new(profile::session(general, profile).await?);
    let settings = pass_settings(arguments.settling);
    if arguments.dry_run {
        let mut shown = Vec::new();
        for row in rows {
            let progress = Progress::begin(output, "looking");
            let preview = preview(&session, catalog, &row, &settings, true, &progress.events).await;
            progress.end().await;
            shown.push((row.folder.path, preview?));
        }
        return show_plan(output, shown);
    }
    let _turn = my_turn(output, profile).await?;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(stop_on_interrupt(output, stop.clone()));
    let mut reports = Vec::new();
    let mut memories = Memories::default();
    let turns: Vec<_> =
        rows.into_iter().filter(|row| !row.paused).map(|row| (row.id, row.folder.path)).collect();
    for (id, path) in &turns {
        let turn = (*id, &mut memories);
        let report =
            until_in_step(output, &session, catalog, turn, &settings, arguments.no_wait, &stop).await;
        reports.push((path.clone(), report?));
    }
    // What one folder waited for, another may have found since.
    let is_another_look_due = turns.len() > 1 && reports.iter().any(|(_, report)| report.did_something());
    for ((id, _), (_, report)) in turns.iter().zip(&mut reports) {
        if is_another_look_due && report.waiting_count > 0 && !stop.is_cancelled() {
            let turn = (*id, &mut memories);
            let again =
                until_in_step(output, &session, catalog, turn, &settings, arguments.no_wait, &stop).await;
            *report = std::mem::take(report).then(again?);
        }
    }
    watching.abort();
    let is_whole = reports.iter().all(|(_, report)| report.is_in_step());
    let answer: Vec<_> = reports
        .iter()
        .map(|(path, report)| json!({ "path": path.display().to_string(), "report": report }))
        .collect();
    output.answer(&answer, |_| reports.iter().map(|(path, report)| summary(path, report)).collect())?;
    Ok(Ending::unless(!is_whole))
}

/// Passes until nothing more is to be done now; what they did together.
async fn until_in_step(
    output: Output,
    session: &Arc<Session>,
    catalog: &Catalog,
    (id, memories): (i64, &mut Memories),
    settings: &PassSettings,
    no_wait: bool,
    stop: &CancellationToken,
) -> Result<PassReport> {
    let mut whole = PassReport::default();
    let mut busy = 0;
    for _ in 0..PASSES_MAX {
        let rows = catalog.sync_folders().await?;
        let row =
            rows.into_iter().find(|row| row.id == id).context("the folder is not kept in step any more")?;
        let progress = Progress::begin(output, "keeping in step");
        let passed = pass(session, catalog, &row, memories, settings, &progress.events, stop).await;
        progress.end().await;
        let report = match passed {
            Ok(report) => report,
            // The agent's own pass, or another command's backup.
            Err(error) if error.is_busy() && busy < BUSY_MAX && !stop.is_cancelled() => {
                busy += 1;
                tokio::time::sleep(BUSY).await;
                continue;
            }
            Err(error) => return Err(error).context(format!("{} is not in step", row.folder.path.display())),
        };
        let (has_more, look_again) = (report.has_more || report.did_something(), report.look_again);
        whole = whole.then(report);
        if stop.is_cancelled() || whole.unhealthy.is_some() {
            break;
        }
        match look_again {
            _ if has_more => {}
            Some(at) if !no_wait => {
                let now = micros_of(SystemTime::now());
                let pause = Duration::from_micros(u64::try_from(at.saturating_sub(now)).unwrap_or_default());
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause.min(PAUSE_MAX) + Duration::from_millis(20)) => {}
                }
            }
            _ => break,
        }
    }
    Ok(whole)
}

/// Local trashes of folders that are not in the list any more: what they hold is kept for as long as that of others.
fn left_trashes(profile: &Profile, rows: &[SyncFolderRow]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(profile.local_trash("")).into_iter().flatten().flatten();
    let all = entries.map(|entry| entry.path());
    all.filter(|path| path.is_dir() && rows.iter().all(|row| row.folder.trash != *path)).collect()
}

async fn list_trash(
    output: Output,
    profile: &Profile,
    catalog: &Catalog,
    rows: &[SyncFolderRow],
    path: Option<&Path>,
) -> Result<Ending> {
    let only = path.map(|path| choose::find(path, rows)).transpose()?.map(|row| row.id);
    let mut listed = Vec::new();
    for (trash, entry) in trashed(rows.iter().filter(|row| only.is_none_or(|only| row.id == only)))? {
        match choose::home(&entry, &trash, rows) {
            Some(row) if only.is_none_or(|only| row.id == only) => {
                listed.push((row.folder.path.clone(), entry));
            }
            None if only.is_none() => listed.push((PathBuf::from("(unknown)"), entry)),
            _ => {}
        }
    }
    // Nobody is asked for this: that the server is as far as what it told last is certain.
    let told = catalog.cursor(Feed::Account).await?;
    let now =
        trash::Moment { here: micros_of(SystemTime::now()), there: (told > Version(0)).then_some(told.0) };
    for trash in left_trashes(profile, rows).into_iter().filter(|_| only.is_none()) {
        trash::expire(&trash, now)?;
        listed.extend(trash::list(&trash)?.into_iter().map(|entry| (PathBuf::from("(removed)"), entry)));
    }
    let answer: Vec<_> = listed
        .iter()
        .map(|(folder, entry)| json!({ "folder": folder.display().to_string(), "entry": entry }))
        .collect();
    output.answer(&answer, |_| {
        if listed.is_empty() {
            return "The local trash is empty.".to_owned();
        }
        let mut rows = vec![["id", "trashed on", "kept until", "size", "path"].map(str::to_owned).to_vec()];
        rows.extend(listed.iter().map(|(folder, entry)| {
            vec![
                entry.id.clone(),
                date(entry.trashed_at),
                date(entry.kept_until),
                bytes(entry.bytes),
                folder.join(&entry.path).display().to_string(),
            ]
        }));
        table(&rows)
    })?;
    Ok(Ending::Done)
}

/// What is in the local trashes of these folders, each of which may be that of several.
fn trashed<'r>(rows: impl Iterator<Item = &'r SyncFolderRow>) -> Result<Vec<(PathBuf, TrashedFile)>> {
    let (mut seen, mut trashed) = (HashSet::new(), Vec::new());
    for trash in rows.map(|row| &row.folder.trash).filter(|trash| seen.insert(*trash)) {
        let entries = trash::list(trash).with_context(|| format!("cannot read {}", trash.display()))?;
        trashed.extend(entries.into_iter().map(|entry| (trash.clone(), entry)));
    }
    Ok(trashed)
}

async fn restore_trash(
    output: Output,
    profile: &Profile,
    catalog: &Catalog,
    rows: &[SyncFolderRow],
    ids: &[String],
) -> Result<Ending> {
    let mut back = Vec::new();
    for id in ids {
        let mut restored = None;
        if let Some((trash, entry)) = trashed(rows.iter())?.into_iter().find(|(_, entry)| entry.id == *id) {
            let row = choose::home(&entry, &trash, rows).with_context(|| {
                format!(
                    "which folder {id} was in is not known here, for {} is the local trash of several; copy it from where it is kept: {}",
                    trash.display(),
                    entry.file.display()
                )
            })?;
            let taken = restore_from_trash(catalog, row, id)
                .await
                .with_context(|| format!("{id} cannot be brought back into {}", row.folder.path.display()))?;
            restored = taken.map(|path| (path, row.folder.direction));
        }
        let left =
            || left_trashes(profile, rows).into_iter().filter_map(|trash| trash::list(&trash).ok()).flatten();
        if let Some(left) = left().find(|entry| restored.is_none() && entry.id == *id) {
            bail!(
                "{id} is of a folder that is not kept in step any more; copy it from where it is kept: {}",
                left.file.display()
            );
        }
        let (path, direction) = restored.with_context(|| {
            format!("there is no {id} in any local trash; `darkslide sync trash list` shows what there is")
        })?;
        back.push((path.display().to_string(), direction));
    }
    if let Some(mut line) = Line::call(profile.folder()).await? {
        line.ask(Request::Scan).await?;
    }
    let paths: Vec<_> = back.iter().map(|(path, _)| path).collect();
    output.answer(&json!({ "restored": paths }), |_| {
        let said = back.iter().map(|(path, direction)| match direction {
            // Nothing that is in such a folder changes the vault.
            Direction::Down => format!(
                "{path} is back in the folder, and nothing is changed in the vault: `darkslide trash restore` takes it out of the trash there."
            ),
            _ => format!("{path} is back; the vault takes it out of its trash, too."),
        });
        said.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Ending::Done)
}
