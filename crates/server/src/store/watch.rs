//! Who waits for an account's next change, and how they hear of it: in this process at once, from others by looking.
//!
//! It carries versions and nothing else, and only as news: what changed is read from the feed. News may come twice or be passed
//! over by later news; it never goes back.

use darkslide_protocol::{AccountId, Version};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many may wait for one account's changes in one process: more than a person has devices and windows.
pub const WATCHES_MAX: usize = 16;

/// Why nobody more may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchRefused {
    /// [`WATCHES_MAX`] wait already.
    #[error("too many wait for this account's changes")]
    TooMany,
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
}

/// Everybody who waits. One a store.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    accounts: BTreeMap<AccountId, watch::Sender<Told>>,
}

/// What those who wait for an account were told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    newest: Version,
    /// How often they were to look again whether they may wait.
    rings: u64,
}

/// One that waits. Dropping it makes room for another.
#[derive(Debug)]
pub struct Watch {
    account: AccountId,
    news: watch::Receiver<Told>,
    rings: u64,
    watches: Arc<Watches>,
}

impl Watches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait.
    pub(super) fn watch(self: &Arc<Self>, account: AccountId) -> Result<Watch, WatchRefused> {
        let mut state = self.state();
        if state.is_closed {
            return Err(WatchRefused::Closed);
        }
        let sender = state.accounts.entry(account).or_default();
        if sender.receiver_count() >= WATCHES_MAX {
            return Err(WatchRefused::TooMany);
        }
        let news = sender.subscribe();
        let rings = news.borrow().rings;
        Ok(Watch { account, news, rings, watches: self.clone() })
    }

    /// Tells those who wait for an account that it is at `version`.
    pub(super) fn announce(&self, account: AccountId, version: Version) {
        if let Some(sender) = self.state().accounts.get(&account) {
            sender.send_if_modified(|told| {
                let is_news = version > told.newest;
                told.newest = version.max(told.newest);
                is_news
            });
        }
    }

    /// Has those who wait for an account look again whether they may.
    pub(super) fn ring(&self, account: AccountId) {
        if let Some(sender) = self.state().accounts.get(&account) {
            sender.send_modify(|told| told.rings += 1);
        }
    }

    /// The accounts that somebody waits for.
    pub(super) fn accounts(&self) -> Vec<AccountId> {
        self.state().accounts.keys().copied().collect()
    }

    /// Ends all waiting, now and later.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.accounts.clear();
    }
}

impl Watch {
    /// Waits for a version later than `seen`, or until whoever waits must look whether it still may, and gives the newest version; `None` once the
    /// server is stopping.
    pub async fn later_than(&mut self, seen: Version) -> Option<Version> {
        let rings = self.rings;
        let told = self.news.wait_for(|told| told.newest > seen || told.rings != rings).await.ok();
        let told = told.map(|told| *told)?;
        self.rings = told.rings;
        Some(told.newest)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.watches.state();
        // This one's receiver is still counted: it is dropped after this.
        if state.accounts.get(&self.account).is_some_and(|sender| sender.receiver_count() <= 1) {
            state.accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId(7);

    #[tokio::test]
    async fn news_reaches_those_who_wait_and_never_goes_back() {
        let watches = Arc::new(Watches::default());
        let mut first = watches.watch(ACCOUNT).unwrap();
        let mut second = watches.watch(ACCOUNT).unwrap();
        watches.announce(AccountId(8), Version(90));
        watches.announce(ACCOUNT, Version(5));
        watches.announce(ACCOUNT, Version(4));
        assert_eq!(first.later_than(Version(0)).await, Some(Version(5)));
        watches.announce(ACCOUNT, Version(6));
        assert_eq!(first.later_than(Version(5)).await, Some(Version(6)));
        assert_eq!(second.later_than(Version(0)).await, Some(Version(6)), "what came between is passed over");
        watches.ring(AccountId(8));
        watches.ring(ACCOUNT);
        assert_eq!(
            first.later_than(Version(6)).await,
            Some(Version(6)),
            "nothing new: look whether you may wait"
        );
        watches.close();
        assert_eq!(first.later_than(Version(6)).await, None);
        assert_eq!(watches.watch(ACCOUNT).unwrap_err(), WatchRefused::Closed);
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let watches = Arc::new(Watches::default());
        let mut held: Vec<_> = (0..WATCHES_MAX).map(|_| watches.watch(ACCOUNT).unwrap()).collect();
        assert_eq!(watches.watch(ACCOUNT).unwrap_err(), WatchRefused::TooMany);
        assert!(watches.watch(AccountId(8)).is_ok(), "others have room of their own");
        held.pop();
        held.push(watches.watch(ACCOUNT).unwrap());
        held.clear();
        assert_eq!(watches.accounts(), [], "nobody is remembered who does not wait");
    }
}
