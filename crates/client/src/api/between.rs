//! Who said that something is not there: the server, or what stands on the way to it.
//!
//! A proxy whose server is just being started says 404 for everything, and nothing follows from that. But one may also put a page of its own in the
//! place of each error that the server tells; then all is as the server said. The two look alike. They are told apart by asking the server for
//! something that it always has: once it may just have come back, but where it answers again and again while the other thing is not there, that is not there.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use darkslide_protocol::server::TIME_HEADER;

use super::Api;

/// How long the server must have answered before what was not there counts as that.
const SURE_AFTER: Duration = Duration::from_secs(1);

/// For how long its earlier answer counts.
const SURE_UNTIL: Duration = Duration::from_mins(1);

impl Api {
    /// Whether what came without the server's own words is what the server says all the same.
    pub(super) async fn was_said_by_server(&self) -> bool {
        let asked = self.0.http.get(self.server().at("/v1/server")).send().await;
        let answers = asked.is_ok_and(|answer| answer.headers().contains_key(TIME_HEADER));
        let mut since = self.0.answers_since.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = since.map(|since| since.elapsed());
        if !answers {
            *since = None;
        } else if passed.is_none_or(|passed| passed >= SURE_UNTIL) {
            *since = Some(Instant::now());
        }
        answers && is_sure(passed)
    }
}

/// Whether a server that answers, and did so long ago, did not just come back.
fn is_sure(passed: Option<Duration>) -> bool {
    passed.is_some_and(|passed| (SURE_AFTER..SURE_UNTIL).contains(&passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_says_nothing_of_what_was_before_it() {
        for (passed, expected) in
            [(None, false), (Some(0), false), (Some(999), false), (Some(1000), true), (Some(60_000), false)]
        {
            assert_eq!(is_sure(passed.map(Duration::from_millis)), expected, "{passed:?}");
        }
    }
}
