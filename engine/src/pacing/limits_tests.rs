//! What limits of accounts, campaigns and senders promise, whoever sends.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use schemas::secret::Body;
use schemas::{
    AccountId, CampaignId, Encoding, Envelope, MessageClass, MessageId, Phone, UnixMicros,
};

use super::{Limited, Limits, Share};
use crate::pacing::sliding::most_in_any_window;
use crate::pacing::{Limiter, Pace, SendStamp, Wait};

const SECOND: u64 = 1_000_000;

/// How far ahead work is given out.
const AHEAD: u64 = 20_000;

fn account() -> AccountId {
    AccountId::from_bytes([1; 16])
}

fn campaign(number: u8) -> CampaignId {
    CampaignId::from_bytes([number; 16])
}

fn envelope(of: u8, segments: u32) -> Envelope {
    let to = Phone::from_e164("+14152000001".to_owned()).expect("a number");
    Envelope {
        account: account(),
        id: MessageId::new(UnixMicros(0), to.slice(), [0; 8]),
        campaign: (of > 0).then(|| campaign(of)),
        contact: None,
        to,
        from: None,
        body: Body::new("text"),
        class: MessageClass::Marketing,
        provider: None,
        send_at: None,
        valid_until: UnixMicros(i64::MAX),
        encoding: Encoding::Gsm7,
        segments,
        created_at: UnixMicros(0),
    }
}

fn pace(rate: f64) -> Pace {
    Pace::new(rate, None).expect("a rate")
}

fn limited(limits: &Limits, of: u8, rate: f64) {
    limits.set(Limited::Campaign(campaign(of)), Some(pace(rate)), 0);
}

/// A provider account that takes anything.
fn free(now: u64) -> impl FnOnce() -> Result<SendStamp, Wait> {
    move || {
        Ok(SendStamp {
            at: now,
            segments: 1,
        })
    }
}

#[test]
fn who_has_no_limit_has_room_and_leave() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let room = limits.room(0, AHEAD);
    assert!(room.is_for(Limited::Campaign(campaign(2))));
    let mut share = limits.give(&envelope(2, 1), None);
    for now in 0..1_000 {
        assert!(share.try_acquire(now, free(now)).is_ok());
    }
}

#[test]
fn what_was_given_out_takes_room_until_it_is_back() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let of = Limited::Campaign(campaign(1));
    assert!(limits.room(0, AHEAD).is_for(of));
    let share = limits.give(&envelope(1, 1), None);
    assert!(!limits.room(0, AHEAD).is_for(of));
    drop(share);
    assert!(limits.room(0, AHEAD).is_for(of));
}

#[test]
fn room_comes_back_with_the_permit_and_no_sooner() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let of = Limited::Campaign(campaign(1));
    let mut share = limits.give(&envelope(1, 1), None);
    share
        .try_acquire(0, free(0))
        .expect("the first leaves at once");
    assert!(!limits.room(0, AHEAD).is_for(of));
    let next = limits.next_room(0, AHEAD).expect("it has none");
    assert_eq!(next, SECOND - AHEAD);
    assert!(!limits.room(next - 1, AHEAD).is_for(of));
    assert!(limits.room(next, AHEAD).is_for(of));
}

#[test]
fn a_provider_account_that_refuses_costs_the_campaign_nothing() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let mut share = limits.give(&envelope(1, 1), None);
    let refused = share.try_acquire(0, || Err(Wait { until: 5 }));
    assert_eq!(refused, Err(Wait { until: 5 }));
    assert!(share.try_acquire(5, free(5)).is_ok());
}

#[test]
fn a_limit_is_not_asked_when_the_campaign_lets_it_wait() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let mut shares: Vec<Share> = (0..2).map(|_| limits.give(&envelope(1, 1), None)).collect();
    shares[0].try_acquire(0, free(0)).expect("the first");
    let asked = shares[1].try_acquire(1, || panic!("the account's permit would be lost"));
    assert_eq!(asked, Err(Wait { until: SECOND }));
    assert_eq!(shares[1].ready_at(1), SECOND);
}

