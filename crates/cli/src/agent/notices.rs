//! Telling the person at the screen: only what needs them, and once for as long as the cause lasts.

use std::collections::BTreeSet;

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The session has ended.
    SignedOut,
    /// The account or the server is full.
    StorageFull,
    /// A command that the agent stands back for is suspended, or hangs.
    Silent,
    /// A watch folder has not been there for long.
    Offline(i64),
    /// Removals of a sync folder wait for its owner.
    Hold(i64),
    /// A sync folder is left alone.
    Unhealthy(i64),
}

/// Who was told of what.
#[derive(Debug)]
pub(crate) struct Notices {
    told: BTreeSet<Cause>,
    is_shown: bool,
}

impl Notices {
    /// Nothing was told; nothing will be shown where there is no screen.
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { told: BTreeSet::new(), is_shown }
    }

    /// Tells, unless this cause was told of already; says whether it did.
    pub(crate) fn tell(&mut self, cause: Cause, text: &str) -> bool {
        let is_first = self.told.insert(cause);
        if is_first && self.is_shown {
            let text = text.to_owned();
            // It asks the session's bus and may be kept waiting; without a screen it fails, and the log has it.
            tokio::task::spawn_blocking(move || {
                let shown = notify_rust::Notification::new()
                    .appname("Darkslide")
                    .summary("Darkslide")
                    .body(&text)
                    .show();
                drop(shown);
            });
        }
        is_first
    }

    /// The cause is gone: when it comes back it is told of again.
    pub(crate) fn forget(&mut self, cause: Cause) {
        self.told.remove(&cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_for_as_long_as_it_lasts() {
        let mut notices = Notices::new(false);
        assert!(notices.tell(Cause::Offline(1), "a"));
        assert!(notices.tell(Cause::Offline(2), "b"));
        assert!(!notices.tell(Cause::Offline(1), "a"));
        notices.forget(Cause::Offline(1));
        assert!(notices.tell(Cause::Offline(1), "a"));
        assert!(!notices.tell(Cause::Offline(2), "b"));
    }
}
