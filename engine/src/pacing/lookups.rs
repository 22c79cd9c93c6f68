//! When a message is asked about whose fate the provider has not told.
//!
//! Receipts come by themselves where the provider can reach us; then a look-up is only the net
//! under them. Without a public address the look-ups *are* the receipts and start early: most
//! texts are delivered within seconds. An unknown attempt is settled soon or not at all, because
//! providers list a text within seconds of taking it.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// With a public address, in seconds: a phone that is on and its carrier answer within a
/// minute. Asking sooner would ask about most texts of a campaign while their
/// receipts are on the way, at a tenth of the rate that texts need.
const RECEIPTS_EXPECTED: [u64; 5] = [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY];

/// Without a public address, in seconds.
const NO_RECEIPTS: [u64; 8] = [3, 10, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY];

/// For an attempt whose outcome is unknown, in seconds.
const UNKNOWN_ATTEMPT: [u64; 5] = [3, 15, MINUTE, 5 * MINUTE, HOUR];

/// A fixed table of delays between look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupSchedule {
    seconds: &'static [u64],
    last_repeats: bool,
}

impl LookupSchedule {
    /// For accepted messages where the provider can reach our public address: 1 min, 10 min,
    /// 1 h, 6 h, then every 24 h.
    pub fn receipts_expected() -> Self {
        Self {
            seconds: &RECEIPTS_EXPECTED,
            last_repeats: true,
        }
    }

    /// For accepted messages where no receipt can reach us: 3 s, 10 s, 30 s, 2 min, 10 min, 1 h,
    /// 6 h, then every 24 h.
    pub fn no_receipts() -> Self {
        Self {
            seconds: &NO_RECEIPTS,
            last_repeats: true,
        }
    }

    /// For attempts with an unknown outcome: 3 s, 15 s, 60 s, 5 min, 1 h, then never again.
    pub fn unknown_attempt() -> Self {
        Self {
            seconds: &UNKNOWN_ATTEMPT,
            last_repeats: false,
        }
    }

    /// How long it takes at least until nothing is asked any more; `None` where that never ends.
    pub fn lasts(&self) -> Option<Duration> {
        let seconds = self.seconds.iter().sum();
        (!self.last_repeats).then(|| Duration::from_secs(seconds))
    }

    /// How long to wait before look-up `n`, counted from 0: since the submission for the first,
    /// since the look-up before it for the others. `None` when there are no more.
    pub fn nth(&self, n: u32) -> Option<Duration> {
        let last = if self.last_repeats {
            self.seconds.last()
        } else {
            None
        };
        let index = usize::try_from(n).ok()?;
        self.seconds
            .get(index)
            .or(last)
            .map(|seconds| Duration::from_secs(*seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::LookupSchedule;
    use std::time::Duration;

    fn seconds(schedule: LookupSchedule, upto: u32) -> Vec<Option<u64>> {
        (0..upto)
            .map(|n| schedule.nth(n).map(|delay| delay.as_secs()))
            .collect()
    }

    #[test]
    fn the_tables_are_as_documented() {
        let expected = [60, 600, 3_600, 21_600, 86_400, 86_400, 86_400].map(Some);
        assert_eq!(seconds(LookupSchedule::receipts_expected(), 7), expected);
        let expected = [3, 10, 30, 120, 600, 3_600, 21_600, 86_400, 86_400].map(Some);
        assert_eq!(seconds(LookupSchedule::no_receipts(), 9), expected);
        let expected = [
            Some(3),
            Some(15),
            Some(60),
            Some(300),
            Some(3_600),
            None,
            None,
        ];
        assert_eq!(seconds(LookupSchedule::unknown_attempt(), 7), expected);
    }

    #[test]
    fn accepted_messages_are_never_given_up_and_unknown_ones_are() {
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(LookupSchedule::no_receipts().nth(u32::MAX), day);
        assert_eq!(LookupSchedule::unknown_attempt().nth(u32::MAX), None);
    }
}