#[test]
fn an_account_and_its_campaign_are_both_asked() {
    let limits = Limits::default();
    limited(&limits, 1, 100.0);
    limits.set(Limited::Account(account()), Some(pace(1.0)), 0);
    let mut first = limits.give(&envelope(1, 1), None);
    let mut single = limits.give(&envelope(0, 1), None);
    first.try_acquire(0, free(0)).expect("both let it go");
    assert_eq!(single.try_acquire(0, free(0)), Err(Wait { until: SECOND }));
}

#[test]
fn a_sender_of_each_provider_account_has_a_limit_of_its_own() {
    let limits = Limits::default();
    let senders = [(0, 1), (0, 2), (1, 1)].map(|(provider, sender)| {
        let limited = Limited::Sender { provider, sender };
        limits.set(limited, Some(pace(1.0)), 0);
        limited
    });
    for sender in senders {
        let mut shares = [0, 1].map(|_| limits.give(&envelope(1, 1), Some(sender)));
        shares[0]
            .try_acquire(0, free(0))
            .expect("the first leaves at once");
        let second = shares[1].try_acquire(0, free(0));
        assert_eq!(second, Err(Wait { until: SECOND }));
        drop(shares);
        assert!(!limits.room(0, AHEAD).is_for(sender));
    }
    let mut from_another = limits.give(&envelope(1, 1), None);
    assert!(from_another.try_acquire(0, free(0)).is_ok());
}

#[test]
fn whoever_lets_it_wait_costs_the_others_nothing() {
    let limits = Limits::default();
    let sender = Limited::Sender {
        provider: 0,
        sender: 0,
    };
    limited(&limits, 1, 1.0);
    limits.set(Limited::Account(account()), Some(pace(1.0)), 0);
    limits.set(sender, Some(pace(0.5)), 0);
    let mut first = limits.give(&envelope(0, 1), Some(sender));
    first.try_acquire(0, free(0)).expect("all let it go");
    let mut waits = limits.give(&envelope(1, 1), Some(sender));
    let refused = waits.try_acquire(SECOND, free(SECOND));
    assert_eq!(refused, Err(Wait { until: 2 * SECOND }));
    // The permits of account and campaign are there for the next from another sender.
    let mut next = limits.give(&envelope(1, 1), None);
    assert!(next.try_acquire(SECOND, free(SECOND)).is_ok());
}

#[test]
fn a_process_that_was_just_started_rests() {
    let limits = Limits::default();
    let of = Limited::Campaign(campaign(1));
    limits.resume(of, Some(pace(2.0)), 0, 4);
    let mut share = limits.give(&envelope(1, 1), None);
    assert_eq!(
        share.try_acquire(0, free(0)),
        Err(Wait { until: 2 * SECOND })
    );
}

#[test]
fn a_limit_that_is_set_later_holds_for_what_was_given_out() {
    let limits = Limits::default();
    let mut shares: Vec<Share> = (0..2).map(|_| limits.give(&envelope(1, 1), None)).collect();
    limited(&limits, 1, 1.0);
    assert!(shares[0].try_acquire(0, free(0)).is_ok());
    assert_eq!(
        shares[1].try_acquire(0, free(0)),
        Err(Wait { until: SECOND })
    );
}

#[test]
fn a_limit_that_is_lifted_holds_nothing_back() {
    let limits = Limits::default();
    limited(&limits, 1, 1.0);
    let of = Limited::Campaign(campaign(1));
    let mut shares: Vec<Share> = (0..3).map(|_| limits.give(&envelope(1, 1), None)).collect();
    limits.set(of, None, 0);
    for share in &mut shares {
        assert!(share.try_acquire(0, free(0)).is_ok());
    }
    drop(shares);
    // What was given out before does not count against a new one.
    limited(&limits, 1, 1.0);
    assert!(limits.room(0, AHEAD).is_for(of));
}

