//! When something was seen here, by the clock that deletions are told by: the vault's.
//!
//! Whether a picture was here before its owner deleted it from the vault is a question about two times, of which this device tells one and the
//! server the other. A clock that goes wrong by minutes would undo deletions, or take what was saved again on purpose for what was deleted. So
//! this device's times are translated, by what the server's latest answer said the time was. That is exact to the time which the answer took: in doubt it
//! is the earlier moment, so that what was deleted stays deleted. Where the server did not say it, this device's clock is all there is.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use darkslide_crypto::ContentHash;

use super::run::Run;
use super::settle::Place;
use crate::catalog::{Came, Catalog, CatalogError, Feed};
use crate::library::raw;
use crate::library::settle::{arrived, came};
use crate::session::Session;

/// This device's clock beside the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VaultClock {
    /// The present by the server's clock, µs since the epoch: what is seen for the first time from now on was seen after every deletion that
    /// is known.
    pub(super) now: i64,
    /// How far the server's clock is ahead of this device's, µs.
    ahead: i64,
}

impl VaultClock {
    /// The clock where nobody asked the server: this device's, which says `here`.
    pub(super) fn unasked(here: i64) -> Self {
        Self { now: here, ahead: 0 }
    }

    /// The clock of this moment, which is `here` by this device. Ask the server for something before.
    pub(super) async fn read(session: &Session, catalog: &Catalog, here: i64) -> Result<Self, CatalogError> {
        let there = session.api.server_present();
        let newest = catalog.cursor(Feed::Account).await?.0;
        Ok(Self::of(here, there, newest))
    }

    /// `there` is what the moment may be by the server; nothing where it was not asked. `newest` is the latest change of the vault.
    fn of(here: i64, there: Option<RangeInclusive<i64>>, newest: i64) -> Self {
        let ahead = there.map_or(0, |there| {
            // As far as can be told, they agree.
            if there.contains(&here) { 0 } else { there.start().saturating_sub(here) }
        });
        Self { now: here.saturating_add(ahead).max(newest.saturating_add(1)), ahead }
    }

    /// A moment by this device's clock as the server's would have told it.
    pub(super) fn translated(self, here: i64) -> i64 {
        here.saturating_add(self.ahead)
    }
}

/// What tells since when something is here, besides the runs that saw it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing.
    Seen,
    /// The disk.
    Arrival,
    /// The device's own library.
    Listing,
    /// The runs that saw it anywhere on this device: an export brings everything once more, in files of its own, however long these lay there.
    Had,
}

impl Run {
    /// Since when this content is here, by the vault's clock. What nobody knows of is here since now.
    pub(super) async fn first_seen(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<i64, CatalogError> {
        let (root, path) = (raw(place.root), raw(place.relative));
        let (there, came) = match self.since {
            Since::Listing => (self.catalog.first_listed(&root, &path).await?, Came::default()),
            Since::Arrival => {
                let (path, now) = (place.root.join(place.relative), self.now);
                let looking = tokio::task::spawn_blocking(move || {
                    (arrived(&path, now), came(&path, SystemTime::now()))
                });
                let (arrived, came) = looking.await.expect("looking at a file does not panic");
                (arrived.map(|arrived| self.clock.translated(arrived)), came)
            }
            Since::Seen | Since::Had => (None, Came::default()),
        };
        let known = match self.since {
            Since::Had => self.catalog.first_had(content).await?,
            Since::Seen | Since::Arrival | Since::Listing => {
                self.catalog.first_seen(content, &root, &path, &place.fingerprint, came).await?
            }
        };
        let seen = known.unwrap_or(self.clock.now);
        Ok(there.map_or(seen, |there| seen.min(there)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn times_are_told_by_the_server_s_clock() {
        let here = 1_000_000 * SECOND;
        let there = |ahead: i64| Some(here + ahead * SECOND..=here + (ahead + 1) * SECOND);
        for (there, newest, now, ahead) in [
            // Nobody asked it, or both agree.
            (None, 0, here, 0),
            (there(0), 0, here, 0),
            (there(-1), 0, here, 0),
            // This device is ahead, by ten minutes or two seconds, or behind: in doubt it was the earlier moment.
            (there(-600), 0, here - 600 * SECOND, -600 * SECOND),
            (there(-2), 0, here - 2 * SECOND, -2 * SECOND),
            (there(600), 0, here + 600 * SECOND, 600 * SECOND),
            // All that the vault has told lies behind.
            (None, here + 5, here + 6, 0),
            (there(-600), here - 599 * SECOND, here - 599 * SECOND + 1, -600 * SECOND),
            (there(-600), here - 700 * SECOND, here - 600 * SECOND, -600 * SECOND),
        ] {
            let clock = VaultClock::of(here, there.clone(), newest);
            assert_eq!(clock, VaultClock { now, ahead }, "{there:?} {newest}");
            assert_eq!(clock.translated(here - 7), here - 7 + ahead);
        }
    }
}
