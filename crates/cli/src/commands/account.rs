//! Signing up, in and out; passwords, recovery words, signed-in devices, the end of an account.

use crate::Ending;
use crate::arguments::{
    ChangePassword, Credentials, DeleteAccount, DevicesAction, DevicesCommand, General, KeyStorage, Recover,
    Sessions, SignIn,
};
use crate::output::{Output, bytes, counted, date, table};
use crate::{profile, questions};
use anyhow::{Context, Result, bail};
use darkslide_client::api::{Api, ServerUrl};
use darkslide_client::profile::{DeviceIdentity, new_device_id};
use darkslide_client::session::{
    Device, Email, LockedSession, Password, PasswordKey, PendingSignUp, Session, SessionError, SignInMethod,
    change_password, sign_in_method,
};
use serde_json::json;
use std::path::Path;
use zeroize::Zeroizing;

/// How often a code may be typed wrongly before a command gives up.
const CODE_ATTEMPTS: usize = 3;

/// `signup`.
pub(crate) async fn sign_up(output: Output, general: &General, arguments: SignIn) -> Result<Ending> {
    let api = profile::connect(output, general, arguments.server)?;
    let email = email(&arguments.credentials)?;
    let password = new_password(arguments.credentials.password.password_file.as_deref(), "--password-file")?;
    // Asked before the account is made: a question that nobody answers must not leave an account without its words.
    let choice = profile::choice(arguments.keys.keys)?;
    let pending = if arguments.credentials.code.is_some() {
        PendingSignUp::expecting(&api, &email)
    } else {
        let pending = PendingSignUp::begin(&api, &email).await?;
        tell_code_sent(output, &email);
        pending
    };
    let key = derive(output, &password).await?;
    let new =
        with_code(output, &arguments.credentials, async |code| pending.finish(code, &key).await).await?;
    // Whatever happens to the keys now, the words are shown.
    let kept = match profile::open(general) {
        Ok(profile) => profile::remember_as(output, general, &profile, &new.session, choice).await,
        Err(error) => Err(error),
    };
    let words = new.recovery_phrase;
    let answer = json!({ "account": new.session.account, "email": email.as_str(), "server": new.session.api.server(),
        "recoveryPhrase": words.as_str(), "keys": kept.as_ref().ok() });
    output.answer(&answer, |_| welcome(&email, &words))?;
    kept.context(
        "the account is made, but its keys could not be kept on this computer: `darkslide login` tries again",
    )?;
    Ok(Ending::Done)
}

/// The words are shown once; this is the place that must be read.
pub(crate) fn welcome(email: &Email, words: &str) -> String {
    format!(
        "The account {email} is ready.\n\nWrite these 24 words down, on paper. They open your pictures when the password is forgotten;\n\
         without both, nobody can — not the operator of the server, not we.\n\n{}",
        numbered(words)
    )
}

/// Four columns of six, numbered.
pub(crate) fn numbered(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let rows: Vec<Vec<String>> = words
        .chunks(6)
        .enumerate()
        .map(|(row, chunk)| {
            let number = |column: usize| row * 6 + column + 1;
            chunk.iter().enumerate().map(|(column, word)| format!("{:>4}. {word}", number(column))).collect()
        })
        .collect();
    table(&rows)
}

/// `login`.
pub(crate) async fn log_in(output: Output, general: &General, arguments: SignIn) -> Result<Ending> {
    let api = profile::connect(output, general, arguments.server)?;
    let email = email(&arguments.credentials)?;
    let file = arguments.credentials.password.password_file.as_deref();
    let password = existing_password(file)?;
    let session = match sign_in_method(&api, &email).await? {
        SignInMethod::Password(attributes) => {
            output.notice("Deriving the key from the password…");
            Session::sign_in(&api, &email, &attributes, &password).await?
        }
        SignInMethod::Code => {
            unlock_by_code(output, &api, &email, &arguments.credentials)
                .await?
                .unlock_with_password(&password)
                .await?
        }
    };
    let keys = keep(output, general, &session, &arguments.keys).await?;
    let answer = json!({ "account": session.account, "email": email.as_str(), "server": session.api.server(), "keys": keys });
    output.answer(&answer, |_| format!("{email} is logged in on {}.", session.api.server().host()))?;
    Ok(Ending::Done)
}

/// `logout`.
pub(crate) async fn log_out(output: Output, general: &General) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    // The keys leave this computer even when the server cannot be told.
    let told = session.log_out().await;
    profile.forget().await?;
    if let Err(error) = &told {
        output.warn(format!(
            "warning: the server could not be told ({error}); end the session from another device"
        ));
    }
    output.answer(&json!({ "loggedOut": true, "serverTold": told.is_ok() }), |_| {
        "Logged out; the keys are gone from this computer.".to_owned()
    })?;
    Ok(Ending::Done)
}

