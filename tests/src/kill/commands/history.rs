//! What was commanded when, and so what may be seen at the provider and what may not.

/// What a command takes to hold, in microseconds after its answer: that much is promised.
pub const HOLDS_AFTER: u64 = 1_000_000;

/// When something was asked for, and when the answer was there; Unix microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before the first try.
    pub asked: u64,
    /// After the last.
    pub answered: u64,
}

/// A time in which nobody is to get a text of a campaign.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The campaign's number.
    pub campaign: usize,
    /// When it was answered.
    pub answered: u64,
    /// When the contrary was asked for.
    pub until: u64,
    /// The last text that arrived in this time: so long after the answer.
    pub latest: u64,
    /// Texts that did.
    pub texts: u64,
}

/// The rates of one provider account that may have been in force: from, until, rate. A
/// disabled one has the rate 0.
#[derive(Clone, Debug)]
pub struct Rates(Vec<(u64, u64, u64)>);

/// The second that holds the most beyond what was in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fullest {
    /// When it ends.
    pub at: u64,
    /// Segments in it.
    pub held: u64,
    /// The most there may be.
    pub allowed: u64,
}

impl Fullest {
    /// By how much there are too many; negative: how many more there could be.
    pub const fn excess(&self) -> i64 {
        self.held as i64 - self.allowed as i64
    }
}

/// What is a second at least, in microseconds: texts are counted by the boot clock and told by
/// the calendar's, which a machine may slew by 500 microseconds in a second.
const SECOND: u64 = 1_000_000 - 500;

impl Rates {
    /// Another rate was asked for: the old one holds for a second after the answer at most,
    /// the new one perhaps as soon as it was asked for.
    pub fn change(&mut self, times: Times, rate: u64) {
        if let Some((_, until, _)) = self.0.last_mut() {
            *until = times.answered + HOLDS_AFTER;
        }
        self.0.push((times.asked, u64::MAX, rate));
    }

    /// The second of these (microseconds, segments) that holds the most beyond the highest
    /// rate in it. What left may be seen up to `late` microseconds later, and a share of
    /// `more` may come on top.
    pub fn fullest(&self, mut stamps: Vec<(u64, u32)>, late: u64, more: f64) -> Fullest {
        stamps.sort_unstable();
        let (mut worst, mut held, mut oldest) = (None, 0, 0);
        for &(at, segments) in &stamps {
            held += u64::from(segments);
            while at - stamps[oldest].0 >= SECOND {
                held -= u64::from(stamps[oldest].1);
                oldest += 1;
            }
            let rate = self.most_between(stamps[oldest].0, at, late);
            let allowed = (rate as f64 * (1.0 + more)) as u64;
            let now = Fullest { at, held, allowed };
            if worst.is_none_or(|worst: Fullest| now.excess() > worst.excess()) {
                worst = Some(now);
            }
        }
        worst.unwrap_or_default()
    }

    fn most_between(&self, first: u64, last: u64, late: u64) -> u64 {
        let levels = self.0.iter();
        let levels =
            levels.filter(|(from, until, _)| *from <= last && first < until.saturating_add(late));
        levels.map(|(_, _, rate)| *rate).max().unwrap_or(0)
    }
}

/// Everything that was commanded.
#[derive(Debug)]
pub struct History {
    /// Rests, in the order in which they were asked for.
    pub rests: Vec<Rest>,
    /// Rates of the provider accounts.
    pub rates: Vec<Rates>,
}

impl History {
    /// So many provider accounts with one rate.
    pub fn new(providers: usize, rate: u64) -> Self {
        Self {
            rests: Vec::new(),
            rates: vec![Rates(vec![(0, u64::MAX, rate)]); providers],
        }
    }

    /// A campaign is to rest.
    pub fn rests(&mut self, campaign: usize, times: Times) {
        self.rests.push(Rest {
            campaign,
            answered: times.answered,
            until: u64::MAX,
            latest: 0,
            texts: 0,
        });
    }

    /// It goes on.
    pub fn goes_on(&mut self, campaign: usize, times: Times) {
        let mut rests = self.rests.iter_mut().rev();
        if let Some(rest) = rests.find(|rest| rest.campaign == campaign) {
            rest.until = times.asked;
        }
    }

    /// A text of a campaign arrived.
    pub fn arrived(&mut self, campaign: usize, at: u64) {
        for rest in &mut self.rests {
            if rest.campaign == campaign && (rest.answered..rest.until).contains(&at) {
                rest.latest = rest.latest.max(at - rest.answered);
                rest.texts += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fullest, History, Times};

    const CUT: Times = Times {
        asked: 10_000_000,
        answered: 10_100_000,
    };

    fn stamps(from: u64, count: u64) -> Vec<(u64, u32)> {
        (0..count)
            .map(|number| (from + number * 10_000, 1))
            .collect()
    }

    #[test]
    fn a_lower_rate_holds_a_second_after_the_answer() {
        let mut rates = History::new(1, 100).rates.remove(0);
        rates.change(CUT, 10);
        let until = 11_100_000;
        let before = stamps(until - 1_000_000, 100);
        assert_eq!(rates.fullest(before, 0, 0.0).excess(), 0);
        let after = stamps(until, 11);
        let fullest = Fullest {
            at: until + 100_000,
            held: 11,
            allowed: 10,
        };
        assert_eq!(rates.fullest(after.clone(), 0, 0.0), fullest);
        assert!(rates.fullest(after.clone(), 1, 0.0).excess() <= 0);
        assert_eq!(rates.fullest(after, 0, 0.25).allowed, 12);
    }

    #[test]
    fn a_clock_that_is_slewed_is_no_excess() {
        let rates = History::new(1, 100).rates.remove(0);
        let mut second = stamps(0, 100);
        second.push((999_999, 1));
        assert_eq!(rates.fullest(second.clone(), 0, 0.0).excess(), 0);
        second.push((999_000, 1));
        assert_eq!(rates.fullest(second, 0, 0.0).excess(), 1);
    }

    #[test]
    fn a_higher_rate_may_hold_when_it_is_asked_for() {
        let mut rates = History::new(1, 0).rates.remove(0);
        rates.change(CUT, 100);
        let after = stamps(CUT.asked, 100);
        assert_eq!(rates.fullest(after, 0, 0.0).excess(), 0);
        let before = stamps(CUT.asked - 2_000_000, 1);
        assert_eq!(rates.fullest(before, 0, 0.0).excess(), 1);
    }

    #[test]
    fn a_rest_lasts_until_the_contrary_is_asked_for() {
        let mut history = History::new(1, 1);
        history.rests(3, CUT);
        let later = Times {
            asked: 20_000_000,
            answered: 20_000_001,
        };
        history.goes_on(3, later);
        for at in [10_099_999, 10_100_007, 20_000_000] {
            history.arrived(3, at);
            history.arrived(2, at);
        }
        let rest = &history.rests[0];
        assert_eq!((rest.latest, rest.texts), (7, 1));
    }
}
