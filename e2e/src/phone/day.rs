//! How a day ends: what the vault has by then, what went over which network, what copies took, and what is said of each picture. All of it is
//! named; what is not is nothing.

use super::Phone;
use super::home::Home;
use darkslide_client::backup::rules::conditions::Network;
use darkslide_client::backup::rules::explanation::{Explanation, Skip, Wait};
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

/// Every kind of network.
const NETWORKS: [Network; 4] = [Network::None, Network::Unmetered, Network::Metered, Network::Roaming];

/// So many files are read back at the end of a day; of more it is believed that they are as they were listed.
const READ_BACK_MAX: usize = 500;

/// Bytes over networks, at least and at most. Over a network that is not named there are none.
pub type Traffic<'d> = &'d [(Network, RangeInclusive<u64>)];

/// What a phone's days came to so far.
#[derive(Debug)]
pub struct Day<'d> {
    /// Contents that the vault has, and no others.
    pub vault: BTreeSet<String>,
    /// Ciphertext that the phone sent.
    pub sent: Traffic<'d>,
    /// Originals that it fetched from its library's cloud.
    pub fetched: Traffic<'d>,
    /// The most bytes that copies of originals took at once: none where no original was in a cloud and no video was exported.
    pub peak_cache: RangeInclusive<u64>,
    /// Of how many pictures which thing is said. Of no other anything is.
    pub told: &'d [(usize, Told)],
}

/// An [`Explanation`], as far as days tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// It is backed up, whole.
    Safe,
    /// It is backed up, without its video.
    Incomplete,
    /// It is backed up, and this leaves it alone since.
    Kept(Skip),
    /// It waits.
    Waits(Wait),
    /// It was deleted from the vault, whenever that was.
    Deleted,
    /// A rule leaves it alone.
    Skipped(Skip),
    /// It is stuck.
    Blocked,
}

impl From<&Explanation> for Told {
    fn from(explanation: &Explanation) -> Self {
        match explanation {
            Explanation::BackedUp { is_whole: true, .. } => Self::Safe,
            Explanation::BackedUp { is_whole: false, .. } => Self::Incomplete,
            Explanation::Kept { skip, .. } => Self::Kept(skip.clone()),
            Explanation::Waiting(wait) => Self::Waits(wait.clone()),
            Explanation::Skipped(Skip::Deleted(_)) => Self::Deleted,
            Explanation::Skipped(skip) => Self::Skipped(skip.clone()),
            Explanation::Blocked { .. } => Self::Blocked,
        }
    }
}

impl Phone {
    /// The day is over: compares all that it came to with what was to come of it.
    pub async fn day_ends(&self, home: &Home, day: Day<'_>) {
        let files = home.files().await;
        assert_eq!(home.contents().await, day.vault, "what the vault has");
        let ids: BTreeSet<_> = files.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), day.vault.len(), "one file a content");
        if ids.len() <= READ_BACK_MAX {
            home.verify(ids.len() as u64).await;
        }
        check_traffic("sent", day.sent, |network| self.sent_over(network));
        check_traffic("fetched", day.fetched, |network| self.fetched_over(network));
        let peak = self.peak_cache();
        assert!(day.peak_cache.contains(&peak), "copies took {peak}, not {:?}", day.peak_cache);
        assert_eq!(self.cache_now(), 0, "and take nothing now");
        self.check_explanations(home).await;
        let mut told: HashMap<Told, usize> = HashMap::new();
        for (_, explanation) in self.explanations().await {
            *told.entry(Told::from(&explanation)).or_default() += 1;
        }
        let expected: HashMap<Told, usize> =
            day.told.iter().map(|(count, told)| (told.clone(), *count)).collect();
        assert_eq!(told, expected, "what is said");
    }
}

fn check_traffic(what: &str, expected: Traffic<'_>, bytes: impl Fn(Network) -> u64) {
    for network in NETWORKS {
        let named = expected.iter().find(|(named, _)| *named == network);
        let range = named.map_or(0..=0, |(_, range)| range.clone());
        let bytes = bytes(network);
        assert!(range.contains(&bytes), "{what} over {network:?}: {bytes}, not {range:?}");
    }
}
