//! Which accounts changed, and by whose session as far as that is known, for who wakes their other devices.
//!
//! One entry an account, however much changed; nothing is kept while nobody listens. It may tell of a change that came to nothing,
//! and never misses one that this process made.

use darkslide_protocol::AccountId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    /// The session of the request that this task answers, once it is known to be good.
    static SESSION: RefCell<Option<String>>;
}

/// Answers a request: what it changes is its session's doing.
pub(crate) async fn in_request<F: Future>(answer: F) -> F::Output {
    SESSION.scope(RefCell::default(), answer).await
}

/// The same for a part of the answer that runs by itself.
pub(crate) fn in_session<F: Future>(session: Option<String>, answer: F) -> impl Future<Output = F::Output> {
    SESSION.scope(RefCell::new(session), answer)
}

/// The session of the request that this task answers, if it needs one: the SHA-256 of its token, in hex.
pub(crate) fn session() -> Option<String> {
    SESSION.try_with(|session| session.borrow().clone()).ok().flatten()
}

/// Says whose request it is: the SHA-256 of the session's token, in hex.
pub(crate) fn is_by(token_hash: &str) {
    let _ = SESSION.try_with(|session| session.replace(Some(token_hash.to_owned())));
}

/// Whose session changed an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One alone.
    Session(String),
    /// Several, or nobody knows.
    Others,
}

impl By {
    /// The session, if it was one alone.
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::Session(hash) => Some(hash),
            Self::Others => None,
        }
    }

    fn of_this_request() -> Self {
        session().map_or(Self::Others, Self::Session)
    }
}

/// The accounts that changed since they were last taken.
#[derive(Debug, Default)]
pub struct News {
    is_listened_to: AtomicBool,
    changed: Mutex<BTreeMap<AccountId, By>>,
    bell: Notify,
}

impl News {
    fn changed(&self) -> MutexGuard<'_, BTreeMap<AccountId, By>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, changes are kept.
    pub(super) fn listen(&self) {
        self.is_listened_to.store(true, Ordering::Relaxed);
    }

    /// Waits until something has changed, and not to look before `at`.
    pub async fn heard(&self, at: Instant) {
        sleep_until(at).await;
        while self.changed().is_empty() {
            self.bell.notified().await;
        }
    }

    /// What has changed.
    pub fn take(&self) -> BTreeMap<AccountId, By> {
        std::mem::take(&mut *self.changed())
    }

    /// Notes a change, again or for the first time.
    pub fn put_back(&self, account: AccountId, by: By) {
        self.changed()
            .entry(account)
            .and_modify(|earlier| {
                if *earlier != by {
                    *earlier = By::Others;
                }
            })
            .or_insert(by);
        self.bell.notify_one();
    }

    /// Notes changes when it is dropped, so also when a request is broken off while they become durable.
    pub(super) fn note_at_end(&self, accounts: &BTreeSet<AccountId>) -> Note<'_> {
        let accounts =
            if self.is_listened_to.load(Ordering::Relaxed) { accounts.clone() } else { BTreeSet::new() };
        Note { news: self, accounts, by: By::of_this_request() }
    }
}

/// Changes that are about to be made.
pub(super) struct Note<'a> {
    news: &'a News,
    accounts: BTreeSet<AccountId>,
    by: By,
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        for account in &self.accounts {
            self.news.put_back(*account, self.by.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_gathered_with_who_made_them() {
        let news = News::default();
        let both = BTreeSet::from([AccountId(1), AccountId(2)]);
        drop(news.note_at_end(&both));
        assert!(news.take().is_empty(), "nobody listens");
        news.listen();
        let change = async |by: Option<&str>, accounts: &BTreeSet<AccountId>| {
            in_request(async {
                if let Some(hash) = by {
                    is_by(hash);
                }
                drop(news.note_at_end(accounts));
            })
            .await;
        };
        change(Some("phone"), &both).await;
        change(Some("phone"), &both).await;
        change(Some("laptop"), &BTreeSet::from([AccountId(2)])).await;
        change(None, &BTreeSet::from([AccountId(3)])).await;
        news.heard(Instant::now()).await;
        let expected = [
            (AccountId(1), By::Session("phone".to_owned())),
            (AccountId(2), By::Others),
            (AccountId(3), By::Others),
        ];
        assert_eq!(news.take(), BTreeMap::from(expected));
        assert!(news.take().is_empty());
    }
}
