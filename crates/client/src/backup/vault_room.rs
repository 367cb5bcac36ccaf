//! How much the vault still takes, as far as a run knows: what the server said when the run began, less what was sent since.
//!
//! It decides as the server does: beyond the quota nothing is begun, and what is begun may go a little beyond it. A server that does
//! not say is asked by sending; once it refused, nothing more is sent in that run.

use std::sync::atomic::{AtomicI64, Ordering};

use darkslide_crypto::stream::ciphertext_len;
use darkslide_protocol::limits::QUOTA_GRACE_BYTES;

use super::error::AssetError;
use super::run::Run;

/// What is left when the server refused: no room that is given back changes that.
const REFUSED: i64 = i64::MIN / 2;

/// Shared by all that sends in a run.
#[derive(Debug)]
pub(super) struct VaultRoom {
    /// Ciphertext bytes of the quota that are left; below zero, how far it is exceeded.
    left: AtomicI64,
    /// Bytes that the vault may hold; negative while that is unknown.
    quota: AtomicI64,
}

impl Default for VaultRoom {
    /// Nothing is known: the server decides.
    fn default() -> Self {
        Self { left: AtomicI64::new(i64::MAX / 2), quota: AtomicI64::new(-1) }
    }
}

impl VaultRoom {
    fn measured(&self, quota: i64, usage: i64) {
        self.quota.store(quota, Ordering::Relaxed);
        self.left.store(quota.saturating_sub(usage), Ordering::Relaxed);
    }

    /// The server took no more.
    pub(super) fn refused(&self) {
        self.left.store(REFUSED, Ordering::Relaxed);
    }

    /// Whether it did.
    pub(super) fn is_refused(&self) -> bool {
        self.left.load(Ordering::Relaxed) < REFUSED / 2
    }

    /// Whether nothing more may be begun, whatever its size.
    pub(super) fn is_full(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }

    /// Whether an original of so many plaintext bytes may be begun.
    pub(super) fn has(&self, bytes: u64) -> bool {
        rest(self.left.load(Ordering::Relaxed), bytes).is_some()
    }

    /// Sets room aside for one, before its first byte is sent.
    pub(super) fn take(&self, bytes: u64) -> Result<(), AssetError> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| rest(left, bytes));
        taken.map(drop).map_err(|_| AssetError::NoRoom)
    }

    /// Gives room back that was set aside for an original that did not come to be there.
    pub(super) fn give_back(&self, bytes: u64) {
        self.left.fetch_add(sealed(bytes), Ordering::Relaxed);
    }

    /// What is said once of all that found no room.
    pub(super) fn reason(&self) -> String {
        let what = if self.is_full() { "the vault is full" } else { "the vault has no room for all of it" };
        let quota = u64::try_from(self.quota.load(Ordering::Relaxed)).ok();
        let holds = quota.map(|quota| format!(": it may hold {}", rounded_down(quota)));
        let holds = holds.unwrap_or_default();
        format!("{what}{holds}; free some space in the vault, or ask its owner for more")
    }
}

/// Units of bytes for people, the largest first.
const UNITS: [(u64, &str); 6] = [
    (1_000_000_000_000_000_000, "EB"),
    (1_000_000_000_000_000, "PB"),
    (1_000_000_000_000, "TB"),
    (1_000_000_000, "GB"),
    (1_000_000, "MB"),
    (1_000, "kB"),
];

