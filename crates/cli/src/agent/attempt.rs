//! One thing at a time, on a task of its own: looking whether a folder is there, and backing part of it up.

use std::sync::Arc;

use crate::profile::own_folders;
use darkslide_client::backup::{self, BackupError, BackupReport, Settings};
use darkslide_client::catalog::{Catalog, CatalogError, NO_DISK, WatchFolderRow};
use darkslide_client::error::{VaultError, causes_on};
use darkslide_client::event::Events;
use darkslide_client::library::selection::Exclusions;
use darkslide_client::session::Session;
use darkslide_client::watch::health::{Examined, Health, Offline, examine};
use darkslide_client::watch::{How, Removals, Root, Watcher, Why, disks};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The folder is there; with a new watcher where one was needed.
    Online { device: u64, watcher: Option<Watcher> },
    /// It is not.
    Offline(Offline),
    /// A run came to its end, whatever it could do.
    Ran(Box<BackupReport>),
    /// Another process backs this profile up, or its account with another one.
    Busy(String),
    /// The session has ended.
    SignedOut,
    /// The server could not be reached, so nothing could be done.
    Unreachable {
        /// In one sentence, for whoever asks how things stand.
        what: String,
        /// What is below that, for the log.
        causes: Vec<String>,
    },
    /// Nothing could be done.
    Failed(String),
}

/// Sees whether a folder is there. A watcher is begun if there is none that works, or if something else lies there than the folder that it was
/// begun for: another one, or one on another disk.
pub(super) async fn look(
    catalog: Catalog,
    folder: WatchFolderRow,
    watched: Option<Watching>,
    news: Arc<Notify>,
) -> Attempt {
    let mut folder = folder;
    if watched.as_ref().and_then(|watched| watched.root.as_ref()).is_some_and(|root| root.is_unmounted()) {
        // What lies there now is known by what is on it.
        folder.device = folder.device.map(|_| NO_DISK);
    }
    let device = match health(&catalog, &folder).await {
        Ok(Health::Online { device }) => device,
        Ok(Health::Offline(why)) => return Attempt::Offline(why),
        Err(error) => return failed(&error, &catalog),
    };
    let (is_watched, refused) = match watched {
        Some(Watching { root, how }) => {
            (folder.device == Some(device) && !is_replaced(root).await, Some(how).filter(is_refused))
        }
        None => (false, None),
    };
    if is_watched && refused.is_none() {
        return Attempt::Online { device, watcher: None };
    }
    // Where they cannot be read, it is offline.
    let exclude = Exclusions::parse(&folder.exclude).unwrap_or_default().and_own(own_folders());
    let path = folder.path;
    let beginning =
        tokio::task::spawn_blocking(move || Watcher::begin(&path, Removals::AreNothing, exclude, news));
    let begun = beginning.await.ok();
    // It is as it was, and needs no other look at everything.
    let is_no_news = |watcher: &Watcher| is_watched && refused.as_ref() == Some(watcher.how());
    Attempt::Online { device, watcher: begun.filter(|watcher| !is_no_news(watcher)) }
}

/// The watcher that there is.
pub(super) struct Watching {
    /// The root of what it watches, if it watches.
    pub(super) root: Option<Arc<Root>>,
    /// How changes become known.
    pub(super) how: How,
}

/// Whether the system refused for a reason that may pass.
fn is_refused(how: &How) -> bool {
    matches!(how, How::Polled(Why::Refused(_)))
}

/// Whether something else lies there than what is watched. A disk that does not answer says nothing.
pub(super) async fn is_replaced(root: Option<Arc<Root>>) -> bool {
    let Some(root) = root else { return false };
    if !disks::asked().answers(root.path(), disks::TO_WAKE).await {
        return false;
    }
    let looking = tokio::task::spawn_blocking(move || root.is_replaced());
    matches!(tokio::time::timeout(disks::TO_WAKE, looking).await, Ok(Ok(true)))
}

async fn health(catalog: &Catalog, folder: &WatchFolderRow) -> Result<Health, CatalogError> {
    if !disks::asked().answers(&folder.path, disks::TO_WAKE).await {
        return Ok(Health::Offline(Offline::Silent));
    }
    let examined = tokio::time::timeout(disks::TO_WAKE, examine(catalog, folder)).await;
    let Ok(examined) = examined else { return Ok(Health::Offline(Offline::Silent)) };
    let Examined { health, is_away } = examined?;
    if is_away {
        catalog.watch_folder_away(folder.id).await?;
    }
    Ok(health)
}

/// Backs part of a folder up, if it is there: all but what is on network disks in it that do not answer. If one falls silent meanwhile, the run ends as if
/// it was killed: nobody knows how long it would wait for that.
pub(super) async fn run(
    session: Arc<Session>,
    catalog: Catalog,
    folder: WatchFolderRow,
    settings: Settings,
    events: Events,
    stop: CancellationToken,
) -> Attempt {
    match health(&catalog, &folder).await {
        Ok(Health::Online { .. }) => {}
        Ok(Health::Offline(why)) => return Attempt::Offline(why),
        Err(error) => return failed(&error, &catalog),
    }
    let (path, mut settings) = (folder.path, settings);
    let silent = disks::asked().silent_below(&path, disks::TO_READ).await;
    settings.selection.exclude = settings.selection.exclude.and_silent(silent.clone());
    let roots = [path.clone()];
    let backing_up = Box::pin(backup::backup(session, catalog.clone(), &roots, &settings, &events, &stop));
    let ended = tokio::select! {
        ended = backing_up => ended,
        disk = disks::asked().falls_silent(&roots, &silent, disks::ASKED_EVERY, disks::TO_WAKE) => {
            let silent = Offline::Silent;
            return if path.starts_with(&disk) {
                Attempt::Offline(silent)
            } else {
                Attempt::Failed(format!("{}: {silent}", disk.display()))
            };
        }
    };
    match ended {
        Ok(report) => Attempt::Ran(Box::new(report)),
        Err(BackupError::Root { source, .. }) => Attempt::Offline(Offline::Unusable(source.to_string())),
        Err(BackupError::Vault(VaultError::Catalog(
            busy @ (CatalogError::Busy(_) | CatalogError::BusyElsewhere(_)),
        ))) => Attempt::Busy(busy.to_string()),
        Err(error) if is_signed_out(&error) => Attempt::SignedOut,
        Err(error) if error.is_unreachable() => {
            let mut causes = causes_on(&error, catalog.folder());
            let what = if causes.is_empty() { error.to_string() } else { causes.remove(0) };
            Attempt::Unreachable { what, causes }
        }
        Err(error) => failed(&error, &catalog),
    }
}

fn failed(error: &(dyn std::error::Error + 'static), catalog: &Catalog) -> Attempt {
    Attempt::Failed(told(error, catalog))
}

fn told(error: &(dyn std::error::Error + 'static), catalog: &Catalog) -> String {
    causes_on(error, catalog.folder()).join(": ")
}

fn is_signed_out(error: &BackupError) -> bool {
    use darkslide_client::backup::AssetError;
    match error {
        BackupError::Vault(error) => error.is_signed_out(),
        BackupError::Asset(AssetError::Api(failure)) => failure.is_signed_out(),
        _ => false,
    }
}
