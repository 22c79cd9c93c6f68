//! Whether each provider was sent what it allows: never more, and while work waits
//! hardly less.
//!
//! Two clocks tell: our send stamps, which say what we intended, and the arrivals in the
//! sandbox's book. What arrives while the sandbox itself stands still gets a late stamp,
//! and the texts behind it bunch up; seconds around such a stall say nothing about us
//! and are left out.

use std::collections::BTreeMap;

use engine::pacing::sliding::most_in_any_second;
use sandbox::book::Record;
use serde::Serialize;

const MICROS_PER_SECOND: u64 = 1_000_000;
/// Stalls of the sandbox from this length on count, in microseconds.
const LONG_STALL: u64 = 5_000;
/// Shorter stretches of waiting work tell nothing of a rate, in microseconds.
const SHORTEST_STRETCH: u64 = MICROS_PER_SECOND;

/// One provider account.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PacingRow {
    /// What the settings call it.
    pub provider: String,
    /// What it may be sent, in `unit`.
    pub limit: f64,
    /// `segments/s`
    pub unit: &'static str,
    /// The most segments in any sliding second by our send stamps; null when no stamp is
    /// known.
    pub most_in_any_second: Option<u64>,
    /// The same by arrivals, in seconds without a stall of the sandbox of 5 ms or more;
    /// null when less than half of the texts arrived in such seconds.
    pub arrived_in_any_second: Option<u64>,
    /// The share of the limit that was sent while work waited, from 0 to 1; null when
    /// that was for less than a second.
    pub used: Option<f64>,
}

/// One send stamp of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendStamp {
    /// Microseconds since 1970.
    pub at: u64,
    /// Segments of the text.
    pub segments: u32,
    /// Whether it was the message's first attempt: those leave as fast as they may.
    pub first: bool,
}

/// The arrivals in a book.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Microseconds since 1970 and segments of every text that came, taken or not, by
    /// the account's id at the sandbox.
    by_account: BTreeMap<String, Vec<(u64, u32)>>,
    /// From and to when the sandbox's word on time is not good.
    stalls: Vec<(u64, u64)>,
}

impl Arrivals {
    /// Takes in one record of the book.
    pub fn read(&mut self, record: &Record<'_>) {
        match record {
            Record::Text(text) => {
                if !self.by_account.contains_key(text.account.as_ref()) {
                    self.by_account.insert(text.account.to_string(), Vec::new());
                }
                if let Some(arrivals) = self.by_account.get_mut(text.account.as_ref()) {
                    arrivals.push((text.at, text.segments));
                }
            }
            // What waited during a stall arrives, at most, for as long after it.
            Record::Stall(stall) if stall.length_us >= LONG_STALL => {
                self.stalls.push((stall.at, stall.at + 2 * stall.length_us));
            }
            Record::Stall(_) | Record::Start(_) | Record::Receipt(_) | Record::Stop(_) => {}
        }
    }

    /// The most segments that came for an account in any sliding second without a long
    /// stall; `None` when less than half of its texts came in such seconds, for then
    /// the figure would say little of the rest.
    pub fn most_in_any_second(&self, account: &str) -> Option<u64> {
        let arrivals = self.by_account.get(account).map_or(&[][..], Vec::as_slice);
        let (mut most, mut judged) = (0, 0);
        for (from, to) in calm_stretches(&self.stalls) {
            let inside = |(at, _): &&(u64, u32)| (from..to).contains(at);
            let stamps: Vec<_> = arrivals.iter().filter(inside).copied().collect();
            judged += stamps.len();
            most = most.max(most_in_any_second(stamps));
        }
        (most > 0 && 2 * judged >= arrivals.len()).then_some(most)
    }
}

/// The times between stalls that hold a whole second.
fn calm_stretches(stalls: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut stalls = stalls.to_vec();
    stalls.sort_unstable();
    stalls.push((u64::MAX, u64::MAX));
    let (mut calm, mut calm_from) = (Vec::new(), 0);
    for (from, to) in stalls {
        if from.saturating_sub(calm_from) >= MICROS_PER_SECOND {
            calm.push((calm_from, from));
        }
        calm_from = calm_from.max(to);
    }
    calm
}

/// The row of one account. `since` leaves out what an earlier process sent, and
/// `waiting_until` is when the last first attempt of any account left: until then there
/// was work for all of them. Both in microseconds since 1970.
pub fn row(
    provider: &str,
    limit: f64,
    stamps: &[SendStamp],
    arrived_in_any_second: Option<u64>,
    since: u64,
    waiting_until: u64,
) -> PacingRow {
    let all = stamps.iter().map(|stamp| (stamp.at, stamp.segments));
    PacingRow {
        provider: provider.to_owned(),
        limit,
        unit: "segments/s",
        most_in_any_second: (!stamps.is_empty()).then(|| most_in_any_second(all)),
        arrived_in_any_second,
        used: used(limit, stamps, since, waiting_until),
    }
}

