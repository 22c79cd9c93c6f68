//! How often somebody may ask: a rate for each key and one for each account.

use std::hash::Hash;
use std::num::NonZeroU32;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use engine::runtime::Runtime;
use engine::settings::HttpSettings;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use schemas::{AccountId, KeyId};

use crate::problem::{Problem, ProblemCode};

/// Callers whose last requests are remembered, some 100 bytes each, before those are forgotten
/// who have their whole rate again.
const REMEMBERED_MAX: usize = 10_000;

/// Pauses and cancels of an account in a second: more than people make, and little enough that
/// what each writes does not fill a disk that is nearly full.
const STOPS: NonZeroU32 = NonZeroU32::new(20).expect("not 0");

/// The limits, and what is left of them.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The node's clock as the limiters want it.
#[derive(Clone, Debug)]
struct BootClock(Runtime);

impl Clock for BootClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.boot().saturating_mul(1_000))
    }
}

/// A rate for each of many callers.
struct Rate<K: Hash + Eq + Clone>(
    RateLimiter<K, HashMapStateStore<K>, BootClock, StateInformationMiddleware>,
);

impl<K: Hash + Eq + Clone> Rate<K> {
    fn new(per_second: NonZeroU32, runtime: &Runtime) -> Self {
        let (quota, clock) = (Quota::per_second(per_second), BootClock(runtime.clone()));
        let limiter = RateLimiter::hashmap_with_clock(quota, clock);
        Self(limiter.with_middleware())
    }

    /// Counts a request; tells how many more may follow at once, `None` if this one may not.
    fn count(&self, who: &K) -> Option<u32> {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.retain_recent();
        }
        let counted = self.0.check_key(who);
        counted.ok().map(|state| state.remaining_burst_capacity())
    }
}

/// All rates.
pub struct Rates {
    keys: Rate<KeyId>,
    accounts: Rate<AccountId>,
    stops: Rate<AccountId>,
    policy: HeaderValue,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rates({:?})", self.policy)
    }
}

/// What a caller may still ask at once, and whether this request may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    key: Option<u32>,
    account: Option<u32>,
}

impl Rates {
    /// As the settings say.
    pub fn new(settings: &HttpSettings, runtime: &Runtime) -> Self {
        let key = settings.key_requests_per_second;
        let account = settings.account_requests_per_second;
        let policy = format!("\"key\";q={key};w=1, \"account\";q={account};w=1");
        Self {
            keys: Rate::new(key, runtime),
            accounts: Rate::new(account, runtime),
            stops: Rate::new(STOPS, runtime),
            policy: HeaderValue::try_from(policy).expect("words and digits"),
        }
    }

    /// Counts a request. A key beyond its own rate costs its account nothing.
    pub fn count(&self, key: KeyId, account: AccountId) -> Counted {
        let key = self.keys.count(&key);
        let account = key.and_then(|_| self.accounts.count(&account));
        Counted { key, account }
    }

    /// Counts a pause or a cancel, which has a rate of its own.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn count_stop(&self, account: AccountId) -> Result<(), Problem> {
        let left = self.stops.count(&account);
        left.map(|_| ()).ok_or_else(too_often)
    }

    /// Tells the caller (`RateLimit` of draft-ietf-httpapi-ratelimit-headers-11).
    pub fn tell(&self, counted: Counted, headers: &mut HeaderMap) {
        let (key, account) = (counted.key.unwrap_or(0), counted.account);
        let told = match account {
            Some(account) => format!("\"key\";r={key};t=1, \"account\";r={account};t=1"),
            None if counted.key.is_some() => "\"account\";r=0;t=1".to_owned(),
            None => "\"key\";r=0;t=1".to_owned(),
        };
        if let Ok(told) = HeaderValue::try_from(told) {
            headers.insert(RATE_LIMIT, told);
        }
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

impl Counted {
    /// Whether the request may go on.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn check(self) -> Result<(), Problem> {
        self.account.map(|_| ()).ok_or_else(too_often)
    }
}

