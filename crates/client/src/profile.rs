//! Profiles: several accounts and servers on one machine, each with a folder of its own.
//!
//! ```text
//! <home>/<profile>/            mode 0700
//!     config.toml              server, address, account, where the keys rest; no secret
//!     device.toml              which device this is to the account, and its name
//!     catalog.sqlite           what this device knows of the vault
//!     keys, keys.key           the keys, where the system has no keyring
//!     catalog.lock             held while a run backs the profile up
//!     catalog.removals         held while something is removed from a sync folder, or one is taken over
//! ```
//!
//! It decides where things are and who is remembered; it signs nobody in.

mod config;

pub use config::{DeviceIdentity, KeychainKind, ProfileConfig, new_device_id};

use crate::api::{Api, ConnectionError, Limits};
use crate::catalog::{Catalog, CatalogError, SyncPlace, sync_places};
use crate::download::blocking;
use crate::keychain::{FileKeychain, Keychain, KeychainError, Protection, StoredKeys, SystemKeychain};
use crate::machine::Machine;
use crate::session::Session;
use darkslide_protocol::Opaque;
use etcetera::BaseStrategy as _;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use zeroize::Zeroizing;

/// How long the system's keyring may take to answer before it counts as absent: somebody may be typing a password.
const KEYRING_PATIENCE: Duration = Duration::from_secs(30);

