//! The profile that a command works with: who is signed in, where the keys are, what is known.

use crate::arguments::{General, KeyPlace, KeyStorage};
use crate::output::Output;
use crate::questions::{self, Secret};
use anyhow::Result;
use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::catalog::Catalog;
use darkslide_client::profile::{Home, KeychainChoice, Profile, ProfileName};
use darkslide_client::session::Session;
use darkslide_client::{feed, keys::Unreadable};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A passphrase for machines without anybody to type it.
const PASSPHRASE_VARIABLE: &str = "DARKSLIDE_PASSPHRASE";

/// The profile that the command line names.
pub(crate) fn open(general: &General) -> Result<Profile> {
    let home = std::env::var_os("DARKSLIDE_HOME").map(PathBuf::from);
    Ok(Home::find(home.as_deref())?.profile(&ProfileName::parse(&general.profile)?)?)
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

/// Session and catalog, with the catalog brought up to date with the vault.
pub(crate) async fn current(output: Output, general: &General) -> Result<(Session, Catalog)> {
    let profile = open(general)?;
    let session = session(general, &profile).await?;
    let catalog = profile.catalog().await?;
    let summary = feed::pull(&session, &catalog).await?;
    tell_damage(output, &summary.damaged);
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
    let description = profile.remember(session, choice, general.ca_file.clone()).await?;
    output.notice(&description);
    Ok(description)
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