fn too_often() -> Problem {
    let detail = "come back in a second; nothing of this request was taken";
    Problem::with_detail(ProblemCode::RateLimited, detail)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use engine::runtime::{BootMicros, Clock as NodeClock, Spawner};
    use engine::settings::Settings;
    use schemas::UnixMicros;

    use super::*;

    /// A time that stands where it is put.
    #[derive(Default)]
    struct Still(AtomicU64);

    impl NodeClock for Still {
        fn now(&self) -> UnixMicros {
            UnixMicros(0)
        }

        fn boot(&self) -> BootMicros {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Nothing is started here.
    struct Idle;

    impl Spawner for Idle {
        fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

        fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}

        fn spawn_dedicated(&self, _: &str, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
    }

    fn rates(key: u32, account: u32) -> (Arc<Still>, Rates) {
        let mut settings = Settings::load(None, []).expect("settings").http;
        settings.key_requests_per_second = NonZeroU32::new(key).expect("not 0");
        settings.account_requests_per_second = NonZeroU32::new(account).expect("not 0");
        let clock = Arc::new(Still::default());
        let runtime = Runtime::new(Arc::clone(&clock) as Arc<dyn NodeClock>, Arc::new(Idle), 1);
        (clock, Rates::new(&settings, &runtime))
    }

    fn key(number: u8) -> KeyId {
        KeyId::from_bytes([number; 16])
    }

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    fn taken(rates: &Rates, key: KeyId, times: u32) -> u32 {
        let counted = (0..times).map(|_| rates.count(key, ACCOUNT));
        counted.filter(|counted| counted.check().is_ok()).count() as u32
    }

    #[test]
    fn a_key_gets_its_rate_and_after_a_rest_a_second_of_it_at_once() {
        let (clock, rates) = rates(10, 1_000);
        assert_eq!(taken(&rates, key(1), 50), 10);
        let mut sum = 0;
        for millisecond in 1..=5_000 {
            clock.0.store(millisecond * 1_000, Ordering::Relaxed);
            sum += taken(&rates, key(1), 2);
        }
        assert_eq!(sum, 50);
        clock.0.store(60_000_000, Ordering::Relaxed);
        assert_eq!(taken(&rates, key(1), 50), 10);
    }

    #[test]
    fn all_keys_of_an_account_have_one_rate_and_a_key_beyond_its_own_costs_it_nothing() {
        let (_, rates) = rates(10, 15);
        assert_eq!(taken(&rates, key(1), 50), 10);
        assert_eq!(taken(&rates, key(2), 50), 5);
        let (_, rates) = self::rates(10, 15);
        let mut headers = HeaderMap::new();
        rates.tell(rates.count(key(1), ACCOUNT), &mut headers);
        assert_eq!(
            headers
                .get(RATE_LIMIT)
                .and_then(|value| value.to_str().ok()),
            Some("\"key\";r=9;t=1, \"account\";r=14;t=1")
        );
    }

    #[test]
    fn stops_have_a_rate_of_their_own() {
        let (_, rates) = rates(1, 1);
        assert_eq!(taken(&rates, key(1), 50), 1);
        let stops = (0..50).filter(|_| rates.count_stop(ACCOUNT).is_ok());
        assert_eq!(stops.count() as u32, STOPS.get());
    }

    #[test]
    fn callers_who_have_rested_are_forgotten() {
        let (clock, rates) = rates(10, 1_000_000);
        for round in 0..3 {
            clock.0.store(round * 10_000_000, Ordering::Relaxed);
            for number in 0..REMEMBERED_MAX as u128 {
                let number = number + u128::from(round) * REMEMBERED_MAX as u128;
                rates.count(KeyId::from_bytes(number.to_be_bytes()), ACCOUNT);
            }
        }
        assert!(
            rates.keys.0.len() <= REMEMBERED_MAX,
            "{}",
            rates.keys.0.len()
        );
    }
}
