//! A root with the folders of several accounts, as a server has it: `<root>/<profile>/<any folder>`.
//!
//! Each folder directly below the root is named like a profile, whose keys lie in a file of their own; each folder in that is a sync folder with an
//! album of its name. New ones are found while it runs. One account's trouble is nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use darkslide_client::catalog::Catalog;
use darkslide_client::folder::choose::ChooseError;
use darkslide_client::profile::{Profile, ProfileName};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::log::{Log, moment};
use super::sign_in::SignIn;
use super::sync::{Keeper, Shared};
use super::{AgentSettings, SIGN_IN_LOOK, be_alone};
use crate::arguments::{General, SettlingArguments, SyncAdd, Way};
use crate::commands::sync::add_folder;
use crate::output::Output;
use crate::profile;

/// How often it is looked for new folders.
const LOOK: Duration = Duration::from_secs(5);

/// The profile that the agent itself has, whose folders are kept in step already.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) profile: Profile,
    pub(super) catalog: Catalog,
    pub(super) shared: Shared,
}

/// Keeps all accounts of a root in step until it is told to stop.
pub(super) async fn keep(
    root: PathBuf,
    own: Own,
    general: General,
    output: Output,
    settings: AgentSettings,
    stop: CancellationToken,
) {
    let mut accounts = JoinSet::new();
    let mut known = BTreeSet::new();
    let mut said = None;
    while !stop.is_cancelled() {
        match folders_in(&root) {
            Ok(found) => {
                said = None;
                for path in found {
                    if known.insert(path.clone()) {
                        let (general, stop) = (general.clone(), stop.clone());
                        if path.file_name().is_some_and(|name| *name == *own.profile.name().as_str()) {
                            let Own { profile, catalog, shared } = own.clone();
                            accounts.spawn(find_folders(
                                path,
                                profile,
                                catalog,
                                output,
                                (shared, settings.passes),
                                stop,
                            ));
                        } else {
                            accounts.spawn(account(path, general, output, settings, stop));
                        }
                    }
                }
            }
            Err(error) => {
                let what = format!("{}: {error}", root.display());
                if said.as_ref() != Some(&what) {
                    eprintln!("{} {what}", moment());
                    said = Some(what);
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    while accounts.join_next().await.is_some() {}
}

/// Folders that are not hidden, and no links.
fn folders_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in path.read_dir()? {
        let path = entry?.path();
        if is_plain_folder(&path) {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Keeps one account's folders in step. What keeps it from that is said, and tried again.
async fn account(
    path: PathBuf,
    general: General,
    output: Output,
    settings: AgentSettings,
    stop: CancellationToken,
) {
    let mut said = String::new();
    while !stop.is_cancelled() {
        if let Err(error) = keep_account(&path, &general, output, settings, &stop).await {
            let what = format!("{}: {error:#}", path.display());
            if said != what {
                eprintln!("{} {what}", moment());
                said = what;
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn keep_account(
    path: &Path,
    general: &General,
    output: Output,
    settings: AgentSettings,
    stop: &CancellationToken,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let advice = || format!("sign the account in with `darkslide --profile {name} login --keys key-file`");
    let parsed = ProfileName::parse(&name)
        .context("its name is none of a profile; call it like the profile that it belongs to")?;
    let general = General { profile: parsed.to_string(), ..general.clone() };
    let profile = profile::open(&general)?;
    if profile.config()?.is_none() {
        bail!("no account is signed in to the profile {name}: {}", advice());
    }
    if profile.wants_passphrase()? {
        bail!(
            "the keys of the profile {name} are closed with a passphrase that nobody is here to type: {}",
            advice()
        );
    }
    let _alone = be_alone(&profile)?;
    let catalog = profile.catalog().await?;
    let shared = Shared::default();
    let ended = stop.child_token();
    let mut tasks = JoinSet::new();
    tasks.spawn(stay_signed_in(general.clone(), profile.clone(), output, shared.clone(), ended.clone()));
    tasks.spawn(end_with(catalog.clone(), ended.clone()));
    tasks.spawn(find_folders(
        path.to_owned(),
        profile.clone(),
        catalog.clone(),
        output,
        (shared.clone(), settings.passes),
        ended.clone(),
    ));
    let log = Log::open(profile.folder(), output.quiet);
    let keeper = Keeper { log, settings, shared, turns: None, stop: ended.clone() };
    keeper.keep(catalog).await;
    ended.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Ends what works with a catalog that a login has put another one in the place of.
async fn end_with(catalog: Catalog, ended: CancellationToken) {
    while !ended.is_cancelled() {
        if catalog.is_replaced() {
            ended.cancel();
        }
        tokio::select! {
            () = ended.cancelled() => {}
            () = tokio::time::sleep(SIGN_IN_LOOK) => {}
        }
    }
}

/// Signs in as often as need be, and rings when the vault has changed.
async fn stay_signed_in(
    general: General,
    profile: Profile,
    output: Output,
    shared: Shared,
    stop: CancellationToken,
) {
    let mut log = Log::open(profile.folder(), output.quiet);
    let mut said = String::new();
    let mut listening: JoinSet<()> = JoinSet::new();
    while !stop.is_cancelled() {
        if shared.sign_in.borrow().session().is_none() {
            listening.abort_all();
            match profile::session(&general, &profile).await {
                Ok(session) => {
                    said.clear();
                    let session = Arc::new(session);
                    listening.spawn(listen(Arc::clone(&session), Arc::clone(&shared.vault)));
                    shared.sign_in.send_replace(SignIn::In(session));
                }
                Err(error) => {
                    let what = format!("not signed in: {error:#}");
                    if said != what {
                        log.write(&moment(), &what);
                        said = what;
                        shared.sign_in.send_replace(SignIn::Out(format!("{error:#}").into()));
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(SIGN_IN_LOOK) => {}
        }
    }
}

/// Makes every folder of the account a sync folder, as it appears.
async fn find_folders(
    path: PathBuf,
    profile: Profile,
    catalog: Catalog,
    output: Output,
    (shared, settling): (Shared, SettlingArguments),
    stop: CancellationToken,
) {
    let mut log = Log::open(profile.folder(), output.quiet);
    let mut said: BTreeMap<PathBuf, String> = BTreeMap::new();
    while !stop.is_cancelled() {
        for folder in folders_in(&path).unwrap_or_default() {
            let arguments = SyncAdd {
                path: folder.clone(),
                album: None,
                keep_deleted_older_than: None,
                direction: Way::Both,
                local_trash: None,
                dry_run: false,
                settling,
            };
            match add_folder(&profile, &catalog, &arguments).await {
                Ok(added) => {
                    log.write(&moment(), &format!("{} is kept in step from now on", added.path.display()));
                    shared.look.notify_one();
                }
                Err(error) if matches!(error.downcast_ref(), Some(ChooseError::Already(_))) => {}
                Err(error) => {
                    let what = format!("{}: {error:#}", folder.display());
                    if said.get(&folder) != Some(&what) {
                        log.write(&moment(), &what);
                        said.insert(folder, what);
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn is_plain_folder(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}
