//! `darkslide watch`: which folders the agent keeps backed up. A running agent hears of every change of the list.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use darkslide_client::catalog::{Catalog, NewWatchFolder, WatchFolderRow};
use darkslide_client::library::AlbumRule;
use darkslide_client::library::selection::Exclusions;
use darkslide_client::profile::Profile;
use darkslide_client::watch;
use serde::Serialize;

use crate::Ending;
use crate::agent::control::{Line, Request};
use crate::arguments::{General, WatchAction, WatchAdd};
use crate::output::{Output, date, table};
use crate::profile;

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    /// As text: what of it is not UTF-8 is replaced.
    path: String,
    /// `per-root`, `per-folder` or `named`.
    albums: &'static str,
    /// The album's name, where it was given one.
    album: Option<String>,
    exclude: Vec<String>,
    paused: bool,
    /// Files of the vault that came from there.
    safe: i64,
    offline_since: Option<i64>,
    last_scan: Option<i64>,
}

/// Does one action.
pub(crate) async fn run(output: Output, general: &General, action: WatchAction) -> Result<Ending> {
    let profile = profile::open(general)?;
    let catalog = profile.catalog().await?;
    let watched = catalog.watch_folders().await?;
    match action {
        WatchAction::Add(arguments) => {
            let path = add(&catalog, &watched, arguments).await?;
            let next = match tell_agent(output, &profile).await {
                Heard::Now => "the agent backs it up now",
                Heard::NotYet => "the agent backs it up when it goes on",
                Heard::ByNobody => "`darkslide agent run` or `darkslide agent install` backs it up",
            };
            output.notice(format!("{} is watched; {next}.", path.display()));
            profile::tell_if_nobody_is_logged_in(output, &profile)?;
        }
        WatchAction::List => {}
        WatchAction::Pause { path } => {
            change(&catalog, &watched, &path, Change::Pause).await?;
            tell_agent(output, &profile).await;
        }
        WatchAction::Resume { path } => {
            change(&catalog, &watched, &path, Change::Resume).await?;
            tell_agent(output, &profile).await;
        }
        WatchAction::Remove { path } => {
            change(&catalog, &watched, &path, Change::Remove).await?;
            tell_agent(output, &profile).await;
            output.notice(format!(
                "{} is not watched any more; what was backed up of it stays in the vault.",
                path.display()
            ));
        }
    }
    list(output, &catalog).await?;
    Ok(Ending::Done)
}

async fn add(catalog: &Catalog, watched: &[WatchFolderRow], arguments: WatchAdd) -> Result<PathBuf> {
    let path = watch::admit(&arguments.path, watched, &catalog.sync_folders().await?)?;
    Exclusions::parse(&arguments.exclude)?;
    let albums = match (arguments.album, arguments.album_per_folder) {
        (Some(name), _) if name.trim().is_empty() => {
            bail!("an album needs a name; without --album it is named like the folder")
        }
        (Some(name), _) => AlbumRule::Named(name),
        (None, true) => AlbumRule::PerFolder,
        (None, false) => AlbumRule::PerRoot,
    };
    let new = NewWatchFolder { path: path.clone(), albums, exclude: arguments.exclude };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    catalog.add_watch_folder(&new, i64::try_from(now.as_micros()).unwrap_or(i64::MAX)).await?;
    Ok(path)
}

enum Change {
    Pause,
    Resume,
    Remove,
}

async fn change(catalog: &Catalog, watched: &[WatchFolderRow], path: &Path, change: Change) -> Result<()> {
    let id = watch::find(path, watched)?.id;
    match change {
        Change::Pause => catalog.pause_watch_folder(id, true).await?,
        Change::Resume => catalog.pause_watch_folder(id, false).await?,
        Change::Remove => catalog.remove_watch_folder(id).await?,
    }
    Ok(())
}

/// Who has heard that the list is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The agent has.
    Now,
    /// The agent will, when it goes on.
    NotYet,
    /// No agent is running.
    ByNobody,
}

/// How long an agent may take to read the list.
const RELOADS_WITHIN: Duration = Duration::from_secs(10);

/// Tells the agent that the list of folders is another one, which is so whether it answers or not.
pub(super) async fn tell_agent(output: Output, profile: &Profile) -> Heard {
    let (why, then) = match Line::call(profile.folder()).await {
        Ok(None) => return Heard::ByNobody,
        Ok(Some(mut line)) => match tokio::time::timeout(RELOADS_WITHIN, line.ask(Request::Reload)).await {
            Ok(Ok(())) => return Heard::Now,
            Ok(Err(error)) => (format!("{error:#}"), "it reads the new list when it begins anew"),
            Err(_) => ("the agent is kept waiting".to_owned(), "it reads the new list when it goes on"),
        },
        Err(error) => match Line::leave(profile.folder(), Request::Reload).await {
            Ok(()) => (format!("{error:#}"), "it reads the new list when it goes on"),
            Err(_) => (format!("{error:#}"), "it reads the new list when it is started again"),
        },
    };
    output.warn(format!("warning: {why}. The change is made; {then}."));
    Heard::NotYet
}

async fn list(output: Output, catalog: &Catalog) -> Result<()> {
    let mut list = Vec::new();
    for row in catalog.watch_folders().await? {
        let safe = catalog.root_counts(&row.path).await?.safe;
        let (albums, album) = match row.albums {
            AlbumRule::Named(name) => ("named", Some(name)),
            AlbumRule::PerRoot => ("per-root", None),
            AlbumRule::PerFolder | AlbumRule::ByFolder(_) => ("per-folder", None),
        };
        list.push(Watched {
            path: row.path.display().to_string(),
            albums,
            album,
            exclude: row.exclude,
            paused: row.paused,
            safe,
            offline_since: row.offline_since,
            last_scan: row.last_scan,
        });
    }
    output.answer(&list, |list| describe(list))
}

fn describe(list: &[Watched]) -> String {
    if list.is_empty() {
        return "No folder is watched; `darkslide watch add FOLDER` changes that.".to_owned();
    }
    let mut rows = vec![["Folder", "State", "Safe", "Albums", "Excluded"].map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|folder| {
        let state = match (folder.paused, folder.offline_since, folder.last_scan) {
            (true, ..) => "paused".to_owned(),
            (false, Some(since), _) => format!("offline since {}", date(since)),
            (false, None, Some(scanned)) => format!("looked at {}", date(scanned)),
            (false, None, None) => "not looked at yet".to_owned(),
        };
        let albums = match (&folder.album, folder.albums) {
            (Some(name), _) => name.clone(),
            (None, "per-folder") => "one a folder".to_owned(),
            (None, _) => "one".to_owned(),
        };
        vec![folder.path.clone(), state, folder.safe.to_string(), albums, folder.exclude.join(" ")]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_how_each_folder_stands() {
        let folder = |path: &str| Watched {
            path: path.into(),
            albums: "per-root",
            album: None,
            exclude: Vec::new(),
            paused: false,
            safe: 12,
            offline_since: None,
            last_scan: Some(1_700_000_000_000_000),
        };
        let list = [
            folder("/home/me/Pictures"),
            Watched { paused: true, albums: "per-folder", ..folder("/home/me/Videos") },
            Watched { offline_since: Some(1_700_000_000_000_000), ..folder("/mnt/card") },
            Watched {
                last_scan: None,
                album: Some("Ski".into()),
                exclude: vec!["*.png".into()],
                ..folder("/new")
            },
        ];
        insta::assert_snapshot!(describe(&list));
        assert!(describe(&[]).contains("watch add"));
    }
}
