//! The profile that a command works with: who is signed in, where the keys are, what is known.

use crate::arguments::{General, KeyPlace, KeyStorage};
use crate::output::{Output, on_one_line};
use crate::questions::{self, Secret};
use anyhow::Result;
use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::catalog::Catalog;
use darkslide_client::profile::{
    DeviceIdentity, Home, KeychainChoice, Profile, ProfileName, Remembered, new_device_id,
};
use darkslide_client::session::{Session, SessionError};
use darkslide_client::{feed, keys::Unreadable};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A passphrase for machines without anybody to type it.
const PASSPHRASE_VARIABLE: &str = "DARKSLIDE_PASSPHRASE";

/// Where this user's profiles are.
pub(crate) fn home() -> Result<Home> {
    let home = std::env::var_os("DARKSLIDE_HOME").map(PathBuf::from);
    Ok(Home::find(home.as_deref())?)
}

/// The folders that are ours: of all profiles, with their catalogs, logs and keys. Whole paths, links resolved.
pub(crate) fn own_folders() -> Vec<PathBuf> {
    let found = home().ok().and_then(|home| {
        let path = std::path::absolute(home.path()).ok()?;
        Some(path.canonicalize().unwrap_or(path))
    });
    found.into_iter().collect()
}

/// The profile that the command line names.
pub(crate) fn open(general: &General) -> Result<Profile> {
    Ok(home()?.profile(&ProfileName::parse(&general.profile)?)?)
}

/// Where that profile is, or would be.
pub(crate) fn folder(general: &General) -> Result<PathBuf> {
    Ok(home()?.folder(&ProfileName::parse(&general.profile)?))
}

/// How connections are made.
pub(crate) fn limits(general: &General) -> Limits {
    Limits { extra_authorities: general.ca_file.clone(), ..Limits::default() }
}

/// Calls to a server that nobody is signed in to yet.
pub(crate) fn connect(output: Output, general: &General, server: ServerUrl) -> Result<Api> {
    if server.is_unprotected() {
        output.warn(format!(
            "warning: {} is reached without TLS: whoever is on the way can use this session, though not see your pictures",
            server.host()
        ));
    }
    Ok(Api::new(server, None, limits(general))?)
}

/// The session of the profile.
pub(crate) async fn session(general: &General, profile: &Profile) -> Result<Session> {
    let passphrase = profile.wants_passphrase()?.then(passphrase).transpose()?;
    Ok(profile.session(limits(general), passphrase).await?)
}

/// Whether somebody at a terminal would be asked for the passphrase of the keys.
pub(crate) fn asks_for_passphrase(profile: &Profile) -> bool {
    std::env::var_os(PASSPHRASE_VARIABLE).is_none() && profile.wants_passphrase().unwrap_or(false)
}

/// Session and catalog, with the catalog brought up to date with the vault.
pub(crate) async fn current(output: Output, general: &General) -> Result<(Session, Catalog)> {
    let profile = open(general)?;
    let session = session(general, &profile).await?;
    let catalog = profile.catalog().await?;
    let summary = feed::pull(&session, &catalog).await?;
    tell_damage(output, &summary.damaged);
    if let Some(set_back) = &summary.set_back {
        output.warn(format!("warning: {set_back}"));
    }
    Ok((session, catalog))
}

/// Records of the vault that do not open are named, and stop nothing.
pub(crate) fn tell_damage(output: Output, damaged: &[Unreadable]) {
    for record in damaged {
        output.warn(format!("warning: {record}"));
    }
}

/// Remembers who signed in, and says where the keys are.
pub(crate) async fn remember(
    output: Output,
    general: &General,
    profile: &Profile,
    session: &Session,
    storage: &KeyStorage,
) -> Result<String> {
    remember_as(output, general, profile, session, choice(storage.keys)?).await
}

/// The same with a choice that was made before.
pub(crate) async fn remember_as(
    output: Output,
    general: &General,
    profile: &Profile,
    session: &Session,
    choice: KeychainChoice,
) -> Result<String> {
    let Remembered { keys: description, let_go } =
        profile.remember(session, choice, general.ca_file.clone()).await?;
    output.notice(&description);
    if !let_go.is_empty() {
        let folders = let_go.iter().map(|folder| format!("\n  {}", on_one_line(&folder.to_string_lossy())));
        output.warn(format!(
            "warning: this profile was another account's until now. Its folders are no longer watched or kept in sync:{}\n\
             `darkslide watch add` and `darkslide sync add` take them up for this account; `--profile` keeps several accounts apart.",
            folders.collect::<String>()
        ));
    }
    if let Err(error) = introduce(profile, session).await {
        output.warn(format!(
            "warning: this device could not be named ({error}); `darkslide devices rename` tries again"
        ));
    }
    Ok(description)
}

/// Says so where nothing will be sent because nobody is logged in.
pub(crate) fn tell_if_nobody_is_logged_in(output: Output, profile: &Profile) -> Result<()> {
    if profile.config()?.is_none() {
        output.warn(format!(
            "warning: nobody is logged in with the profile {}; `darkslide login` or `darkslide signup` does that, and `--profile` names another",
            profile.name()
        ));
    }
    Ok(())
}

/// Tells the account's other devices which one this is: by the name that it had here, or else by this computer's. Servers that know
/// no devices are not told.
async fn introduce(profile: &Profile, session: &Session) -> Result<()> {
    let known = profile.device()?;
    let is_new = known.is_none();
    let device = known.unwrap_or_else(|| DeviceIdentity { id: new_device_id(), name: computer_name() });
    let id = match session.name_device(device.id, &device.name).await {
        Err(SessionError::Api(failure)) if failure.status().is_some_and(|status| status == 404) => {
            return Ok(());
        }
        told => told?,
    };
    if is_new || id != device.id {
        profile.remember_device(&DeviceIdentity { id, ..device })?;
    }
    Ok(())
}

/// What this computer is called, as far as that is easily known.
fn computer_name() -> String {
    let from_system = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        from_system.or_else(|| std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok());
    let name = name.map(|name| name.trim().to_owned()).unwrap_or_default();
    let is_usable = (1..=64).contains(&name.len()) && !name.contains('\0');
    if is_usable { name } else { format!("a computer with {}", std::env::consts::OS) }
}

/// Where the keys shall rest; asks for the passphrase when there is to be one.
pub(crate) fn choice(place: KeyPlace) -> Result<KeychainChoice> {
    Ok(match place {
        KeyPlace::Automatic => KeychainChoice::Automatic,
        KeyPlace::Keyring => KeychainChoice::System,
        KeyPlace::KeyFile => KeychainChoice::File,
        KeyPlace::Passphrase => KeychainChoice::FileWithPassphrase(passphrase()?),
    })
}

fn passphrase() -> Result<Secret> {
    if let Ok(passphrase) = std::env::var(PASSPHRASE_VARIABLE) {
        return Ok(Zeroizing::new(passphrase));
    }
    questions::password(None, "Passphrase of the keys on this computer", PASSPHRASE_VARIABLE)
}