/// From the first stamp on, up to and without the last instant: what leaves then is paid
/// for by the time behind it.
fn used(limit: f64, stamps: &[SendStamp], since: u64, until: u64) -> Option<f64> {
    let inside = |stamp: &&SendStamp| (since..until).contains(&stamp.at);
    let first = stamps.iter().filter(inside).filter(|stamp| stamp.first);
    let from = first.map(|stamp| stamp.at).min()?;
    let inside = |stamp: &&SendStamp| (from..until).contains(&stamp.at);
    let length = until - from;
    let segments: u64 = stamps
        .iter()
        .filter(inside)
        .map(|stamp| u64::from(stamp.segments))
        .sum();
    let allowed = limit * length as f64 / MICROS_PER_SECOND as f64;
    let used = (segments as f64 / allowed).min(1.0);
    // Four digits: a hundredth of a per cent.
    (length >= SHORTEST_STRETCH).then(|| (used * 10_000.0).round() / 10_000.0)
}

/// When the last first attempt of any account left, in microseconds since 1970.
pub fn waiting_until<'a>(stamps: impl IntoIterator<Item = &'a SendStamp>) -> u64 {
    let first = stamps.into_iter().filter(|stamp| stamp.first);
    first.map(|stamp| stamp.at).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, PacingRow, SendStamp, calm_stretches, row, waiting_until};
    use sandbox::book::{Record, StallRecord};

    fn every(step: u64, count: u64) -> Vec<SendStamp> {
        (0..count)
            .map(|n| SendStamp {
                at: 7 + n * step,
                segments: 1,
                first: true,
            })
            .collect()
    }

    #[test]
    fn a_steady_stream_uses_its_limit() {
        let mut stamps = every(10_000, 501);
        // A retry long after the rest is no part of the stretch, but a stamp.
        stamps.push(SendStamp {
            at: 60_000_000,
            segments: 1,
            first: false,
        });
        let until = waiting_until(&stamps);
        assert_eq!(until, 5_000_007);
        let expected = PacingRow {
            provider: "a".to_owned(),
            limit: 100.0,
            unit: "segments/s",
            most_in_any_second: Some(100),
            arrived_in_any_second: Some(3),
            used: Some(1.0),
        };
        assert_eq!(row("a", 100.0, &stamps, Some(3), 0, until), expected);
        let half = row("a", 200.0, &stamps, None, 0, until).used;
        assert!(
            half.is_some_and(|used| (used - 0.5).abs() < 0.001),
            "{half:?}"
        );
    }

    #[test]
    fn what_an_earlier_process_sent_is_not_used_time() {
        let stamps = every(10_000, 501);
        let until = waiting_until(&stamps);
        let late = row("a", 100.0, &stamps, None, 3_000_000, until);
        assert_eq!(late.most_in_any_second, Some(100));
        assert!(late.used.is_some_and(|used| used > 0.99));
        assert_eq!(row("a", 100.0, &stamps, None, 4_500_000, until).used, None);
        assert_eq!(row("a", 100.0, &[], None, 0, 0).most_in_any_second, None);
    }

    #[test]
    fn seconds_around_a_stall_are_left_out() {
        let calm = calm_stretches(&[
            (1_450_000, 1_650_000),
            (1_500_000, 1_500_001),
            (2_600_000, 2_700_000),
            (3_700_000, 3_700_000),
        ]);
        let edges = [
            (0, 1_450_000),
            (2_700_000, 3_700_000),
            (3_700_000, u64::MAX),
        ];
        assert_eq!(calm, edges);

        let arrivals: Vec<(u64, u32)> = (0..30).map(|n| (n * 100_000, 1)).collect();
        let mut book = Arrivals::default();
        book.by_account.insert("AC1".to_owned(), arrivals);
        assert_eq!(book.most_in_any_second("AC1"), Some(10));
        assert_eq!(book.most_in_any_second("AC2"), None);
        let stall = |at, length_us| {
            Record::Stall(StallRecord {
                at,
                length_us,
                who: "process".into(),
            })
        };
        book.read(&stall(0, 4_999));
        assert_eq!(book.most_in_any_second("AC1"), Some(10));
        // Calm from 1.5 s on: half of the arrivals, in windows that are full.
        book.read(&stall(500_000, 500_000));
        assert_eq!(book.most_in_any_second("AC1"), Some(10));
        // Calm from 1.6 s on: less than half.
        book.read(&stall(1_500_000, 50_000));
        assert_eq!(book.most_in_any_second("AC1"), None);
    }
}