/// The longest name of a profile, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Why a profile cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Not a name.
    #[error("{0:?} cannot name a profile: use up to 64 lower-case letters, digits, '-' and '_'")]
    Name(String),
    /// There is no home folder.
    #[error("this user has no home folder; say where profiles go with DARKSLIDE_HOME")]
    NoHome,
    /// A file or folder of the profile.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration is not TOML, or lacks something.
    #[error("{path} cannot be understood: {source}")]
    Config {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Nobody is signed in.
    #[error("nobody is logged in with the profile {0}; run `darkslide login` or `darkslide signup`")]
    NotLoggedIn(ProfileName),
    /// The keys.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A profile's name, which is its folder's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProfileName(String);

impl ProfileName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let good = (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(fits);
        if good { Ok(Self(text.to_owned())) } else { Err(ProfileError::Name(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProfileName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for ProfileName {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The folder that all profiles of this user are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// `given` (from `DARKSLIDE_HOME`), or `darkslide` in the system's folder for users' data.
    pub fn find(given: Option<&Path>) -> Result<Self, ProfileError> {
        if let Some(path) = given {
            return Ok(Self(path.to_owned()));
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| ProfileError::NoHome)?;
        Ok(Self(strategy.data_dir().join("darkslide")))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a profile is, or would be.
    pub fn folder(&self, name: &ProfileName) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// One profile; its folder is made if it is not there.
    pub fn profile(&self, name: &ProfileName) -> Result<Profile, ProfileError> {
        let folder = self.folder(name);
        private_folder(&self.0)?;
        private_folder(&folder)?;
        Ok(Profile { name: name.clone(), folder })
    }

    /// The profiles that are there, by name.
    pub fn profiles(&self) -> Result<Vec<ProfileName>, ProfileError> {
        let failed = |source| ProfileError::File { path: self.0.clone(), source };
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_str().and_then(|name| ProfileName::parse(name).ok());
            names.extend(name.filter(|_| entry.path().join(CONFIG).is_file()));
        }
        names.sort();
        Ok(names)
    }
}

const CONFIG: &str = "config.toml";

const DEVICE: &str = "device.toml";

/// One profile's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    name: ProfileName,
    folder: PathBuf,
}

/// What came of remembering a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Where the keys rest, in a sentence for people.
    pub keys: String,
    /// The watch folders and sync folders of the account before, which are no longer looked after.
    pub let_go: Vec<PathBuf>,
}

/// Where keys shall rest.
#[derive(Debug)]
pub enum KeychainChoice {
    /// The system's keyring if there is one that answers, otherwise a file with a key file beside it.
    Automatic,
    /// The system's keyring and nothing else.
    System,
    /// A file with a key file beside it.
    File,
    /// A file closed with a passphrase, which every run must be told.
    FileWithPassphrase(Zeroizing<String>),
}

impl Profile {
    /// Its name.
    pub fn name(&self) -> &ProfileName {
        &self.name
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it remembers; `None` before the first login.
    pub fn config(&self) -> Result<Option<ProfileConfig>, ProfileError> {
        let path = self.folder.join(CONFIG);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| ProfileError::File { path: path.clone(), source })?,
        };
        let parsed = toml::from_str(&text);
        parsed.map(Some).map_err(|source| ProfileError::Config { path, source: Box::new(source) })
    }

    /// Which device this is to the account: an id that stays, and the name that it was given; `None` until it was named.
    pub fn device(&self) -> Result<Option<DeviceIdentity>, ProfileError> {
        let path = self.folder.join(DEVICE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| ProfileError::File { path: path.clone(), source })?,
        };
        let parsed = toml::from_str(&text);
        parsed.map(Some).map_err(|source| ProfileError::Config { path, source: Box::new(source) })
    }

    /// Remembers which device this is.
    pub fn remember_device(&self, device: &DeviceIdentity) -> Result<(), ProfileError> {
        self.write_toml(&self.folder.join(DEVICE), device)
    }

    /// Opens the profile's catalog. Other profiles of this user, in this home and in others, may be of the same account.
    pub async fn catalog(&self) -> Result<Catalog, ProfileError> {
        Ok(Catalog::open(&self.catalog_path()).await?.on(Machine::of_this_user()))
    }

    /// Where its sync folders are. Writes nothing: another profile's catalog is brought up to date by who uses it.
    pub async fn sync_places(&self) -> Result<Vec<SyncPlace>, ProfileError> {
        Ok(sync_places(&self.catalog_path()).await?)
    }

    /// Where the local trash of a sync folder is that was told nothing else: by the folder's marker.
    pub fn local_trash(&self, marker: &str) -> PathBuf {
        self.folder.join("trash").join(marker)
    }

    fn catalog_path(&self) -> PathBuf {
        self.folder.join("catalog.sqlite")
    }

    /// Remembers a session: its keys in a keychain, the rest in the configuration. The catalog of another account is thrown away, and with
    /// it the list of its folders.
    pub async fn remember(
        &self,
        session: &Session,
        choice: KeychainChoice,
        certificate_authorities: Option<PathBuf>,
    ) -> Result<Remembered, ProfileError> {
        let before = self.config()?;
        // The next command may be run in another folder.
        let certificate_authorities = certificate_authorities
            .map(|path| std::path::absolute(&path).map_err(|source| ProfileError::File { path, source }))
            .transpose()?;
        let (kind, keychain) = self.choose(choice).await;
        let keys = keychain.describe();
        let config = ProfileConfig {
            server: session.api.server().clone(),
            email: session.email.clone(),
            account: session.account,
            public_key: Some(Opaque::encode(session.keys.key_pair.public_key().as_bytes()).0),
            keychain: kind,
            certificate_authorities,
        };
        let mut let_go = Vec::new();
        if let Some(before) = before {
            if !before.is_of(&config) {
                let_go = self.folders_looked_after().await;
                Catalog::remove(&self.catalog_path()).await?;
            }
            if (&before.server, before.account) != (&config.server, config.account) {
                // Before there are other keys: a token must never be sent to the server of before.
                remove(&self.folder.join(CONFIG))?;
            }
        }
        let stored = copy_of(session);
        blocking(move || keychain.store(&stored)).await?;
        self.write_config(&config)?;
        Ok(Remembered { keys, let_go })
    }

    /// The watch folders and sync folders, where the catalog still tells.
    async fn folders_looked_after(&self) -> Vec<PathBuf> {
        if !self.catalog_path().exists() {
            return Vec::new();
        }
        let read = async {
            let catalog = self.catalog().await?;
            let watched = catalog.watch_folders().await?.into_iter().map(|row| row.path);
            let synced = catalog.sync_folders().await?.into_iter().map(|row| row.folder.path);
            let folders = watched.chain(synced).collect();
            catalog.close().await;
            Ok::<_, ProfileError>(folders)
        };
        read.await.unwrap_or_default()
    }

    /// The session of before. `passphrase` is needed where the keys are in a file closed with one.
    pub async fn session(
        &self,
        limits: Limits,
        passphrase: Option<Zeroizing<String>>,
    ) -> Result<Session, ProfileError> {
        let not_logged_in = || ProfileError::NotLoggedIn(self.name.clone());
        let config = self.config()?.ok_or_else(not_logged_in)?;
        let keychain = self.keychain(config.keychain, passphrase);
        let StoredKeys { token, keys } =
            blocking(move || keychain.load()).await?.ok_or_else(not_logged_in)?;
        let extra_authorities = limits.extra_authorities.clone().or(config.certificate_authorities);
        let api = Api::new(config.server, None, Limits { extra_authorities, ..limits })?;
        Ok(Session::resume(&api, config.account, config.email, keys, token))
    }

    /// Whether the keys are in a file that wants a passphrase.
    pub fn wants_passphrase(&self) -> Result<bool, ProfileError> {
        let in_file = self.config()?.is_some_and(|config| config.keychain == KeychainKind::File);
        Ok(in_file && FileKeychain::wants_passphrase(&self.keys_path())?.unwrap_or(false))
    }

    /// Forgets the keys. Configuration and catalog stay, for the next login.
    pub async fn forget(&self) -> Result<(), ProfileError> {
        let Some(config) = self.config()? else { return Ok(()) };
        let keychain = self.keychain(config.keychain, None);
        Ok(blocking(move || keychain.forget()).await?)
    }

    /// Forgets everything: keys, catalog, configuration.
    pub async fn forget_all(&self) -> Result<(), ProfileError> {
        self.forget().await?;
        Catalog::remove(&self.catalog_path()).await?;
        remove(&self.folder.join(DEVICE))?;
        remove(&self.folder.join(CONFIG))
    }

    async fn choose(&self, choice: KeychainChoice) -> (KeychainKind, Box<dyn Keychain>) {
        let (kind, passphrase) = match choice {
            KeychainChoice::System => (KeychainKind::System, None),
            KeychainChoice::Automatic if answers(self.system_keychain()).await => {
                (KeychainKind::System, None)
            }
            KeychainChoice::Automatic | KeychainChoice::File => (KeychainKind::File, None),
            KeychainChoice::FileWithPassphrase(passphrase) => (KeychainKind::File, Some(passphrase)),
        };
        (kind, self.keychain(kind, passphrase))
    }

    fn keychain(&self, kind: KeychainKind, passphrase: Option<Zeroizing<String>>) -> Box<dyn Keychain> {
        match kind {
            KeychainKind::System => Box::new(self.system_keychain()),
            KeychainKind::File => {
                let protection = passphrase.map_or(Protection::KeyFile, Protection::Passphrase);
                Box::new(FileKeychain::new(self.keys_path(), protection))
            }
        }
    }

    /// Named by the profile's whole path, for one user may have several homes of profiles.
    fn system_keychain(&self) -> SystemKeychain {
        SystemKeychain::new(self.folder.to_string_lossy().into_owned())
    }

    fn keys_path(&self) -> PathBuf {
        self.folder.join("keys")
    }

    fn write_config(&self, config: &ProfileConfig) -> Result<(), ProfileError> {
        self.write_toml(&self.folder.join(CONFIG), config)
    }

    fn write_toml(&self, path: &Path, value: &impl Serialize) -> Result<(), ProfileError> {
        let text = toml::to_string_pretty(value).expect("a flat table of text and numbers is TOML");
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|source| ProfileError::File { path: path.to_owned(), source })
    }
}

