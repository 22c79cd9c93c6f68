//! What owners that divide a limit promise together, each with a clock and a limiter of its own.

use std::collections::VecDeque;

use proptest::prelude::*;
use schemas::limit::LimitDivision;
use schemas::{PartitionCount, PartitionRange};

use super::division::{Division, TURN_MICROS};
use super::{Limiter, Pace};

/// How often an owner looks at the row.
const TICK: u64 = 250_000;

/// An owner: what it knows, its limiter, and what it is about to write.
struct Owner {
    range: PartitionRange,
    division: Division,
    limiter: Limiter,
    writes: Option<LimitDivision>,
    waits: bool,
}

impl Owner {
    fn new(range: PartitionRange, born: u64, limit: f64, now: u64) -> Self {
        let pace = Pace::new(limit, None).expect("a rate");
        let mut limiter = Limiter::new(pace, now);
        limiter.resume_after(now, now + pace.hold_micros(24));
        limiter.close();
        Self {
            range,
            division: Division::new(range, born, limit),
            limiter,
            writes: None,
            waits: true,
        }
    }

    fn obey(&mut self, now: u64) {
        let allowed = self.division.allowed(now);
        if allowed > 0.0 {
            self.limiter
                .set_pace(now, Pace::new(allowed, None).expect("a rate"));
            self.limiter.open();
        } else {
            self.limiter.close();
        }
    }

    fn read(&mut self, row: Option<&LimitDivision>, now: u64) {
        self.division.wait(self.waits);
        if self.division.looks(now) {
            self.division.know(row.cloned(), "one", now);
            self.obey(now);
            self.writes = self.division.next(self.limiter.settled_at(), now);
        }
    }

    fn write(&mut self, row: &mut Option<LimitDivision>, now: u64) {
        let Some(next) = self.writes.take() else {
            return;
        };
        let version = row.as_ref().map_or(0, |row| row.version);
        if next.version == version {
            *row = Some(LimitDivision {
                version: version + 1,
                ..next
            });
        }
        self.division.know(row.clone(), "one", now);
        self.obey(now);
    }
}

/// What happens to an owner at one step of 50 ms.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    /// It hears of the newest limit.
    Hears,
    /// It wants to send, or not.
    Wants(bool),
    /// Another takes its place.
    Dies,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => Just(Event::Nothing),
        2 => Just(Event::Hears),
        1 => any::<bool>().prop_map(Event::Wants),
        1 => Just(Event::Dies),
    ]
}

fn ranges(bits: u16) -> Vec<PartitionRange> {
    let count = |bits: u16| PartitionCount::new(1 << bits).expect("a power of two");
    PartitionRange::divide(count(4), count(bits)).collect()
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![
        0.5..10.0_f64,
        10.0..60.0_f64,
        47.0..49.0_f64,
        60.0..200.0_f64
    ]
    .prop_map(|rate| (rate * 10.0).round() / 10.0)
}

