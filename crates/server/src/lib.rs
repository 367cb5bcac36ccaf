#![doc = include_str!("../README.md")]

pub mod auth;
pub mod config;
pub mod error;
pub mod jobs;
pub mod listen;
pub mod logs;
pub mod meter;
pub mod objects;
pub mod operator;
pub mod push;
pub mod routes;
pub mod status;
pub mod store;
pub mod turns;
pub mod vouch;

pub use listen::serve;
pub use routes::router;

use config::Config;
use objects::Objects;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use store::Store;

/// Everything that a request needs. One a process.
#[derive(Debug)]
pub struct Server {
    /// How it was set up.
    pub config: Config,
    /// Accounts, collections, files.
    pub store: Store,
    /// Encrypted blobs.
    pub objects: Objects,
    /// Signs upload and download URLs and deletion challenges.
    pub signer: auth::signer::Signer,
    /// Whose turn it is to write a resumable upload.
    pub turns: turns::Turns,
    /// Held by whoever compacts packs.
    pub compacting: tokio::sync::Mutex<()>,
    /// Rates that protect accounts and the machine.
    pub rates: auth::rates::Rates,
    /// Sends one-time codes.
    pub mail: auth::mail::Mail,
    /// Says to push services who wakes devices.
    pub vapid: Arc<push::vapid::Vapid>,
    /// How fast devices are woken.
    pub pace: push::Pace,
    /// Objects that files name and the database does not know, when they were last counted: that takes too long for every minute.
    pub lost_objects: AtomicI64,
}

/// The server as handlers share it.
pub type Shared = Arc<Server>;

/// Why a server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data folder could not be made.
    #[error("the data folder {0} cannot be created")]
    DataFolder(PathBuf, #[source] std::io::Error),
    /// The database could not be opened.
    #[error("the database cannot be opened")]
    Store(#[from] store::StoreError),
    /// The objects' folder could not be opened.
    #[error("the objects' folder cannot be opened")]
    Objects(#[from] objects::ObjectError),
    /// The mail settings are wrong.
    #[error("the mail settings are not usable")]
    Mail(#[from] auth::mail::MailError),
    /// The certificate or its key could not be used.
    #[error("the certificate cannot be used")]
    Tls(#[from] listen::TlsError),
    /// An address could not be listened on.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
}

impl Server {
    /// Opens what the configuration names, creating the data folder and bringing the database up to date.
    pub async fn open(config: Config) -> Result<Shared, ServerError> {
        make_data_folder(&config.data_dir)
            .map_err(|error| ServerError::DataFolder(config.data_dir.clone(), error))?;
        let store = Store::open(config.effective_database_url().expose()).await?;
        let signer = store.signer().await?;
        let contact =
            config.public_url.as_ref().filter(|url| url.scheme() == "https").map(ToString::to_string);
        let vapid = Arc::new(store.vapid(contact).await?);
        Ok(Arc::new(Self {
            objects: Objects::open(&config.data_dir)?,
            turns: turns::Turns::default(),
            compacting: tokio::sync::Mutex::new(()),
            rates: auth::rates::Rates::new(&config.limits),
            mail: auth::mail::Mail::new(config.mail.as_ref())?,
            vapid,
            pace: push::Pace::default(),
            lost_objects: AtomicI64::new(0),
            signer,
            store,
            config,
        }))
    }
}

impl Server {
    /// Sessions of an account have ended: what is under way in them asks again whether it may.
    pub fn sessions_ended(&self, account: darkslide_protocol::AccountId) {
        self.store.ring(account);
        self.turns.interrupt(account);
    }
}

/// Makes a folder that only this user can open: the database in it has the keys that sign URLs, and enough to guess
/// passwords with. One that is there already is left as its owner wants it.
pub fn make_data_folder(path: &std::path::Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}