proptest! {
    /// However many provider accounts carry a campaign, and however late they are, no window
    /// holds more than its limit, and what is given out never piles up.
    #[test]
    fn no_window_holds_more(
        rate in 0.5_f64..200.0,
        segments in prop::collection::vec(1_u32..4, 200),
        delays in prop::collection::vec(0_u64..30_000, 200),
        providers in 1_usize..4,
    ) {
        let limits = Limits::default();
        limited(&limits, 1, rate);
        let of = Limited::Campaign(campaign(1));
        let pace = pace(rate);
        let mut own: Vec<_> = (0..providers).map(|_| Limiter::new(pace, 0)).collect();
        let mut lines: Vec<VecDeque<(u64, Share, u32)>> =
            (0..providers).map(|_| VecDeque::new()).collect();
        let mut stamps: Vec<(u64, u32)> = Vec::new();
        let (mut next, mut now) = (0, 0);
        while next < segments.len() || lines.iter().any(|line| !line.is_empty()) {
            now += 1_000;
            while next < segments.len() && limits.room(now, AHEAD).is_for(of) {
                let share = limits.give(&envelope(1, segments[next]), None);
                lines[next % providers].push_back((now + delays[next], share, segments[next]));
                next += 1;
            }
            for (line, own) in lines.iter_mut().zip(&mut own) {
                while let Some((from, share, segments)) = line.front_mut()
                    && *from <= now
                    && share.try_acquire(now, || own.try_acquire(now, *segments)).is_ok()
                {
                    stamps.push((now, *segments));
                    line.pop_front();
                }
            }
            let given: u64 = limits.limits()[&of].given;
            let ahead = rate * AHEAD as f64 / SECOND as f64;
            prop_assert!(given as f64 <= ahead + f64::from(pace.burst()) + 6.0, "{given}");
        }
        for (place, (from, _)) in stamps.iter().enumerate() {
            let window = stamps[place..].iter();
            let window = window.take_while(|(at, _)| at - from < pace.window_micros());
            let texts: Vec<u32> = window.map(|(_, segments)| *segments).collect();
            let sum: u32 = texts.iter().sum();
            // A text that is larger than the count leaves alone.
            prop_assert!(sum <= pace.segments_in_window() || texts.len() == 1, "{texts:?}");
        }
        prop_assert_eq!(limits.limits()[&of].given, 0);
    }

    /// Texts of several accounts, campaigns and senders, each with a limit: no window of any of
    /// them holds more, and all of them leave.
    #[test]
    fn limits_compose(
        rates in prop::collection::vec(0.8_f64..60.0, 6),
        texts in prop::collection::vec((0_u8..3, 0_u16..2, 1_u32..3), 60),
    ) {
        let limits = Limits::default();
        let sender = |sender: u16| Limited::Sender { provider: 0, sender };
        let campaign = |of| Limited::Campaign(campaign(of));
        let whom = [Limited::Account(account()), campaign(1), campaign(2), sender(0), sender(1)];
        for (who, rate) in whom.iter().zip(&rates) {
            limits.set(*who, Some(pace(*rate)), 0);
        }
        let mut own = Limiter::new(pace(rates[5]), 0);
        let mut waiting: Vec<_> = texts
            .iter()
            .map(|(of, from, segments)| {
                let envelope = envelope(*of, *segments);
                let share = limits.give(&envelope, Some(sender(*from)));
                (super::over(&envelope, Some(sender(*from))), share, *segments)
            })
            .collect();
        let mut stamps: BTreeMap<Limited, Vec<(u64, u32)>> = BTreeMap::new();
        let mut now = 0;
        while !waiting.is_empty() {
            prop_assert!(now < 1_000 * SECOND, "{} wait for ever", waiting.len());
            let mut next = u64::MAX;
            waiting.retain_mut(|(over, share, segments)| {
                let taken = share.try_acquire(now, || own.try_acquire(now, *segments));
                match taken {
                    Ok(_) => {
                        for who in over.iter().flatten() {
                            stamps.entry(*who).or_default().push((now, *segments));
                        }
                    }
                    Err(wait) => next = next.min(wait.until),
                }
                taken.is_err()
            });
            now = next.max(now + 1);
        }
        for (who, rate) in whom.iter().zip(&rates) {
            let pace = pace(*rate);
            let stamps = stamps.remove(who).unwrap_or_default();
            let most = most_in_any_window(stamps, pace.window_micros());
            // A text that is larger than the count leaves alone.
            let allowed = u64::from(pace.segments_in_window().max(2));
            prop_assert!(most <= allowed, "{who:?}: {most} at {rate}");
        }
    }
}
