//! What the operator does to accounts, from the command line: on the same database as the running server, at once.
//!
//! The operator can shut an account out or remove it, and let somebody prove an address; never see what it stores.

use crate::auth::one_time_code::{Code, Email};
use crate::routes::request::App;
use crate::store::{Store, StoreError};
use darkslide_protocol::AccountId;
use serde::Serialize;
use zeroize::Zeroizing;

/// Why an operator's command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a mail address.
    #[error("{0:?} is not a mail address")]
    NotAnAddress(String),
    /// Nobody has this address.
    #[error("there is no account {0}")]
    NoSuchAccount(Email),
    /// The address has an account already.
    #[error("{0} has an account already")]
    AlreadyRegistered(Email),
    /// Too many codes are waiting to be used.
    #[error("{0} has too many one-time codes; wait an hour")]
    TooManyCodes(Email),
    /// More bytes than clients can count.
    #[error("a quota must be at most 1 PiB")]
    QuotaTooLarge,
}

/// How far an address has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It may sign up.
    Invited,
    /// It has proved its address and chosen no password yet.
    Incomplete,
    /// In use.
    Active,
    /// Shut out by the operator.
    Disabled,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedAccount {
    /// The address.
    pub email: String,
    /// The account's id; invited addresses have none yet.
    pub id: Option<AccountId>,
    /// How far it has come.
    pub standing: Standing,
    /// Bytes of ciphertext stored.
    pub usage: i64,
    /// Bytes; `None` is the server's default.
    pub quota: Option<i64>,
    /// Files, trash included.
    pub files: i64,
    /// µs since the epoch.
    pub created_at: i64,
    /// When a device last called, µs since the epoch; `None` when none is signed in.
    pub last_used_at: Option<i64>,
}

/// Lets an address sign up although sign-up is closed, with a quota of its own or the server's default. Again, with
/// another quota, changes that.
pub async fn add(store: &Store, email: &str, quota: Option<u64>) -> Result<(), OperatorError> {
    let (email, quota) = (parse(email)?, quota.map(quota_bytes).transpose()?);
    if store.account_by_email(email.as_str()).await?.is_some() {
        return Err(OperatorError::AlreadyRegistered(email));
    }
    Ok(store.invite(email.as_str(), quota).await?)
}

/// All accounts and invited addresses, by address.
pub async fn list(store: &Store) -> Result<Vec<ListedAccount>, OperatorError> {
    Ok(store.list_accounts().await?)
}

/// Gives an account, or an invited address, a quota in bytes; `None` is the server's default. What is stored stays.
pub async fn set_quota(store: &Store, email: &str, quota: Option<u64>) -> Result<(), OperatorError> {
    let (email, quota) = (parse(email)?, quota.map(quota_bytes).transpose()?);
    if store.set_quota(email.as_str(), quota).await? {
        Ok(())
    } else {
        Err(OperatorError::NoSuchAccount(email))
    }
}

/// Shuts an account out: its devices are signed out at once, and cannot sign in again. What it stored stays.
pub async fn disable(store: &Store, email: &str) -> Result<(), OperatorError> {
    set_active(store, email, false).await
}

/// Lets a disabled account in again.
pub async fn enable(store: &Store, email: &str) -> Result<(), OperatorError> {
    set_active(store, email, true).await
}

async fn set_active(store: &Store, email: &str, active: bool) -> Result<(), OperatorError> {
    let email = parse(email)?;
    let account =
        store.account_by_email(email.as_str()).await?.ok_or_else(|| OperatorError::NoSuchAccount(email))?;
    Ok(store.set_active(account.id, active).await?)
}

/// Removes an account and everything it stored, or takes an invitation back. There is no way back.
pub async fn remove(store: &Store, email: &str) -> Result<(), OperatorError> {
    let email = parse(email)?;
    let uninvited = store.uninvite(email.as_str()).await?;
    match store.account_by_email(email.as_str()).await? {
        Some(account) => {
            store.delete_account(account.id).await?;
            Ok(())
        }
        None if uninvited => Ok(()),
        None => Err(OperatorError::NoSuchAccount(email)),
    }
}

/// Makes a one-time code for an address, for the operator to pass on: six digits, good for an hour, once.
pub async fn code(store: &Store, email: &str) -> Result<Zeroizing<String>, OperatorError> {
    let email = parse(email)?;
    let (signer, code) = (store.signer().await?, Code::generate());
    let (app, hash) = (App::Photos, code.hash(&signer, &email, App::Photos));
    if store.insert_code(email.as_str(), app.as_str(), &hash).await? {
        Ok(Zeroizing::new(code.digits().to_owned()))
    } else {
        Err(OperatorError::TooManyCodes(email))
    }
}

fn parse(email: &str) -> Result<Email, OperatorError> {
    Email::parse(email).ok_or_else(|| OperatorError::NotAnAddress(email.to_owned()))
}

fn quota_bytes(quota: u64) -> Result<i64, OperatorError> {
    if quota > crate::config::QUOTA_UNLIMITED {
        return Err(OperatorError::QuotaTooLarge);
    }
    i64::try_from(quota).map_err(|_| OperatorError::QuotaTooLarge)
}
