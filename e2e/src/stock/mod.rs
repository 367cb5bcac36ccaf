//! The clients that people already have, as they speak: web and desktop, phones, the command line.
//!
//! Each plays its transcript from the description of the API and reads every field that it reads, through one strict
//! reader. They share steps, never manners: headers, content types, padding, quoting and order are each client's own.

mod account;
pub mod command_line;
mod edit;
mod mirror;
pub mod mobile;
pub mod reading;
mod upload;
pub mod web;

pub use account::{Account, Padding, SignedIn};
pub use edit::CollectionKind;
pub use mirror::{Mirror, OpenedFile, PullRule};
pub use reading::{CollectionRow, FileRow, TrashRow};
pub use upload::{Committed, Mint, MultipartSession};

use crate::http::{Http, Manners};
use crate::vault::Stretching;

/// One installed client: its connection, the account that it is signed in to, and what it has synced.
#[derive(Debug)]
pub struct Device {
    /// The connection.
    pub http: Http,
    /// Who is signed in.
    pub account: Option<Account>,
    /// What it has synced.
    pub mirror: Mirror,
    /// How it stretches passwords.
    pub stretching: Stretching,
}

impl Device {
    /// A client just installed and pointed at a server.
    pub fn new(base: &str, manners: Manners) -> Self {
        Self {
            http: Http::new(base, manners),
            account: None,
            mirror: Mirror::default(),
            stretching: Stretching::Quick,
        }
    }

    /// The account that is signed in.
    pub fn account(&self) -> &Account {
        self.account.as_ref().expect("the device is signed in")
    }
}