proptest! {
    #[test]
    fn all_together_keep_the_limit(
        bits in 1_u16..3,
        limits in prop::collection::vec(rate(), 1..4),
        events in prop::collection::vec((event(), 0_usize..4, 1_u32..4), 400),
    ) {
        let ranges = ranges(bits);
        let mut row = None;
        let mut owners: Vec<_> = (ranges.iter().zip(1..))
            .map(|(range, born)| Owner::new(*range, born, limits[0], 0))
            .collect();
        let (mut born, mut stamps) = (100, VecDeque::new());
        let most = limits.iter().copied().fold(0.0, f64::max);
        for (step, (event, whom, segments)) in events.into_iter().enumerate() {
            let now = step as u64 * 50_000;
            let newest = limits[step * limits.len() / 400];
            let count = owners.len();
            let owner = &mut owners[whom % count];
            match event {
                Event::Nothing => {}
                Event::Hears => {
                    owner.division.hear(newest, now);
                    owner.obey(now);
                }
                Event::Wants(waits) => owner.waits = waits,
                Event::Dies => {
                    born += 1;
                    *owner = Owner::new(owner.range, born, newest, now);
                }
            }
            for (place, owner) in owners.iter_mut().enumerate() {
                match (step as u64 * 50_000 + place as u64 * 50_000) % TICK {
                    0 => owner.read(row.as_ref(), now),
                    50_000 => owner.write(&mut row, now),
                    _ => {}
                }
                while owner.waits && owner.limiter.try_acquire(now, segments).is_ok() {
                    stamps.push_back((now, segments));
                }
            }
            // Any second, by the largest limit that was ever heard of: in a window that no change
            // lies in, the limiters themselves keep the rest.
            while stamps.front().is_some_and(|(at, _)| at + 1_000_000 <= now) {
                stamps.pop_front();
            }
            let sent: u32 = stamps.iter().map(|(_, segments)| segments).sum();
            let texts = stamps.len();
            let fits = f64::from(sent) <= most.ceil() || texts == 1;
            prop_assert!(fits, "{sent} segments by {now} µs, limits {limits:?}, {row:?}");
        }
    }

    #[test]
    fn each_has_its_turn_and_all_of_the_limit(bits in 1_u16..3, limit in 1..20_u32) {
        let seconds = 40 << bits;
        let sent = in_turns(bits, &[limit.into()], seconds);
        let all: u32 = sent.iter().sum();
        let part = f64::from(all) / f64::from(limit * seconds);
        prop_assert!(part > 0.8, "{part} of the limit: {sent:?}");
        // Each has three turns at least that lie in this time as a whole.
        let turn = f64::from(limit) * TURN_MICROS as f64 / 1e6;
        prop_assert!(sent.iter().all(|sent| f64::from(*sent) > 2.5 * turn), "{sent:?}");
    }

    #[test]
    fn each_has_its_turn_at_several_limits_at_once(
        bits in 1_u16..3,
        limits in prop::collection::vec(3..200_u32, 2..4),
    ) {
        let limits: Vec<_> = limits.into_iter().map(|tenths| f64::from(tenths) / 10.0).collect();
        let seconds = 120 << bits;
        let sent = in_turns(bits, &limits, seconds);
        let all: u32 = sent.iter().sum();
        let slowest = limits.iter().copied().fold(f64::MAX, f64::min);
        let part = f64::from(all) / (slowest * f64::from(seconds));
        prop_assert!(part > 0.4, "{part} of the slowest of {limits:?}: {sent:?}");
        let owners = sent.len() as u32;
        prop_assert!(sent.iter().all(|sent| *sent >= all / owners / 2), "{sent:?}");
    }
}

/// How much each owner sends in so many seconds, if all have work all the time that comes under all
/// of these limits.
fn in_turns(bits: u16, limits: &[f64], seconds: u32) -> Vec<u32> {
    let mut rows = vec![None; limits.len()];
    let mut turn_row = None;
    let mut owners: Vec<_> = (ranges(bits).into_iter().zip(1..))
        .map(|(range, born)| {
            let limits = limits
                .iter()
                .map(|limit| Owner::new(range, born, *limit, 0));
            (Turn::new(range, born), limits.collect::<Vec<_>>())
        })
        .collect();
    let mut sent = vec![0; owners.len()];
    // Until then they rest for the largest text that an owner before them may have sent.
    let from = limits
        .iter()
        .copied()
        .fold(0.0, |from, limit| (25e6 / limit).max(from)) as u64;
    for now in (0..from + u64::from(seconds) * 1_000_000).step_by(10_000) {
        for (place, (turn, limits)) in owners.iter_mut().enumerate() {
            if (now + 30_000 * place as u64).is_multiple_of(TICK) {
                turn.look(&mut turn_row, now);
                for (row, limit) in rows.iter_mut().zip(limits.iter_mut()) {
                    limit.division.is_turn_of(turn.0.whose(), now);
                    limit.read(row.as_ref(), now);
                    limit.write(row, now);
                }
            }
            while limits
                .iter()
                .all(|limit| limit.limiter.earliest(now, 1) <= now)
            {
                for limit in limits.iter_mut() {
                    limit.limiter.try_acquire(now, 1).expect("it was looked at");
                }
                sent[place] += u32::from(now >= from);
            }
        }
    }
    sent
}