/// `whoami`.
pub(crate) async fn who_am_i(output: Output, general: &General) -> Result<Ending> {
    let profile = profile::open(general)?;
    let summary = profile::session(general, &profile).await?.summary().await?;
    output.answer(&summary, |summary| {
        format!(
            "{} on {}, account {}: {}, {} stored",
            summary.email,
            summary.server,
            summary.account,
            counted(summary.files, "file"),
            bytes(summary.used_bytes)
        )
    })?;
    Ok(Ending::Done)
}

/// `recover`.
pub(crate) async fn recover(output: Output, general: &General, arguments: Recover) -> Result<Ending> {
    let api = profile::connect(output, general, arguments.server)?;
    let email = email(&arguments.credentials)?;
    let words = match &arguments.words_file {
        Some(file) => Zeroizing::new(
            std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?,
        ),
        None => questions::password(None, "The 24 words", "--words-file")?,
    };
    let recovery = darkslide_client::session::parse_recovery_phrase(&words)?;
    let locked = unlock_by_code(output, &api, &email, &arguments.credentials).await?;
    let session = locked.unlock_with_recovery(&recovery)?;
    let password = new_password(arguments.credentials.password.password_file.as_deref(), "--password-file")?;
    change_password(&session, &derive(output, &password).await?, true).await?;
    let keys = keep(output, general, &session, &arguments.keys).await?;
    output.answer(&json!({ "account": session.account, "email": email.as_str(), "keys": keys }), |_| {
        format!("{email} has a new password; all other devices are logged out.")
    })?;
    Ok(Ending::Done)
}

/// `password`.
pub(crate) async fn password(output: Output, general: &General, arguments: ChangePassword) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    prove_password(output, &session, arguments.current.password_file.as_deref()).await?;
    let new = new_password(arguments.new_password_file.as_deref(), "--new-password-file")?;
    change_password(&session, &derive(output, &new).await?, !arguments.keep_devices).await?;
    output.answer(&json!({ "changed": true, "otherDevicesLoggedOut": !arguments.keep_devices }), |_| {
        "The password is changed. The 24 words stay as they are.".to_owned()
    })?;
    Ok(Ending::Done)
}

/// `recovery-phrase`.
pub(crate) async fn recovery_phrase(
    output: Output,
    general: &General,
    file: Option<&Path>,
) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    prove_password(output, &session, file).await?;
    let words = session.recovery_phrase().await?;
    output.answer(&json!({ "recoveryPhrase": words.as_str() }), |_| numbered(&words))?;
    Ok(Ending::Done)
}

/// `sessions`: what `devices` lists and revokes.
pub(crate) async fn sessions(output: Output, general: &General, arguments: Sessions) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    if let Some(id) = arguments.revoke {
        return revoke(output, &session, &id).await;
    }
    let devices = session.devices().await?;
    output.answer(&json!({ "sessions": devices }), |_| device_list(&devices))?;
    Ok(Ending::Done)
}

/// `devices`.
pub(crate) async fn devices(output: Output, general: &General, arguments: DevicesCommand) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    match arguments.action.unwrap_or(DevicesAction::List) {
        DevicesAction::List => {
            let devices = session.devices().await?;
            output.answer(&json!({ "devices": devices }), |_| device_list(&devices))?;
        }
        DevicesAction::Rename { name } => {
            let id = profile.device()?.map_or_else(new_device_id, |device| device.id);
            // What the server refuses is not remembered.
            let id = session.name_device(id, &name).await?;
            profile.remember_device(&DeviceIdentity { id, name: name.clone() })?;
            output.answer(&json!({ "id": id.to_string(), "name": name }), |_| {
                format!("This device is {name} now.")
            })?;
        }
        DevicesAction::Revoke { id } => return revoke(output, &session, &id).await,
    }
    Ok(Ending::Done)
}

async fn revoke(output: Output, session: &Session, id: &str) -> Result<Ending> {
    session.end_device(id).await?;
    output.answer(&json!({ "revoked": id }), |_| "That device is logged out.".to_owned())?;
    Ok(Ending::Done)
}