/// Bytes for people, three digits and no more than there are: `600 kB`, `1.04 MB`.
fn rounded_down(bytes: u64) -> String {
    let Some((unit, name)) = UNITS.iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let hundredths = u128::from(bytes) * 100 / u128::from(*unit);
    let step = if hundredths < 1000 {
        1
    } else if hundredths < 10_000 {
        10
    } else {
        100
    };
    let kept = hundredths / step * step;
    let number = format!("{}.{:02}", kept / 100, kept % 100);
    format!("{} {name}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// How many of some originals, given by their plaintext bytes, a run would begin that finds so many bytes of the quota left: as many at least, in
/// whatever order they go.
pub fn fitting(quota: u64, usage: u64, mut originals: Vec<u64>) -> u64 {
    let whole = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut left = whole(quota).saturating_sub(whole(usage));
    // What takes most leaves least to the others.
    originals.sort_unstable_by(|one, other| other.cmp(one));
    let begun = originals.into_iter().filter(|bytes| match rest(left, *bytes) {
        Some(behind) => {
            left = behind;
            true
        }
        None => false,
    });
    begun.count() as u64
}

/// What is left behind an original of so many plaintext bytes; none where it may not be begun.
fn rest(left: i64, bytes: u64) -> Option<i64> {
    let needed = sealed(bytes);
    (left >= 0 && needed <= left.saturating_add(QUOTA_GRACE_BYTES)).then(|| left - needed)
}

/// Bytes in the vault that an original of so many plaintext bytes takes. More than any server takes is as good as that.
fn sealed(bytes: u64) -> i64 {
    ciphertext_len(bytes).and_then(|length| i64::try_from(length).ok()).unwrap_or(1 << 50).min(1 << 50)
}

impl Run {
    /// Asks how much the account may still store, so that nothing is sent for which there is no room.
    pub(super) async fn measure_room(&self) {
        if let Ok(details) = self.session.api.account_details(false).await {
            self.room.measured(details.subscription.storage, details.usage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    #[test]
    fn nothing_is_begun_beyond_the_quota_and_a_little_may_end_there() {
        for (quota, usage, bytes, expected) in [
            (10 * MIB, 0, 5 << 20, true),
            (10 * MIB, 10 * MIB, 1, true),
            (10 * MIB, 10 * MIB + 1, 0, false),
            (10 * MIB, 9 * MIB, 40 << 20, true),
            (10 * MIB, 9 * MIB, 51 << 20, false),
            (1 << 50, 10 * MIB, 10 << 30, true),
            (1 << 50, 0, u64::MAX, true),
            (0, 1 << 50, 0, false),
        ] {
            let room = VaultRoom::default();
            room.measured(quota, usage);
            assert_eq!(room.has(bytes), expected, "{bytes} of {quota} with {usage}");
            assert_eq!(room.take(bytes).is_ok(), expected);
        }
    }

    /// Once, each was compared with all of the room: nine were told to fit where two did.
    #[test]
    fn what_fits_is_counted_down() {
        for (quota, usage, originals, expected) in [
            (150_000, 150_001, vec![1], 0),
            (248_799, 182_799, vec![61_000; 9], 2),
            (10 << 20, 0, vec![4 << 20, 3 << 20, 2 << 20], 3),
            // What is larger than all of the room keeps nothing else out.
            (10 << 20, 0, vec![1 << 20, 1 << 40, 2 << 20], 2),
            (u64::MAX, 0, vec![1 << 40; 3], 3),
            (0, 0, Vec::new(), 0),
        ] {
            assert_eq!(fitting(quota, usage, originals.clone()), expected, "{quota} {usage} {originals:?}");
        }
    }

    /// Once, 600 kB were told as 1 MB.
    #[test]
    fn no_more_is_told_than_the_vault_may_hold() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (600_000, "600 kB"),
            (999_999, "999 kB"),
            (1_048_576, "1.04 MB"),
            (10_500_000, "10.5 MB"),
            (10_009_999, "10 MB"),
            (107_374_182_400, "107 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(rounded_down(bytes), expected);
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_and_a_refusal_stays() {
        let room = VaultRoom::default();
        assert!(room.has(u64::MAX) && !room.is_full(), "nothing is known");
        room.measured(MIB, 0);
        room.take(2 << 20).unwrap();
        assert!(room.is_full() && !room.has(0));
        room.give_back(2 << 20);
        assert!(!room.is_full() && room.has(2 << 20));
        assert!(
            room.reason().starts_with("the vault has no room for all of it: it may hold 1.04 MB; free some")
        );
        assert!(!room.is_refused());
        room.refused();
        room.give_back(2 << 20);
        assert!(room.is_full() && room.is_refused() && room.take(0).is_err());
        assert!(room.reason().starts_with("the vault is full: it may hold 1.04 MB; free some"));
    }
}
