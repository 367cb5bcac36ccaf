//! Who is signed in: found out again and again, for a keyring may be locked, and `darkslide login` may come at any time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow};
use darkslide_client::folder::SESSION_ENDED;
use darkslide_client::keychain::KeychainError;
use darkslide_client::profile::{ProfileConfig, ProfileError};
use darkslide_client::session::Session;
use tokio::sync::watch;

use super::Agent;
use super::listen::listen_for;
use super::notices::Cause;
use super::status::Problem;
use crate::profile;

/// How often keys are asked for that could not be read: a keyring may ask its owner each time.
const KEYS_LOOK: Duration = Duration::from_mins(10);

/// How long a keyring may take, perhaps until somebody has unlocked it. The agent does nothing else meanwhile.
const KEYS_TIME: Duration = Duration::from_mins(1);

/// What ends that nobody is signed in.
const ADVICE_LOGIN: &str = "run `darkslide login`; the agent goes on by itself";

/// What ends that the keyring is locked.
const ADVICE_KEYRING: &str = "unlock the keyring, or run `darkslide login`; the agent tries again within ten minutes, and at once after `darkslide agent scan`";

/// What ends that the keys, or what belongs to them, cannot be read.
const ADVICE_OTHER: &str =
    "put that right, or run `darkslide login`; `darkslide agent scan` makes the agent try again at once";

/// Whether somebody is signed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum SignIn {
    /// Nobody has tried yet.
    Unknown,
    /// By this session.
    In(Arc<Session>),
    /// Nobody is, and why, in words for people.
    Out(Arc<str>),
}

impl SignIn {
    /// The session of whoever is signed in.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::In(session) => Some(session),
            Self::Unknown | Self::Out(_) => None,
        }
    }

    /// Notes that a session has ended, where nobody has signed in by another one meanwhile: then that one says nothing of it. Tells whether it did.
    pub(super) fn note_end(sign_in: &watch::Sender<Self>, session: &Arc<Session>) -> bool {
        sign_in.send_if_modified(|now| {
            let is_of_this = now.session().is_some_and(|other| Arc::ptr_eq(other, session));
            if is_of_this {
                *now = Self::Out(SESSION_ENDED.into());
            }
            is_of_this
        })
    }
}

impl Agent {
    /// Takes the session of the profile, if there is one that was not found to have ended.
    pub(super) async fn sign_in(&mut self) -> Result<bool> {
        let written = self.written();
        let is_time = self.keys_look.is_some_and(|at| at <= Instant::now());
        if self.tried.is_some() && self.tried == written && !is_time {
            return Ok(false);
        }
        self.tried = written;
        self.keys_look = None;
        if self.serves_others && written.is_none() {
            return Ok(false);
        }
        let asked = tokio::time::timeout(KEYS_TIME, profile::session(&self.general, &self.profile)).await;
        match asked.unwrap_or_else(|_| Err(anyhow!("the keyring does not answer"))) {
            Ok(session) => {
                let config = self.profile.config().ok().flatten();
                let is_of_session = |config: &ProfileConfig| {
                    (&config.server, config.account) == (session.api.server(), session.account)
                };
                let Some(config) = config.filter(is_of_session) else {
                    // Somebody is signing in.
                    self.tried = None;
                    return Ok(false);
                };
                self.must_belong_to(&config)?;
                self.notices.forget(Cause::SignedOut);
                self.problem = None;
                let session = Arc::new(session);
                self.sync.sign_in.send_replace(SignIn::In(Arc::clone(&session)));
                self.listening.abort_all();
                let (news, sign_in) = (Arc::clone(&self.vault_news), Arc::clone(&self.sync.sign_in));
                self.listening.spawn(listen_for(Arc::clone(&session), news, sign_in));
                self.session = Some(session);
                Ok(true)
            }
            Err(error) => {
                self.tried.get_or_insert(SystemTime::UNIX_EPOCH);
                let (advice, may_pass) = match error.downcast_ref() {
                    Some(ProfileError::NotLoggedIn(_)) => (ADVICE_LOGIN, false),
                    Some(ProfileError::Keychain(KeychainError::System(_))) | None => (ADVICE_KEYRING, true),
                    // Whoever was asked for a passphrase is not asked every ten minutes.
                    Some(_) => (ADVICE_OTHER, !profile::asks_for_passphrase(&self.profile)),
                };
                self.keys_look = may_pass.then(|| Instant::now() + KEYS_LOOK);
                self.signed_out(&format!("{error:#}"), advice);
                Ok(false)
            }
        }
    }

    /// Sees whether the profile's owner has signed out here: the server may not be there to say so. Or in, with another account.
    pub(super) fn look_at_sign_in(&mut self) -> Result<()> {
        if self.session.is_none() {
            return Ok(());
        }
        let metadata = self.profile.folder().join("config.toml").metadata();
        if metadata.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            self.session_ended();
        }
        self.check_account()
    }

    /// When somebody has signed in here.
    fn written(&self) -> Option<SystemTime> {
        let config = self.profile.folder().join("config.toml");
        config.metadata().and_then(|metadata| metadata.modified()).ok()
    }

    /// The server knows the session no longer. Whoever signs in again on this device ends the one before: then there is another one already,
    /// and nothing to tell.
    pub(super) fn session_ended(&mut self) {
        let is_another = |tried| self.written().is_some_and(|written| written != tried);
        if self.tried.is_some_and(is_another) {
            self.session = None;
            self.sync.sign_in.send_replace(SignIn::Unknown);
            self.listening.abort_all();
            return;
        }
        self.signed_out(SESSION_ENDED, ADVICE_LOGIN);
    }

    /// Nobody is signed in. `advice` says what ends that.
    fn signed_out(&mut self, what: &str, advice: &str) {
        self.session = None;
        self.sync.sign_in.send_replace(SignIn::Out(what.into()));
        self.listening.abort_all();
        if self.notices.tell(Cause::SignedOut, &format!("Pictures are not backed up: {what}; {advice}.")) {
            self.say(format!("{what}; {advice}"));
        }
        self.problem =
            Some(Problem { what: what.to_owned(), advice: Some(advice.to_owned()), next_try: None });
    }
}
