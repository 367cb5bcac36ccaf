//! News that the vault has changed, as it happens, for whoever keeps a catalog up to date.
//!
//! It says that there is something to pull and never what: a pull says that. A line that breaks is mended with growing pauses, and
//! what happened meanwhile is news then.

use crate::api::{Api, ApiFailure, NewsStream};
use crate::session::Session;
use backon::BackoffBuilder as _;
use darkslide_protocol::Version;
use darkslide_protocol::server::Extension;
use std::time::Duration;

/// Whether the server tells news at all.
pub async fn is_offered(session: &Session) -> Result<bool, ApiFailure> {
    session.api.offers(Extension::Changes).await
}

/// Waits for changes of one account's vault.
#[derive(Debug)]
pub struct News {
    api: Api,
    stream: Option<NewsStream>,
    seen: Version,
    /// Whether the server could not be reached since it said something.
    was_away: bool,
    pauses: Option<backon::ExponentialBackoff>,
}

impl News {
    /// Connects when it is first asked. The server must offer [`Extension::Changes`].
    pub fn of(session: &Session) -> Self {
        Self { api: session.api.clone(), stream: None, seen: Version(0), was_away: false, pauses: None }
    }

    /// Waits until the vault is at another version than the one that it said last; the first is said at once, and so is that of a server
    /// that could not be reached meanwhile. An earlier one is that of a
    /// server that was set back to an older state, which is news as well. Fails only where
    /// asking again is no use: the session has ended, or the server has no such stream. Nothing is lost when it is dropped while it
    /// waits.
    pub async fn next(&mut self) -> Result<Version, ApiFailure> {
        loop {
            match self.listen().await {
                Ok(Some(version)) => {
                    self.pauses = None;
                    if std::mem::take(&mut self.was_away) || version != self.seen {
                        self.seen = version;
                        return Ok(version);
                    }
                }
                // The server ended it, as it does when it stops.
                Ok(None) => self.pause().await,
                Err(failure) if failure.is_transient() => {
                    tracing::debug!(%failure, "listening again");
                    // A line that breaks and is mended in the same moment is nobody's news.
                    self.was_away |= self.stream.is_none();
                    self.pause().await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The next version that the server says; `None` when it has ended the stream.
    async fn listen(&mut self) -> Result<Option<Version>, ApiFailure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(self.api.open_news().await?),
        };
        stream.next().await
    }

    async fn pause(&mut self) {
        self.stream = None;
        let patience = || self.api.patience().without_max_times().build();
        let pause = self.pauses.get_or_insert_with(patience).next();
        tokio::time::sleep(pause.unwrap_or(Duration::from_secs(1))).await;
    }
}
