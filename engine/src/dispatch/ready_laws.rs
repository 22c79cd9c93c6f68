//! What the queue promises to accounts, campaigns and senders, whatever waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use schemas::position::SourceId;
use schemas::secret::Body;
use schemas::{
    AccountId, CampaignId, Encoding, Envelope, MessageClass, MessageId, Partition, Phone,
    UnixMicros,
};

use super::ready::{ReadyQueue, Wanted};
use super::routing::{Routes, Routing};
use super::{Origin, Ready};
use crate::pacing::{Limits, Pace, Room};
use crate::provider;

/// The provider account that is asked for, and another.
const PROVIDER: usize = 0;
const OTHER: usize = 1;

/// What waits, in a few words.
#[derive(Clone, Copy, Debug)]
struct Text {
    class: MessageClass,
    account: u8,
    /// 0 for a single one.
    campaign: u8,
    segments: u32,
    routes: u128,
    attempt: u32,
}

const PLAIN: Text = Text {
    class: MessageClass::Marketing,
    account: 1,
    campaign: 1,
    segments: 1,
    routes: 1 << PROVIDER,
    attempt: 1,
};

fn account(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

fn ready(place: u64, text: Text) -> Ready {
    let to = Phone::from_e164("+14152000001".to_owned()).expect("a number");
    let id = MessageId::new(UnixMicros(0), to.slice(), place.to_be_bytes());
    let campaign = (text.campaign > 0).then(|| CampaignId::from_bytes([text.campaign; 16]));
    Ready {
        envelope: Arc::new(Envelope {
            account: account(text.account),
            id,
            campaign,
            contact: None,
            to,
            from: None,
            body: Body::new("text"),
            class: text.class,
            provider: None,
            send_at: None,
            valid_until: UnixMicros(i64::MAX),
            encoding: Encoding::Gsm7,
            segments: text.segments,
            created_at: UnixMicros(0),
        }),
        attempt: text.attempt,
        origin: Origin {
            partition: Partition(0),
            source: SourceId::Work(text.class),
            position: place,
            message: id,
        },
        routes: Routes::of_bits(text.routes),
    }
}

fn queue(texts: impl IntoIterator<Item = Text>) -> ReadyQueue {
    let mut queue = ReadyQueue::default();
    for (place, text) in (0..).zip(texts) {
        queue.push(ready(place, text));
    }
    queue
}

/// Takes so many segments of whatever comes next.
fn take(queue: &mut ReadyQueue, provider: usize, any: u32) -> Vec<Ready> {
    let transactional = 0;
    let wanted = &mut Wanted { any, transactional };
    let retries = &mut { u32::MAX };
    queue.take(provider, wanted, &mut Room::default(), retries)
}

/// Segments by account, of so many pulls of a segment each.
fn pulled(queue: &mut ReadyQueue, pulls: usize) -> BTreeMap<AccountId, u64> {
    let mut got = BTreeMap::new();
    for _ in 0..pulls {
        for ready in take(queue, PROVIDER, 1) {
            *got.entry(ready.envelope.account).or_default() += u64::from(ready.envelope.segments);
        }
    }
    got
}

/// Jain's index of what each got for its weight: 1 when all got the same.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

#[test]
fn transactional_texts_overtake_everything() {
    let code = Text {
        class: MessageClass::Transactional,
        account: 2,
        campaign: 0,
        ..PLAIN
    };
    let mut queue = queue([PLAIN, PLAIN, code, PLAIN]);
    let first = take(&mut queue, PROVIDER, 1);
    assert_eq!(first[0].envelope.account, account(2));
}

#[test]
fn what_only_transactional_texts_may_use_is_used_by_them_first() {
    let code = Text {
        class: MessageClass::Transactional,
        campaign: 0,
        ..PLAIN
    };
    let mut waiting = queue([PLAIN, PLAIN, PLAIN, code, code, code]);
    let classes = |taken: Vec<Ready>| -> Vec<_> {
        let classes = taken.iter().map(|ready| ready.envelope.class);
        classes.collect()
    };
    let (transactional, marketing) = (MessageClass::Transactional, MessageClass::Marketing);
    let mut wanted = Wanted {
        any: 1,
        transactional: 2,
    };
    let mut next = |wanted: &mut Wanted| {
        let retries = &mut 0;
        classes(waiting.take(PROVIDER, wanted, &mut Room::default(), retries))
    };
    assert_eq!(next(&mut wanted), [transactional; 3]);
    assert!(wanted.is_nothing(), "{wanted:?}");
    wanted = Wanted {
        any: 2,
        transactional: 1,
    };
    assert_eq!(next(&mut wanted), [marketing; 2]);
    assert_eq!((wanted.any, wanted.transactional), (0, 1));
}

#[test]
fn a_lone_account_gets_all_of_it() {
    let mut queue = queue([PLAIN; 10]);
    assert_eq!(take(&mut queue, PROVIDER, 10).len(), 10);
    assert!(queue.is_empty());
}

#[test]
fn small_accounts_do_not_wait_for_a_large_one() {
    let large = (0..4_000).map(|_| PLAIN);
    let small = (2..=100).map(|account| Text { account, ..PLAIN });
    let mut queue = queue(large.chain(small));
    let got = pulled(&mut queue, 100);
    assert!(
        (1..=100).all(|number| got.get(&account(number)) == Some(&1)),
        "{got:?}"
    );
}

#[test]
fn campaigns_of_an_account_take_turns() {
    let first = (0..500).map(|_| PLAIN);
    let second = (0..10).map(|_| Text {
        campaign: 2,
        ..PLAIN
    });
    let single = [Text {
        campaign: 0,
        ..PLAIN
    }];
    let mut queue = queue(first.chain(second).chain(single));
    let taken = take(&mut queue, PROVIDER, 21);
    let of = |campaign: u8| {
        let id = (campaign > 0).then(|| CampaignId::from_bytes([campaign; 16]));
        taken
            .iter()
            .filter(|ready| ready.envelope.campaign == id)
            .count()
    };
    assert_eq!((of(0), of(1), of(2)), (1, 10, 10));
}

#[test]
fn a_campaign_goes_out_in_its_order() {
    let mut queue = queue((0..50).map(|place| Text {
        routes: 1 + 2 * (place % 2),
        ..PLAIN
    }));
    let taken = take(&mut queue, PROVIDER, 50);
    assert!(taken.is_sorted_by_key(|ready| ready.origin.position));
}

#[test]
fn who_waits_for_another_provider_holds_nobody_up() {
    let elsewhere = Text {
        routes: 1 << OTHER,
        ..PLAIN
    };
    let mut queue = queue([
        elsewhere,
        elsewhere,
        Text {
            account: 2,
            ..PLAIN
        },
    ]);
    assert_eq!(take(&mut queue, PROVIDER, 10).len(), 1);
    assert_eq!(take(&mut queue, OTHER, 10).len(), 2);
}

/// Two provider accounts that both own SLOW, their default sender, and FAST; SLOW may go once a
/// second at the first of them, and as fast as it likes at the other.
fn routing() -> Arc<Routing> {
    let limited = "{ number = \"SLOW\", rate = 1.0 }";
    let accounts = [("first", limited), ("other", "\"SLOW\"")].map(|(name, slow)| {
        let settings = format!(
            "name = \"{name}\"\nkind = \"twilio\"\nrate = 100.0\nsenders = [{slow}, \"FAST\"]\n\
             account_sid = \"AC0123456789abcdef0123456789abcdef\"\nauth_token = \"token\"\n"
        );
        let settings = toml::from_str(&settings).expect("settings");
        Arc::new(provider::open(&settings, None).expect("an account"))
    });
    Arc::new(Routing::new(&accounts))
}

/// What may leave at once, under the limits of all senders.
fn room_of_senders(routing: &Routing) -> Room {
    let limits = Limits::default();
    for (sender, _, rate) in routing.sender_rates(PROVIDER) {
        let pace = Pace::new(rate, None).expect("a rate");
        limits.set(sender, Some(pace), 0);
    }
    limits.room(0, 20_000)
}

/// How many of these texts, each from a sender or the default one, are taken at once.
fn taken_from(senders: &[Option<&str>], provider: usize) -> Vec<usize> {
    let routing = routing();
    let mut queue = ReadyQueue::new(Arc::clone(&routing));
    for (place, from) in (0..).zip(senders) {
        let mut ready = ready(place, PLAIN);
        ready.routes = routing.routes(*from, &[]);
        queue.push(ready);
    }
    let mut wanted = Wanted {
        any: 100,
        transactional: 0,
    };
    let room = &mut room_of_senders(&routing);
    let taken = queue.take(provider, &mut wanted, room, &mut { u32::MAX });
    let places = taken.iter().map(|ready| ready.origin.position as usize);
    places.collect()
}

#[test]
fn a_slow_sender_holds_nobody_up() {
    let (slow, fast) = (Some("SLOW"), Some("FAST"));
    let waiting = [slow, slow, fast, slow, fast, fast];
    assert_eq!(taken_from(&waiting, PROVIDER), [0, 2, 4, 5]);
    assert_eq!(taken_from(&waiting, OTHER), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_has_a_default_sender_is_under_its_limit() {
    let waiting = [None, Some("SLOW"), None, Some("FAST")];
    assert_eq!(taken_from(&waiting, PROVIDER), [0, 3]);
    assert_eq!(taken_from(&waiting, OTHER), [0, 1, 2, 3]);
}

#[test]
fn weights_are_shares() {
    let texts = (0..3_000).map(|place| Text {
        account: 1 + place as u8 % 3,
        ..PLAIN
    });
    let mut queue = queue(texts);
    queue.weigh(account(2), 2);
    queue.weigh(account(3), 3);
    let got = pulled(&mut queue, 600);
    for (number, share) in [(1, 100_u64), (2, 200), (3, 300)] {
        assert!(got[&account(number)].abs_diff(share) <= 1, "{got:?}");
    }
}

#[test]
fn further_attempts_without_a_budget_hold_nobody_up() {
    let retry = Text {
        attempt: 2,
        ..PLAIN
    };
    let other = Text {
        account: 2,
        ..PLAIN
    };
    let code = Text {
        class: MessageClass::Transactional,
        account: 3,
        ..retry
    };
    let mut queue = queue([retry, retry, PLAIN, other, code]);
    let mut take = |mut retries: u32| -> Vec<u64> {
        let mut wanted = Wanted {
            any: 3,
            transactional: 0,
        };
        let taken = queue.take(PROVIDER, &mut wanted, &mut Room::default(), &mut retries);
        taken.iter().map(|ready| ready.origin.position).collect()
    };
    assert_eq!(take(0), [2, 3]);
    assert_eq!(take(1), [4]);
    assert_eq!(take(1), [0]);
    assert_eq!(take(5), [1]);
}

fn text() -> impl Strategy<Value = Text> {
    let who = (any::<bool>(), 1_u8..6, 0_u8..3);
    (who, 1_u32..5, 1_u128..4, 1_u32..3).prop_map(
        |((is_code, account, campaign), segments, routes, attempt)| Text {
            class: if is_code {
                MessageClass::Transactional
            } else {
                MessageClass::Marketing
            },
            account,
            campaign,
            segments,
            routes,
            attempt,
        },
    )
}

proptest! {
    /// Whatever is pulled in between, everything comes out once, and by somebody who may, and
    /// no more further attempts than may.
    #[test]
    fn nothing_is_lost(
        texts in prop::collection::vec(text(), 1..200),
        pulls in prop::collection::vec((0_usize..2, 1_u32..20, 0_u32..4), 0..40),
    ) {
        let mut queue = queue(texts.iter().copied());
        let mut out = vec![0; texts.len()];
        let rest = [PROVIDER, OTHER].map(|provider| (provider, u32::MAX, u32::MAX));
        for (provider, any, budget) in pulls.into_iter().chain(rest) {
            let (mut wanted, mut left) = (Wanted { any, transactional: 0 }, budget);
            let taken = queue.take(provider, &mut wanted, &mut Room::default(), &mut left);
            let retries = taken.iter().filter(|ready| ready.is_retry()).count();
            prop_assert_eq!(u32::try_from(retries).expect("few"), budget - left);
            for ready in taken {
                prop_assert!(ready.routes.contains(provider));
                out[ready.origin.position as usize] += 1;
            }
        }
        prop_assert!(queue.is_empty());
        prop_assert!(out.iter().all(|times| *times == 1));
    }

    /// Accounts that wait all the time get the same for their weight, also where their
    /// texts differ in length and their campaigns in number.
    #[test]
    fn backlogged_accounts_share_fairly(
        accounts in prop::collection::vec((1_u32..5, 1_u32..4, 1_u8..4), 2..12),
        pull in 1_u32..40,
    ) {
        let each = 400;
        let texts = (0..each).flat_map(|place| {
            let accounts = accounts.iter().enumerate();
            accounts.map(move |(number, (_, segments, campaigns))| Text {
                account: 1 + number as u8,
                campaign: 1 + place as u8 % campaigns,
                segments: *segments,
                ..PLAIN
            })
        });
        let mut queue = queue(texts);
        for (number, (weight, ..)) in accounts.iter().enumerate() {
            queue.weigh(account(1 + number as u8), *weight);
        }
        let mut got = vec![0.0; accounts.len()];
        let mut total = 0;
        // Half of what the heaviest account has, so that all wait to the end.
        while total < each / 2 {
            for ready in take(&mut queue, PROVIDER, pull) {
                let number = usize::from(ready.envelope.account.as_bytes()[0]) - 1;
                got[number] += f64::from(ready.envelope.segments) / f64::from(accounts[number].0);
                total += 1;
            }
        }
        let index = jain(&got);
        prop_assert!(index >= 0.98, "{index}: {got:?}");
    }
}
