//! `darkslide quickstart`: server, account and first backup in one go; run again, it goes on where it was.
//!
//! It does nothing that `serve`, `signup` and `backup` do not do: it only asks less.

use super::asked::Asked;
use super::{account, backup, serve};
use crate::Ending;
use crate::arguments::{General, KeyPlace, KeyStorage, Quickstart};
use crate::output::Output;
use crate::{profile, questions};
use anyhow::{Context, Result, ensure};
use darkslide_client::api::Api;
use darkslide_client::backup::BackupReport;
use darkslide_client::profile::Profile;
use darkslide_client::session::{Email, Password, Session};
use darkslide_server::config::{Config, RawConfig};
use darkslide_server::listen::serve_opened;
use darkslide_server::{Server, Shared, operator};
use serde_json::json;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// The profile that it uses unless told otherwise, so that it never touches an account that is already there.
const PROFILE: &str = "quickstart";

/// Where the server listens unless told otherwise.
const PORT: u16 = 8080;

/// Characters of a generated password: 24 of 32 letters and digits are 120 bits.
const PASSWORD_CHARACTERS: usize = 24;

/// What the first run decided, kept in the profile's folder.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Place {
    data_dir: PathBuf,
    listen: SocketAddr,
}

/// Does it all.
pub(crate) async fn run(output: Output, general: &General, arguments: Quickstart) -> Result<Ending> {
    let path = &arguments.path;
    ensure!(path.exists(), "{} is not there: give the folder of your pictures", path.display());
    let general = &own_profile(general);
    let profile = profile::open(general)?;
    let place = place(&profile, &arguments)?;
    let running = Running::start(&place).await?;
    output.notice(format!(
        "The server runs on http://{} with its data in {}.",
        place.listen,
        place.data_dir.display()
    ));
    let outcome = back_up(output, general, &profile, &running, &place, &arguments).await;
    let goes_on = outcome.as_ref().is_ok_and(|report| report.interrupted.is_none());
    if goes_on && !arguments.once {
        output.notice(joining(&place));
        output.notice("Serving. Ctrl-C stops it; run the same command again to go on.");
        serve::stop_signal().await;
    }
    running.stop().await?;
    Ok(Ending::unless(!outcome?.is_complete()))
}

async fn back_up(
    output: Output,
    general: &General,
    profile: &Profile,
    running: &Running,
    place: &Place,
    arguments: &Quickstart,
) -> Result<BackupReport> {
    let (session, made) = match profile.config()? {
        Some(_) => (profile::session(general, profile).await?, None),
        None => {
            let (session, made) = sign_up(output, general, profile, running, place, arguments).await?;
            (session, Some(made))
        }
    };
    let asked = Asked::for_paths(std::slice::from_ref(&arguments.path)).await;
    let (session, catalog) = (Arc::new(session), profile.catalog().await?);
    let report = backup::carry_out(output, session, catalog, asked, &backup::settings()).await?;
    let answer = json!({ "server": format!("http://{}", place.listen), "dataDir": place.data_dir,
        "profile": general.profile, "account": made, "backup": report });
    output.answer(&answer, |_| format!("\n{}\n{}", backup::summary(&report), next_steps(general)))?;
    Ok(report)
}

/// An account that this run made, with what must be written down.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    email: String,
    /// Only when it was generated.
    password: Option<String>,
    recovery_phrase: String,
}

