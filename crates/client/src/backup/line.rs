//! What the line carried in this run: by that it is told beforehand how long the next part takes. It decides nothing.

use super::rules::conditions::Network;
use super::rules::time_for;

/// Fewer bytes tell of the time that a request takes whatever is in it, and little of the line.
const BYTES_ENOUGH: u64 = 64 << 10;

/// What was carried before so many bytes counts for half: lines change.
const BYTES_REMEMBERED: u64 = 4 << 20;

/// What arrived over the network that is used, and how long that took; and what is under way. Moments are µs since the epoch.
#[derive(Debug, Default)]
pub(super) struct Line {
    network: Option<Network>,
    bytes: u64,
    /// How long something was under way, µs. What was under way at once took its time together.
    time: i64,
    last_arrival: i64,
    under_way: u64,
    /// When all that is under way has probably arrived.
    free_at: i64,
}

impl Line {
    /// How long so many bytes take from now on, behind what is under way, µs; none where nothing was measured over this network.
    pub(super) fn takes(&self, network: Network, bytes: u64, now: i64) -> Option<i64> {
        let rate = self.rate(network)?;
        Some((self.free_at - now).max(0).saturating_add(time_for(bytes, rate)))
    }

    /// So many bytes are sent from now on.
    pub(super) fn begun(&mut self, network: Network, bytes: u64, now: i64) {
        self.under_way = self.under_way.saturating_add(bytes);
        self.free_at = now.saturating_add(self.takes(network, bytes, now).unwrap_or(0));
    }

    /// So many bytes are under way no longer, whatever became of them.
    pub(super) fn ended(&mut self, bytes: u64, now: i64) {
        self.under_way = self.under_way.saturating_sub(bytes);
        let rate = self.network.and_then(|network| self.rate(network));
        let takes = rate.map_or(0, |rate| time_for(self.under_way, rate));
        self.free_at = self.free_at.min(now.saturating_add(takes));
    }

