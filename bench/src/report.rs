//! Figures with their spread, and verdicts.

use serde::Serialize;

/// Median, minimum and maximum of the rounds of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let (low, high) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            min,
            max,
        })
    }

    /// For people, with so many digits after the point.
    pub fn text(&self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$} … {max:.digits$})")
    }
}

/// A bar and whether it was reached.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What was asked for.
    pub floor: String,
    /// What was measured.
    pub measured: f64,
    /// Whether that is enough.
    pub met: bool,
}

impl Verdict {
    /// At least `bar`.
    pub fn at_least(what: &str, measured: f64, bar: f64) -> Self {
        Self {
            floor: format!("{what} ≥ {}", in_thousandths(bar)),
            measured,
            met: measured >= bar,
        }
    }

    /// At most `bar`.
    pub fn at_most(what: &str, measured: f64, bar: f64) -> Self {
        Self {
            floor: format!("{what} ≤ {}", in_thousandths(bar)),
            measured,
            met: measured <= bar,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let met = if self.met { "met" } else { "not met" };
        format!("floor {}: {:.3}, {met}", self.floor, self.measured)
    }
}

/// A bar that was computed, with no more digits than the figure beside it.
fn in_thousandths(bar: f64) -> f64 {
    (bar * 1_000.0).round() / 1_000.0
}

/// The smallest figure that so many of a hundred do not exceed; figures are in order.
pub fn percentile(figures: &[f64], percent: usize) -> f64 {
    let rank = (figures.len() * percent).div_ceil(100).max(1);
    figures.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// How long something took or waited, many times over, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Waits {
    /// The median.
    pub p50: f64,
    /// What all but one in a hundred do not exceed.
    pub p99: f64,
    /// The longest.
    pub most: f64,
}

impl Waits {
    /// Of these, in any order.
    pub fn of(mut millis: Vec<f64>) -> Self {
        millis.sort_by(f64::total_cmp);
        Self {
            p50: percentile(&millis, 50),
            p99: percentile(&millis, 99),
            most: percentile(&millis, 100),
        }
    }

    /// For people, with so many digits after the point.
    pub fn text(&self, what: &str, digits: usize) -> String {
        let Self { p50, p99, most } = self;
        format!("{what}: p50 {p50:.digits$} ms, p99 {p99:.digits$} ms, at most {most:.digits$} ms")
    }
}

/// Bytes in MiB.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// Prints a line for people, to standard error: standard output belongs to JSON.
#[allow(clippy::print_stderr)]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints a report as one line of JSON, to standard output.
#[allow(clippy::print_stdout)]
pub fn print_json<T: Serialize>(report: &T) {
    match serde_json::to_string(report) {
        Ok(line) => println!("{line}"),
        Err(error) => say(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, Verdict, percentile};

    #[test]
    fn the_median_is_in_the_middle() {
        let odd = Spread::of([3.0, 1.0, 9.0]);
        assert_eq!(
            odd,
            Some(Spread {
                median: 3.0,
                min: 1.0,
                max: 9.0
            })
        );
        let even = Spread::of([4.0, 1.0, 2.0, 9.0]);
        assert_eq!(
            even,
            Some(Spread {
                median: 3.0,
                min: 1.0,
                max: 9.0
            })
        );
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let figures: Vec<f64> = (1..=25).map(f64::from).collect();
        assert_eq!(percentile(&figures, 50), 13.0);
        assert_eq!(percentile(&figures, 99), 25.0);
        assert_eq!(percentile(&[7.0], 50), 7.0);
    }

    #[test]
    fn a_bar_counts_as_reached_when_it_is_met_exactly() {
        assert!(Verdict::at_least("x", 0.2, 0.2).met && Verdict::at_most("x", 0.2, 0.2).met);
        assert!(!Verdict::at_least("x", 0.19, 0.2).met && !Verdict::at_most("x", 0.21, 0.2).met);
    }
}