async fn sign_up(
    output: Output,
    general: &General,
    profile: &Profile,
    running: &Running,
    place: &Place,
    arguments: &Quickstart,
) -> Result<(Session, Made)> {
    let (email, password, generated) = credentials(profile, arguments)?;
    let code = async || Ok(operator::code(&running.server.store, email.as_str()).await?);
    let api = Api::new(account::loopback(place.listen.port())?, None, profile::limits(general))?;
    let made = account::make_account(output, &api, &email, &password, code).await;
    let (session, words) = made.with_context(|| {
        format!("the account {email} could not be made; if it is there already, give its password, or another --data-dir")
    })?;
    // Shown before anything else can fail: from here on, these words are the only other way in.
    if !output.json {
        eprintln!("\n{}", account::welcome(&email, &words));
        if let Some(password) = &generated {
            eprintln!("The password that was made for you: {}\n", password.as_str());
        }
    }
    let storage = KeyStorage { keys: KeyPlace::Automatic };
    if let Err(error) = profile::remember(output, general, profile, &session, &storage).await {
        output.warn(format!("The account is made. Its 24 words: {}", words.as_str()));
        return Err(
            error.context("the keys could not be kept on this computer: `darkslide login` tries again")
        );
    }
    forget_generated_password(profile)?;
    let made = Made {
        email: email.to_string(),
        password: generated.map(|password| password.to_string()),
        recovery_phrase: words.to_string(),
    };
    Ok((session, made))
}

fn credentials(
    profile: &Profile,
    arguments: &Quickstart,
) -> Result<(Email, Password, Option<Zeroizing<String>>)> {
    let given = &arguments.credentials;
    let email = match (&given.email, arguments.yes) {
        (None, true) => "me@darkslide.local".to_owned(),
        (email, _) => {
            questions::text(email.as_deref(), "E-mail address (it names the account)", "--email or --yes")?
        }
    };
    if given.password.password_file.is_none() && arguments.yes {
        let password = generated_password(profile)?;
        return Ok((Email::parse(&email)?, Password::new(password.to_string()), Some(password)));
    }
    let password =
        account::new_password(given.password.password_file.as_deref(), "--password-file or --yes")?;
    Ok((Email::parse(&email)?, password, None))
}

/// Where a generated password lies until the account's keys are kept on this computer.
fn generated_password_path(profile: &Profile) -> PathBuf {
    profile.folder().join("quickstart-password")
}

/// A generated password. It is kept before anything is made with it: a run that is cut off between making the account and showing
/// the password would otherwise leave an account that nobody can open, and the next run needs the same one.
fn generated_password(profile: &Profile) -> Result<Zeroizing<String>> {
    let path = generated_password_path(profile);
    if path.exists() {
        return questions::first_line(&path);
    }
    let password = generate_password()?;
    write_whole(&path, password.as_bytes())?;
    Ok(password)
}

fn forget_generated_password(profile: &Profile) -> Result<()> {
    let path = generated_password_path(profile);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file that only this user can read, whole or not at all: under another name first, then renamed.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let half = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

fn generate_password() -> Result<Zeroizing<String>> {
    // 32 characters, none of which looks like another.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = Zeroizing::new([0u8; PASSWORD_CHARACTERS]);
    getrandom::fill(random.as_mut_slice()).context("the system has no randomness")?;
    let mut password = Zeroizing::new(String::new());
    for (place, byte) in random.iter().enumerate() {
        if place > 0 && place % 6 == 0 {
            password.push('-');
        }
        let letter = ALPHABET.get(usize::from(byte % 32)).copied().context("32 letters")?;
        password.push(char::from(letter));
    }
    Ok(password)
}

/// The server inside this process.
struct Running {
    server: Shared,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), darkslide_server::ServerError>>,
}

impl Running {
    async fn start(place: &Place) -> Result<Self> {
        let raw = RawConfig {
            listen: Some(place.listen),
            data_dir: Some(place.data_dir.clone()),
            log_level: Some("warn".to_owned()),
            ..RawConfig::default()
        };
        let config = Config::from_layers(raw, RawConfig::default(), RawConfig::default())?;
        let listener = TcpListener::bind(place.listen).with_context(|| {
            format!("cannot listen on {}: is it in use? Choose another address with --listen", place.listen)
        })?;
        let server = Server::open(config).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve_opened(server.clone(), listener, async move {
            // A dropped sender means the same: it is over.
            let _over = stopped.await;
        });
        Ok(Self { server, stop, task: tokio::spawn(serving) })
    }