/// An owner's part of the turn, for which it waits all the time.
struct Turn(Division);

impl Turn {
    fn new(range: PartitionRange, born: u64) -> Self {
        let mut division = Division::turn(range, born);
        division.wait(true);
        Self(division)
    }

    fn look(&mut self, row: &mut Option<LimitDivision>, now: u64) {
        self.0.know(row.clone(), "turn", now);
        if let Some(next) = self.0.next(0, now) {
            let version = next.version + 1;
            *row = Some(LimitDivision { version, ..next });
            self.0.know(row.clone(), "turn", now);
        }
    }
}

#[test]
fn a_limit_that_nobody_else_wants_is_had_at_once() {
    let ranges = ranges(1);
    let mut row = None;
    let mut owners: Vec<_> = (ranges.iter().zip(1..))
        .map(|(range, born)| Owner::new(*range, born, 10.0, 0))
        .collect();
    owners[0].waits = false;
    for (owner, now) in [(1, 0), (0, 1), (1, 2_500_000)] {
        owners[owner].read(row.as_ref(), now);
        owners[owner].write(&mut row, now);
    }
    assert!(owners[1].limiter.try_acquire(2_500_000, 1).is_ok());
    // Then the other does, and has it as soon as the last text is a second old.
    (owners[0].waits, owners[1].waits) = (true, false);
    let mut now = 2_500_000;
    while owners[0].limiter.try_acquire(now, 1).is_err() {
        assert!(now < 4_100_000, "{row:?}");
        now += TICK;
        for owner in &mut owners {
            owner.read(row.as_ref(), now);
            owner.write(&mut row, now);
        }
    }
    assert!(now >= 3_500_000);
}

/// A range, its owner, and the row of a small limit that this has.
fn had_by_one() -> (PartitionRange, Owner, Option<LimitDivision>) {
    let (range, mut row) = (ranges(1)[0], None);
    let mut first = Owner::new(range, 1, 10.0, 0);
    first.read(None, 0);
    first.write(&mut row, 0);
    (range, first, row)
}

#[test]
fn what_an_owner_had_that_is_gone_is_given_back_though_the_next_wants_nothing() {
    let (range, _, mut row) = had_by_one();
    let mut second = Owner::new(range, 2, 10.0, 0);
    second.waits = false;
    second.read(row.as_ref(), 0);
    // Another owner wrote the row meanwhile.
    if let Some(row) = &mut row {
        row.version += 1;
        row.parts[1].waits = true;
    }
    for now in [0, 3_000_000, 6_000_000] {
        second.write(&mut row, now);
        second.read(row.as_ref(), now);
    }
    second.write(&mut row, 6_000_000);
    let row = row.expect("a row");
    assert_eq!((row.turn, row.parts[0].rate_millionths), (1, 0));
}

#[test]
fn whoever_was_replaced_uses_nothing_more() {
    let (range, mut first, mut row) = had_by_one();
    assert!(!first.division.is_anothers() && first.division.allowed(0) > 0.0);
    let mut second = Owner::new(range, 2, 10.0, 0);
    second.read(row.as_ref(), 0);
    assert!(second.division.is_anothers() && second.division.allowed(0) == 0.0);
    second.write(&mut row, 0);
    assert!(!second.division.is_anothers() && second.division.allowed(0) > 0.0);
    first.read(row.as_ref(), 0);
    assert!(first.division.is_anothers() && first.division.allowed(0) == 0.0);
}
