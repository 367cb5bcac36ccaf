#![doc = include_str!("../README.md")]

pub mod auth;
pub mod config;
pub mod error;
pub mod jobs;
pub mod objects;
pub mod routes;
pub mod store;

use config::Config;
use objects::Objects;
use std::sync::Arc;
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
    /// Rates that protect accounts and the machine.
    pub rates: auth::rates::Rates,
    /// Sends one-time codes.
    pub mail: auth::mail::Mail,
}

/// The server as handlers share it.
pub type Shared = Arc<Server>;
