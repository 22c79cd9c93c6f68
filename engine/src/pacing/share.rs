//! A limit that is divided among the owners of ranges of partitions. Each has whole segments per
//! second, and all of them together no more than the limit, so in no sliding second more than that
//! leaves, whoever owns what: a share moves with its range, and rests as a limit does after a
//! restart.

use schemas::PartitionRange;

/// Segments of the largest text there can be: 1,600 characters in UCS-2. A share is as large at
/// least: a text that has more than a limit allows in its window goes alone, and with a limit's
/// owners apart each would send one.
pub const LARGEST_TEXT: u32 = 24;

/// A limit is too small to be divided.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{what} cannot be divided among {owners} owners: it must be {least} at least, or kafka.owners \
     less"
)]
pub struct Undividable {
    /// What it is.
    pub what: f64,
    /// Among how many.
    pub owners: u16,
    /// What it must be.
    pub least: f64,
}

/// A range's part of a limit, both in segments per second.
///
/// # Errors
/// [`Undividable`] where some range would get nothing.
pub fn share(rate: f64, range: PartitionRange) -> Result<f64, Undividable> {
    let owners = range.ranges();
    if owners == 1 {
        return Ok(rate);
    }
    let least = f64::from(owners) * f64::from(LARGEST_TEXT);
    if rate < least {
        let what = rate;
        return Err(Undividable {
            what,
            owners,
            least,
        });
    }
    let up_to = |places: u16| (rate * f64::from(places) / f64::from(owners)).floor();
    Ok(up_to(range.place() + 1) - up_to(range.place()))
}

/// A range's part of what is counted: connections.
///
/// # Errors
/// [`Undividable`] where some range would get none.
pub fn part(count: u32, range: PartitionRange) -> Result<u32, Undividable> {
    if count < u32::from(range.ranges()) {
        return Err(Undividable {
            what: count.into(),
            owners: range.ranges(),
            least: range.ranges().into(),
        });
    }
    let (owners, place) = (u64::from(range.ranges()), u64::from(range.place()));
    let up_to = |places: u64| u64::from(count) * places / owners;
    let part = up_to(place + 1) - up_to(place);
    Ok(u32::try_from(part).unwrap_or(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::{PartitionCount, PartitionRange};

    use super::{part, share};

    fn ranges(bits: u16) -> Vec<PartitionRange> {
        let count = |bits: u16| PartitionCount::new(1 << bits).expect("a power of two");
        PartitionRange::divide(count(6), count(bits)).collect()
    }

    proptest! {
        #[test]
        fn shares_are_whole_and_add_up(rate in 1.0..20_000.0_f64, bits in 1_u16..6) {
            let ranges = ranges(bits);
            let shares: Vec<_> = ranges.iter().map(|range| share(rate, *range)).collect();
            if rate < 24.0 * ranges.len() as f64 {
                prop_assert!(shares.iter().all(Result::is_err));
                return Ok(());
            }
            let mut sum = 0.0;
            for share in shares {
                let share = share.expect("it can be divided");
                prop_assert!(share >= 24.0 && share.fract() == 0.0, "{share}");
                sum += share;
            }
            prop_assert!(sum <= rate && sum > rate - 1.0, "{sum} of {rate}");
        }

        #[test]
        fn parts_add_up_where_there_is_enough(count in 1_u32..10_000, bits in 0_u16..6) {
            let ranges = ranges(bits);
            let parts = ranges.iter().map(|range| part(count, *range));
            let parts: Result<Vec<u32>, _> = parts.collect();
            prop_assert_eq!(parts.is_ok(), count >= ranges.len() as u32);
            if let Ok(parts) = parts {
                prop_assert!(parts.iter().all(|part| *part >= 1));
                prop_assert_eq!(parts.iter().sum::<u32>(), count);
            }
        }
    }

    #[test]
    fn who_owns_all_has_the_whole_limit() {
        let whole = PartitionRange::whole(PartitionCount::EMBEDDED);
        assert_eq!(share(0.25, whole), Ok(0.25));
        assert_eq!(part(7, whole), Ok(7));
    }
}