/// Asks the keyring on a thread of its own: one that never answers must not keep the program from ending.
async fn answers(keychain: SystemKeychain) -> bool {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(keychain.is_available()));
    matches!(tokio::time::timeout(KEYRING_PATIENCE, receiver).await, Ok(Ok(true)))
}

/// Keys are not `Clone`: this is the one place where a second copy is made, on its way into a keychain.
fn copy_of(session: &Session) -> StoredKeys {
    use darkslide_crypto::account::AccountKeys;
    use darkslide_crypto::keys::{KeyPair, MasterKey, SecretKey, SessionToken};
    let secret_key = SecretKey::take(*session.keys.key_pair.secret_key().expose());
    let master_key = MasterKey::take(*session.keys.master_key.expose());
    StoredKeys {
        token: SessionToken::take(*session.token.expose()),
        keys: AccountKeys { master_key, key_pair: KeyPair::from_secret_key(secret_key) },
    }
}

fn remove(path: &Path) -> Result<(), ProfileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ProfileError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn private_folder(path: &Path) -> Result<(), ProfileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| ProfileError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServerUrl;
    use crate::catalog::NewWatchFolder;
    use crate::library::AlbumRule;
    use crate::session::Email;
    use darkslide_protocol::AccountId;

    fn home(folder: &tempfile::TempDir) -> Home {
        Home::find(Some(&folder.path().join("profiles"))).unwrap()
    }

    fn session(server: &str, account: i64) -> Session {
        let api = Api::new(ServerUrl::parse(server).unwrap(), None, Limits::default()).unwrap();
        let StoredKeys { token, keys } = crate::keychain::example();
        Session::resume(&api, AccountId(account), Email::parse("a@b").unwrap(), keys, token)
    }

    #[test]
    fn names_are_checked() {
        for good in ["default", "a", "nas-2_x"] {
            assert_eq!(ProfileName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "A", "ä", "a b", &"x".repeat(65)] {
            assert!(ProfileName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_session_is_remembered_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let profile = home(&folder).profile(&ProfileName::default()).unwrap();
        let nobody = profile.session(Limits::default(), None).await;
        assert!(matches!(nobody, Err(ProfileError::NotLoggedIn(_))));

        let before = session("http://127.0.0.1:1", 7);
        let authority = Some(PathBuf::from("home.pem"));
        let said = profile.remember(&before, KeychainChoice::File, authority).await.unwrap().keys;
        let config = profile.config().unwrap().unwrap();
        assert!(config.certificate_authorities.unwrap().is_absolute(), "commands run in other folders, too");
        assert!(said.contains("no keyring") && said.contains("keys.key"), "{said}");
        profile.remember(&before, KeychainChoice::File, None).await.unwrap();
        let after = profile.session(Limits::default(), None).await.unwrap();
        assert_eq!((after.account, &after.email), (before.account, &before.email));
        assert!(after.keys == before.keys && after.token == before.token);
        assert_eq!(home(&folder).profiles().unwrap(), [ProfileName::default()]);

        profile.forget().await.unwrap();
        assert!(profile.session(Limits::default(), None).await.is_err());
        assert!(profile.config().unwrap().is_some());
    }

    #[tokio::test]
    async fn another_account_does_not_inherit_the_catalog() {
        let folder = tempfile::tempdir().unwrap();
        let profile = home(&folder).profile(&ProfileName::default()).unwrap();
        let watch = async || {
            let watched =
                NewWatchFolder { path: "/pictures".into(), albums: AlbumRule::PerRoot, exclude: Vec::new() };
            let catalog = profile.catalog().await.unwrap();
            catalog.add_watch_folder(&watched, 1).await.unwrap();
            catalog.close().await;
        };
        // Whether there is a catalog, and how many folders nobody looks after any more.
        let remember = async |session: &Session| {
            let remembered = profile.remember(session, KeychainChoice::File, None).await.unwrap();
            (profile.catalog_path().exists(), remembered.let_go.len())
        };
        let mut first = session("http://127.0.0.1:1", 7);
        assert_eq!(remember(&first).await, (false, 0));
        watch().await;
        assert_eq!(remember(&first).await, (true, 0));
        // The server has moved, and the account is the same.
        first.api = session("http://localhost:2", 7).api;
        assert_eq!(remember(&first).await, (true, 0));
        let text = fs::read_to_string(profile.folder().join(CONFIG)).unwrap();
        assert!(text.contains("http://localhost:2"), "{text}");
        // One that was remembered before keys were is known by its address.
        let lines = text.lines().filter(|line| !line.starts_with("public_key"));
        fs::write(profile.folder().join(CONFIG), lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(remember(&first).await, (true, 0));
        // The same number on the same server, which began anew.
        assert_eq!(remember(&session("http://localhost:2", 7)).await, (false, 1));
        watch().await;
        assert_eq!(remember(&session("http://localhost:2", 8)).await, (false, 1));
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_the_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let profile = home(&folder).profile(&ProfileName::default()).unwrap();
        for path in [profile.folder(), profile.folder().parent().unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