    /// So many bytes arrived now that were begun then. Another network is another line, and a clock that was set back tells nothing. While more
    /// is under way the line looks slower than it is, never faster.
    pub(super) fn arrived(&mut self, network: Network, bytes: u64, begun: i64, now: i64) {
        let was_known = self.rate(network).is_some();
        if self.network != Some(network) || now < self.last_arrival {
            (self.network, self.bytes, self.time, self.last_arrival) = (Some(network), 0, 0, begun);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.time = self.time.saturating_add((now - begun.max(self.last_arrival)).max(0));
        self.last_arrival = now;
        // What else is under way has its time in there, and not its bytes.
        if self.bytes > BYTES_REMEMBERED && self.under_way <= bytes {
            (self.bytes, self.time) = (self.bytes / 2, self.time / 2);
        }
        // What was begun before anything was known is waited for from now on.
        if let Some(rate) = self.rate(network).filter(|_| !was_known) {
            self.free_at = now.saturating_add(time_for(self.under_way, rate));
        }
    }

    /// Bytes a second over this network; none where too little arrived to tell.
    pub(super) fn rate(&self, network: Network) -> Option<u64> {
        let is_known = self.network == Some(network) && self.bytes >= BYTES_ENOUGH;
        let time = u64::try_from(self.time).ok().filter(|time| is_known && *time > 0)?;
        Some((self.bytes.saturating_mul(1_000_000) / time).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const WIFI: Network = Network::Unmetered;

    /// The rate after arrivals: bytes, and the seconds at which they were begun and arrived.
    fn check(arrivals: &[(u64, i64, i64)], expected: Option<u64>) {
        let mut line = Line::default();
        for (bytes, begun, now) in arrivals {
            line.arrived(WIFI, *bytes, begun * SECOND, now * SECOND);
        }
        assert_eq!(line.rate(WIFI), expected, "{arrivals:?}");
    }

    #[test]
    fn the_rate_is_what_arrived_in_the_time_that_it_took() {
        check(&[], None);
        check(&[(BYTES_ENOUGH - 1, 10, 11)], None);
        check(&[(BYTES_ENOUGH, 10, 12)], Some(BYTES_ENOUGH / 2));
        // Several small ones are enough together, and nothing is said of the time between them.
        check(&[(40_000, 10, 11), (40_000, 50, 51)], Some(40_000));
        // At once, they have the line together.
        check(&[(100_000, 10, 12), (100_000, 10, 14)], Some(50_000));
        check(&[(100_000, 10, 14), (100_000, 12, 14)], Some(50_000));
        check(&[(100_000, 10, 12), (100_000, 10, 12)], Some(100_000));
        check(&[(100_000, 10, 10)], None);
        check(&[(BYTES_ENOUGH, 10, 1_000_000)], Some(1));
    }

    #[test]
    fn what_was_long_ago_counts_less() {
        let fast = (BYTES_REMEMBERED, 0, 1);
        check(&[fast], Some(BYTES_REMEMBERED));
        // Not sooner than there is more than that.
        check(&[(BYTES_REMEMBERED, 0, 2), (BYTES_REMEMBERED / 2, 10, 12)], Some(BYTES_REMEMBERED / 8 * 3));
        check(&[(BYTES_REMEMBERED + 2, 0, 2), (BYTES_REMEMBERED / 2, 10, 13)], Some(BYTES_REMEMBERED / 4));
    }

    #[test]
    fn another_network_and_another_clock_are_another_line() {
        let mut line = Line::default();
        line.arrived(WIFI, 1_000_000, 10 * SECOND, 11 * SECOND);
        assert_eq!((line.rate(WIFI), line.rate(Network::Metered)), (Some(1_000_000), None));
        line.arrived(Network::Metered, 100_000, 12 * SECOND, 13 * SECOND);
        assert_eq!((line.rate(WIFI), line.rate(Network::Metered)), (None, Some(100_000)));
        line.arrived(Network::Metered, 200_000, SECOND, 2 * SECOND);
        assert_eq!(line.rate(Network::Metered), Some(200_000), "the clock was set back");
    }

    #[test]
    fn what_is_under_way_is_waited_for() {
        let mut line = Line::default();
        line.begun(WIFI, 1_000_000, 0);
        assert_eq!(line.takes(WIFI, 1, 0), None, "nothing was measured");
        line.arrived(WIFI, 1_000_000, 0, 10 * SECOND);
        line.ended(1_000_000, 10 * SECOND);
        assert_eq!(line.takes(WIFI, 200_000, 10 * SECOND), Some(2 * SECOND));
        line.begun(WIFI, 200_000, 10 * SECOND);
        line.begun(WIFI, 300_000, 10 * SECOND);
        assert_eq!(line.takes(WIFI, 100_000, 10 * SECOND), Some(6 * SECOND));
        assert_eq!(line.takes(WIFI, 100_000, 14 * SECOND), Some(2 * SECOND), "most of that is through");
        assert_eq!(line.takes(WIFI, 100_000, 60 * SECOND), Some(SECOND), "and by now it should be");
        // The larger one failed at once, and the other one took its time.
        line.ended(300_000, 10 * SECOND);
        assert_eq!(line.takes(WIFI, 100_000, 10 * SECOND), Some(3 * SECOND));
        line.ended(200_000, 11 * SECOND);
        assert_eq!(line.takes(WIFI, 100_000, 11 * SECOND), Some(SECOND));
        let mut unknown = Line::default();
        unknown.begun(WIFI, 1_000_000, 0);
        unknown.begun(WIFI, 500_000, 0);
        unknown.arrived(WIFI, 1_000_000, 0, 10 * SECOND);
        unknown.ended(1_000_000, 10 * SECOND);
        assert_eq!(unknown.takes(WIFI, 0, 10 * SECOND), Some(5 * SECOND), "the other one is still under way");
        line.ended(1, 0);
        assert_eq!(line.takes(Network::Metered, 1, 11 * SECOND), None);
    }
}