fn device_list(devices: &[Device]) -> String {
    let header = ["name", "program", "address", "signed in", "last used", "id"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(devices.iter().map(|device| {
        let id = device.id.clone().unwrap_or_else(|| "this device".to_owned());
        vec![
            device.name.clone().unwrap_or_default(),
            device.program.clone(),
            device.address.clone(),
            date(device.signed_in_at),
            date(device.last_used_at),
            id,
        ]
    }));
    table(&rows)
}

/// `delete-account`.
pub(crate) async fn delete(output: Output, general: &General, arguments: DeleteAccount) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    prove_password(output, &session, arguments.password.password_file.as_deref()).await?;
    let email = session.email.clone();
    questions::confirm(
        arguments.yes,
        &format!("Delete the account {email} with every picture in it, for ever?"),
    )?;
    session.delete_account().await?;
    profile.forget_all().await?;
    output.answer(&json!({ "deleted": email.as_str() }), |_| format!("The account {email} is deleted."))?;
    Ok(Ending::Done)
}

/// Asks for the password and signs in with it, so that an unattended terminal is not enough.
async fn prove_password(output: Output, session: &Session, file: Option<&Path>) -> Result<()> {
    let password = existing_password(file)?;
    let SignInMethod::Password(attributes) = sign_in_method(&session.api, &session.email).await? else {
        bail!("this account signs in with e-mailed codes; use an app that it was made with for this");
    };
    output.notice("Checking the password…");
    let proof = Session::sign_in(&session.api, &session.email, &attributes, &password).await?;
    Ok(proof.log_out().await?)
}

async fn unlock_by_code(
    output: Output,
    api: &Api,
    email: &Email,
    credentials: &Credentials,
) -> Result<LockedSession> {
    if credentials.code.is_none() {
        LockedSession::send_code(api, email).await?;
        tell_code_sent(output, email);
    }
    with_code(output, credentials, async |code| LockedSession::with_code(api, email, code).await).await
}

fn tell_code_sent(output: Output, email: &Email) {
    output.notice(format!("A code is on its way to {email} (or on the terminal of the server)."));
}

/// Does what needs a code with the one that was given, or else with one that is asked for; a wrong one is asked for again.
async fn with_code<T>(
    output: Output,
    credentials: &Credentials,
    attempt: impl AsyncFn(&str) -> Result<T, SessionError>,
) -> Result<T> {
    let given = credentials.code.as_deref();
    let mut attempts = 0;
    loop {
        let code = questions::text(given, "Code", "--code")?;
        attempts += 1;
        match attempt(&code).await {
            Err(SessionError::WrongCode) if given.is_none() && attempts < CODE_ATTEMPTS => {
                output.warn("That code is wrong. Once more, please.");
            }
            other => return Ok(other?),
        }
    }
}

fn email(credentials: &Credentials) -> Result<Email> {
    Ok(Email::parse(&questions::text(credentials.email.as_deref(), "E-mail address", "--email")?)?)
}

fn existing_password(file: Option<&Path>) -> Result<Password> {
    Ok(Password::new(questions::password(file, "Password", "--password-file")?.to_string()))
}

pub(crate) fn new_password(file: Option<&Path>, flag: &str) -> Result<Password> {
    Ok(Password::new(questions::new_password(file, "New password", flag)?.to_string()))
}

/// Slow on purpose, so it is said.
pub(crate) async fn derive(output: Output, password: &Password) -> Result<PasswordKey> {
    output.notice(
        "Deriving the key from the password: this takes some seconds, and makes guessing it as slow…",
    );
    Ok(PasswordKey::derive_new(password).await?)
}

async fn keep(output: Output, general: &General, session: &Session, storage: &KeyStorage) -> Result<String> {
    let profile = profile::open(general)?;
    profile::remember(output, general, &profile, session, storage).await
}

/// For the quickstart: an account on a server whose operator we are. One that is there already was made by a run that was cut off:
/// its password opens it.
pub(crate) async fn make_account(
    output: Output,
    api: &Api,
    email: &Email,
    password: &Password,
    code: impl AsyncFn() -> Result<Zeroizing<String>>,
) -> Result<(Session, Zeroizing<String>)> {
    let key = derive(output, password).await?;
    match PendingSignUp::expecting(api, email).finish(&code().await?, &key).await {
        Err(SessionError::AlreadyRegistered) => {
            let locked = LockedSession::with_code(api, email, &code().await?).await?;
            let session = locked.unlock_with_password(password).await?;
            let words = session.recovery_phrase().await?;
            Ok((session, words))
        }
        other => other.map(|new| (new.session, new.recovery_phrase)).map_err(Into::into),
    }
}

/// For the quickstart: the address of a server on this machine.
pub(crate) fn loopback(port: u16) -> Result<ServerUrl> {
    Ok(ServerUrl::parse(&format!("http://127.0.0.1:{port}"))?)
}
