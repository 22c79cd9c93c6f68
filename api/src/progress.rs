//! How far a campaign is, while it runs: a bar on a terminal, a line every two seconds
//! elsewhere or where `NO_COLOR` is set (<https://no-color.org>).

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::io::IsTerminal;

use engine::runtime::BootMicros;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::http::campaigns::CampaignNumbers;

const MICROS_PER_SECOND: u64 = 1_000_000;
/// How often a plain line is written.
const LINE_EVERY: BootMicros = 2 * MICROS_PER_SECOND;
/// Rates are means over at least this long: shorter ones jump about.
const RATE_OVER: BootMicros = 2 * MICROS_PER_SECOND;

/// Shows progress.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: BootMicros,
    /// Instants with the messages done and each provider account's segments until then.
    history: VecDeque<(BootMicros, u64, Vec<u64>)>,
    /// The names of the provider accounts whose rates are shown.
    accounts: Vec<&'static str>,
}

impl Progress {
    /// Shows the rates of these provider accounts beside the campaign's numbers.
    pub fn new(accounts: Vec<&'static str>, now: BootMicros) -> Self {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let bar = (std::io::stderr().is_terminal() && !is_plain).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {pos}/{len}\n{msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            bar,
            last_line: now,
            history: VecDeque::new(),
            accounts,
        }
    }

    /// Shows where the campaign stands now; `sums` are the segments of each provider account
    /// so far.
    pub fn show(&mut self, now: BootMicros, numbers: &CampaignNumbers, sums: Vec<u64>) {
        let done = numbers.total_recipients.saturating_sub(numbers.pending);
        self.history.push_back((now, done, sums));
        while self
            .history
            .get(1)
            .is_some_and(|(at, ..)| now - at >= RATE_OVER)
        {
            self.history.pop_front();
        }
        let told = self.told(now, numbers, done);
        if let Some(bar) = &self.bar {
            bar.set_length(numbers.total_recipients);
            bar.set_position(done);
            bar.set_message(told);
        } else if now - self.last_line >= LINE_EVERY {
            self.last_line = now;
            tell(&format!("{done} of {}{told}", total(numbers)));
        }
    }

    fn told(&self, now: BootMicros, numbers: &CampaignNumbers, done: u64) -> String {
        let mut told = String::new();
        let Some((since, done_then, sums_then)) = self.history.front() else {
            return told;
        };
        let Some((_, _, sums)) = self.history.back() else {
            return told;
        };
        let seconds = now.saturating_sub(*since) as f64 / MICROS_PER_SECOND as f64;
        let rate = |then: u64, now: u64| {
            if seconds > 0.0 {
                (now - then) as f64 / seconds
            } else {
                0.0
            }
        };
        for (index, name) in self.accounts.iter().enumerate() {
            let rate = rate(sums_then[index], sums[index]);
            let _ = write!(told, " · {name} {rate:.0}/s");
        }
        for (word, count) in outcomes(numbers) {
            if count > 0 {
                let _ = write!(told, " · {word} {count}");
            }
        }
        let speed = rate((*done_then).min(done), done);
        if numbers.pending > 0 && speed > 0.0 {
            let _ = write!(
                told,
                " · {:.0} s left",
                (numbers.pending as f64 / speed).ceil()
            );
        } else if numbers.pending == 0 && !numbers.still_counting {
            told.push_str(" · all handed over, receipts come in");
        }
        told
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn total(numbers: &CampaignNumbers) -> String {
    let open = if numbers.still_counting { "+" } else { "" };
    format!("{}{open}", numbers.total_recipients)
}

/// Every state that a message can be in besides pending, with its count.
pub fn outcomes(numbers: &CampaignNumbers) -> [(&'static str, u64); 9] {
    [
        ("accepted", numbers.accepted),
        ("sent", numbers.sent),
        ("delivered", numbers.delivered),
        ("undelivered", numbers.undelivered),
        ("failed", numbers.failed),
        ("expired", numbers.expired),
        ("canceled", numbers.canceled),
        ("unknown", numbers.unknown),
        ("skipped", numbers.skipped.values().sum()),
    ]
}

/// A sum of counts with their words, without those that are zero.
pub fn sum_of<W: Display>(counts: impl IntoIterator<Item = (W, u64)>) -> String {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    counts.join(" + ")
}

/// Tells people something: standard error, so that standard output is for programs alone.
#[allow(clippy::print_stderr, reason = "the command's own output")]
fn tell(text: &str) {
    eprintln!("{text}");
}
