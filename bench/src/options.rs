//! What several benchmarks are told on their command lines.

use std::path::PathBuf;

use clap::Args;

use crate::recipients::MOST_RECIPIENTS;

/// Where a benchmark keeps its stores, and how it reports.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Prints the report as one line of JSON to standard output too.
    #[arg(long)]
    pub json: bool,
    /// Where the stores are kept meanwhile: on a disk, with 4 GB free for a million.
    #[arg(long, default_value = "target/bench-stores")]
    pub folder: PathBuf,
}

/// `10k`, `1M` or plain digits.
pub fn count(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text
            .strip_suffix('M')
            .map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    let most = MOST_RECIPIENTS;
    let fits = number.filter(|number| (1..=most).contains(number));
    fits.ok_or_else(|| format!("a number from 1 to {most}, such as 250, 10k or 1M"))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn sizes_are_written_short() {
        assert_eq!(count("250"), Ok(250));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        for wrong in ["", "0", "k", "9M", "1.5k", "-3"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
