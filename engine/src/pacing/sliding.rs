//! Judges of a pace: how much the fullest window of a list of stamps holds.
//!
//! They know nothing of the limiter. A window is half-open: stamps at `t` and at exactly
//! `t + 1 s` are never in the same second.

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The most segments in any sliding second, of stamps (microseconds, segments) in any order.
pub fn most_in_any_second(stamps: impl IntoIterator<Item = (u64, u32)>) -> u64 {
    most_in_any_window(stamps, MICROS_PER_SECOND)
}

/// The most segments in any sliding window of `window_micros`, of stamps (microseconds, segments)
/// in any order; 0 without stamps or for a window of 0. Takes 16 bytes of memory for each stamp.
pub fn most_in_any_window(stamps: impl IntoIterator<Item = (u64, u32)>, window_micros: u64) -> u64 {
    let mut stamps: Vec<(u64, u32)> = stamps.into_iter().collect();
    if window_micros == 0 {
        return 0;
    }
    stamps.sort_unstable();
    let mut most = 0;
    let mut held = 0;
    let mut oldest = 0;
    // The fullest window may always be shifted until it ends with a stamp.
    for &(at, segments) in &stamps {
        held += u64::from(segments);
        while at - stamps[oldest].0 >= window_micros {
            held -= u64::from(stamps[oldest].1);
            oldest += 1;
        }
        most = most.max(held);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::{most_in_any_second, most_in_any_window};
    use proptest::prelude::*;

    #[test]
    fn a_second_is_half_open() {
        assert_eq!(most_in_any_second([(0, 1), (1_000_000, 1)]), 1);
        assert_eq!(most_in_any_second([(0, 1), (999_999, 1)]), 2);
        assert_eq!(most_in_any_second([(5, 3), (5, 4), (1_000_005, 6)]), 7);
        assert_eq!(most_in_any_second([]), 0);
        assert_eq!(most_in_any_window([(7, 3)], 0), 0);
    }

    proptest! {
        #[test]
        fn equals_counting_from_every_stamp(
            stamps in prop::collection::vec((0_u64..3_000, 0_u32..9), 0..60),
            window in 1_u64..2_000,
        ) {
            let counted = stamps.iter().map(|&(start, _)| {
                let inside = stamps.iter().filter(|(at, _)| (start..start + window).contains(at));
                inside.map(|(_, segments)| u64::from(*segments)).sum::<u64>()
            });
            prop_assert_eq!(
                most_in_any_window(stamps.iter().copied(), window),
                counted.max().unwrap_or(0)
            );
        }
    }
}