    async fn stop(self) -> Result<()> {
        // It fails only when the server has ended by itself, which the next line reports.
        let _ended = self.stop.send(());
        Ok(self.task.await.context("the server broke down")??)
    }
}

/// What the flags say, or the last run did, or the defaults.
fn place(profile: &Profile, arguments: &Quickstart) -> Result<Place> {
    let file = profile.folder().join("quickstart.json");
    let before: Option<Place> = match std::fs::read(&file) {
        Ok(bytes) => {
            Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", file.display()))?)
        }
        Err(_) => None,
    };
    if let (Some(before), true) = (&before, profile.config()?.is_some()) {
        let here = arguments.data_dir.as_deref().map(absolute).transpose()?;
        ensure!(
            here.is_none_or(|here| here == before.data_dir),
            "this profile's account is on the server in {}; use another --profile for another one",
            before.data_dir.display()
        );
        ensure!(
            before.data_dir.is_dir(),
            "the server's data was in {}, and is not there: bring it back, or begin anew with another --profile",
            before.data_dir.display()
        );
        let port = before.listen.port();
        ensure!(
            arguments.listen.is_none_or(|listen| listen.port() == port),
            "this profile knows its server on port {port}: give --listen the same one"
        );
    }
    let data_dir = match (&arguments.data_dir, &before) {
        (Some(given), _) => absolute(given)?,
        (None, Some(before)) => before.data_dir.clone(),
        (None, None) => absolute(Path::new("darkslide-data"))?,
    };
    let listen = arguments
        .listen
        .or(before.map(|before| before.listen))
        .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    ensure!(
        listen.port() != 0,
        "give --listen a port of its own: the profile and your phone know the server by it"
    );
    let place = Place { data_dir, listen };
    write_whole(&file, &serde_json::to_vec_pretty(&place)?)?;
    Ok(place)
}

/// The data folder's whole path; it is made when it is not there, for this user only.
fn absolute(path: &Path) -> Result<PathBuf> {
    darkslide_server::make_data_folder(path).with_context(|| format!("could not make {}", path.display()))?;
    Ok(path.canonicalize()?)
}

fn own_profile(general: &General) -> General {
    let named = std::env::var_os("DARKSLIDE_PROFILE").is_some() || general.profile != "default";
    let profile = if named { general.profile.clone() } else { PROFILE.to_owned() };
    General { profile, ..general.clone() }
}

fn next_steps(general: &General) -> String {
    let profile = &general.profile;
    format!(
        "Bring everything back:  darkslide --profile {profile} restore --to FOLDER\n\
         See what is there:      darkslide --profile {profile} list\n\
         Check every byte:       darkslide --profile {profile} verify\n"
    )
}

/// What a phone needs.
fn joining(place: &Place) -> String {
    let port = place.listen.port();
    let fixed =
        (!place.listen.ip().is_loopback() && !place.listen.ip().is_unspecified()).then(|| place.listen.ip());
    let host =
        fixed.or_else(own_address).map_or_else(|| "ADDRESS-OF-THIS-COMPUTER".to_owned(), |ip| ip.to_string());
    let mut text = "\nTo let a phone join:\n".to_owned();
    if place.listen.ip().is_loopback() {
        text += &format!(
            "  - start this again with --listen 0.0.0.0:{port}, so that the phone can reach this computer\n"
        );
    }
    text + &format!(
        "  - on the phone, install Ente Photos, tap its first screen seven times, and enter http://{host}:{port}\n"
    ) + "  - log in with the same e-mail address and password\n"
}

/// The address that this computer has in its own network, found without sending anything.
fn own_address() -> Option<IpAddr> {
    // Connecting a UDP socket only chooses a route; 192.0.2.1 is reserved for documentation (RFC 5737).
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_differ_and_are_long() {
        let (one, two) = (generate_password().unwrap(), generate_password().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), PASSWORD_CHARACTERS + 3);
    }
}
