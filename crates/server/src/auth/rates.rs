//! How often somebody may call: a bucket for each route and each address or account.
//!
//! Buckets that are full again are dropped by [`Rates::forget_idle`], so memory is bounded by who called in the last
//! minutes. It never refuses below what stock clients need (10 a minute for sign-in routes, 500 for upload URLs); resumable
//! uploads, which they do not have, begin more often.

use crate::config::Limits;
use crate::error::{ApiError, ApiResult};
use axum::http::StatusCode;
use darkslide_protocol::AccountId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

/// Calls a minute for one account to look up others' public keys.
const PUBLIC_KEY_RATE: NonZeroU32 = NonZeroU32::new(200).expect("positive");

/// Resumable uploads that an account may begin for each upload URL that it may have: as many as go over a fast line, of files that are no
/// smaller than a client sends in parts.
const BEGINS_A_URL: u32 = 20;

/// Look-ups an hour, from one address, of accounts that do not exist; beyond, made-up answers are given.
const MISS_RATE: NonZeroU32 = NonZeroU32::new(100).expect("positive");

/// The routes that have rates of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `POST /users/ott`.
    OneTimeCode,
    /// `POST /users/verify-email`.
    VerifyEmail,
    /// `POST /users/change-email`.
    ChangeEmail,
    /// `GET /users/srp/attributes`.
    SrpAttributes,
    /// `POST /users/srp/setup`.
    SrpSetup,
    /// `POST /users/srp/complete`.
    SrpComplete,
    /// `POST /users/srp/create-session`.
    SrpCreateSession,
    /// `POST /users/srp/verify-session`.
    SrpVerifySession,
    /// `POST /users/srp/update`.
    SrpUpdate,
    /// `GET /users/public-key`.
    PublicKey,
    /// Every route that hands out upload URLs.
    Mint,
    /// Beginning a resumable upload.
    Begin,
}

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A signed-in account.
    Account(AccountId),
    /// An address; of IPv6 the first 64 bits, which is what one subscriber has.
    Address(IpAddr),
}

impl From<AccountId> for Subject {
    fn from(account: AccountId) -> Self {
        Self::Account(account)
    }
}

impl From<IpAddr> for Subject {
    fn from(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(prefix))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A bucket for each key, filled by this clock.
type Buckets<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// All rates of one server.
pub struct Rates<C: Clock = DefaultClock> {
    sign_in: Buckets<(Route, Subject), C>,
    public_key: Buckets<Subject, C>,
    mint: Buckets<Subject, C>,
    begin: Buckets<Subject, C>,
    misses: Buckets<Subject, C>,
}

impl<C: Clock + Clone> fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("remembered", &self.remembered()).finish()
    }
}

impl Rates {
    /// Rates with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self::at(limits, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    /// Rates with these limits, as time passes on this clock.
    fn at(limits: &Limits, clock: &C) -> Self {
        let per_minute = |count| Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        Self {
            sign_in: buckets(per_minute(limits.sign_in_rate), clock),
            public_key: buckets(Quota::per_minute(PUBLIC_KEY_RATE), clock),
            mint: buckets(per_minute(limits.upload_url_rate), clock),
            begin: buckets(per_minute(limits.upload_url_rate.saturating_mul(BEGINS_A_URL)), clock),
            misses: buckets(Quota::per_hour(MISS_RATE), clock),
        }
    }

    /// Counts one call; 429 when there were too many.
    pub fn check(&self, route: Route, subject: impl Into<Subject>) -> ApiResult<()> {
        let subject = subject.into();
        let allowed = match route {
            Route::Mint => self.mint.check_key(&subject).is_ok(),
            Route::Begin => self.begin.check_key(&subject).is_ok(),
            Route::PublicKey => self.public_key.check_key(&subject).is_ok(),
            _ => self.sign_in.check_key(&(route, subject)).is_ok(),
        };
        if allowed {
            return Ok(());
        }
        metrics::counter!("darkslide_rate_limited_total").increment(1);
        Err(ApiError::Gate(StatusCode::TOO_MANY_REQUESTS, "rate limit breached, try later"))
    }

    /// Counts a look-up of an account that does not exist. False when there were so many from this address that it is
    /// trying addresses out, and should be told nothing true any more.
    pub(crate) fn allow_miss(&self, address: IpAddr) -> bool {
        self.misses.check_key(&address.into()).is_ok()
    }

    /// Drops the buckets that are full again.
    pub fn forget_idle(&self) {
        self.sign_in.retain_recent();
        self.public_key.retain_recent();
        self.mint.retain_recent();
        self.begin.retain_recent();
        self.misses.retain_recent();
    }

    /// How many buckets are remembered.
    pub fn remembered(&self) -> usize {
        self.sign_in.len() + self.public_key.len() + self.mint.len() + self.begin.len() + self.misses.len()
    }
}

/// Buckets of this size and pace.
fn buckets<K: Hash + Eq + Clone, C: Clock + Clone>(quota: Quota, clock: &C) -> Buckets<K, C> {
    RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use governor::clock::FakeRelativeClock;
    use std::path::Path;
    use std::time::Duration;

    fn rates() -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::at(&Config::for_folder(Path::new("unused")).limits, &clock), clock)
    }

    #[test]
    fn ten_sign_in_calls_a_minute_on_each_route_for_each_subject() {
        let (rates, clock) = rates();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..10 {
            rates.check(Route::SrpCreateSession, one).unwrap();
        }
        assert!(rates.check(Route::SrpCreateSession, one).is_err());
        rates.check(Route::SrpVerifySession, one).unwrap();
        rates.check(Route::SrpCreateSession, other).unwrap();
        rates.check(Route::SrpCreateSession, AccountId(1)).unwrap();
        clock.advance(Duration::from_millis(5_999));
        assert!(rates.check(Route::SrpCreateSession, one).is_err());
        clock.advance(Duration::from_millis(1));
        rates.check(Route::SrpCreateSession, one).unwrap();
        assert!(rates.check(Route::SrpCreateSession, one).is_err());
    }

    #[test]
    fn one_ipv6_subscriber_is_one_subject() {
        let subject = |text: &str| Subject::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(subject("2001:db8::1"), subject("2001:db8::ffff:2"));
        assert_ne!(subject("2001:db8::1"), subject("2001:db8:0:1::1"));
        assert_eq!(subject("::ffff:192.0.2.1"), subject("192.0.2.1"));
    }

    #[test]
    fn a_phone_can_mint_500_times_a_minute() {
        let (rates, clock) = rates();
        for _ in 0..500 {
            rates.check(Route::Mint, AccountId(1)).unwrap();
        }
        assert!(rates.check(Route::Mint, AccountId(1)).is_err());
        assert_eq!(rates.remembered(), 1);
        // What is sent in parts does not count with it, and has room for a fast line.
        for _ in 0..10_000 {
            rates.check(Route::Begin, AccountId(2)).unwrap();
        }
        assert!(rates.check(Route::Begin, AccountId(2)).is_err());
        rates.forget_idle();
        assert_eq!(rates.remembered(), 2, "buckets in use are kept");
        clock.advance(Duration::from_secs(61));
        rates.forget_idle();
        assert_eq!(rates.remembered(), 0, "full ones are not");
    }
}
