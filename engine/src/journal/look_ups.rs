//! Look-ups that one record plans, put together into few rows.

use schemas::due::{DueLookUps, LookUp};
use schemas::position::Sequence;
use schemas::{Partition, UnixMicros};

/// A look-up may come this much later than it was planned for, in microseconds, so that it can
/// share a row with others. Nobody reads what is due more often than that.
const LATER: i64 = 500_000;

/// Look-ups in one row: what the reader asks about in a few turns, and some 4 KiB.
const A_ROW: usize = 64;

/// What the record being written plans.
#[derive(Debug, Default)]
pub struct PlannedLookUps(Vec<(UnixMicros, LookUp)>);

impl PlannedLookUps {
    /// Plans one for this instant or soon after.
    pub fn plan(&mut self, due: UnixMicros, look_up: LookUp) {
        self.0.push((due, look_up));
    }

    /// The rows of all that was planned; nothing is planned afterwards. The same plans make the
    /// same rows, so that they can be made again from the journal.
    pub fn take(
        &mut self,
        partition: Partition,
        sequence: Sequence,
    ) -> impl Iterator<Item = DueLookUps> + use<> {
        let mut planned = std::mem::take(&mut self.0);
        planned.sort_by_key(|(due, _)| *due);
        let mut planned = planned.into_iter().peekable();
        let mut part = 0;
        std::iter::from_fn(move || {
            let (first, look_up) = planned.next()?;
            let mut row = DueLookUps {
                partition,
                due: first,
                sequence,
                part,
                look_ups: vec![look_up],
            };
            let latest = first.plus_micros(LATER);
            while row.look_ups.len() < A_ROW
                && let Some((due, look_up)) = planned.next_if(|(due, _)| *due <= latest)
            {
                row.due = due;
                row.look_ups.push(look_up);
            }
            part += 1;
            Some(row)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::due::LookUp;
    use schemas::provider::AttemptRef;
    use schemas::record::Record;
    use schemas::{AccountId, MessageId, Partition, UnixMicros};

    use super::{A_ROW, LATER, PlannedLookUps};

    fn look_up(number: u32) -> LookUp {
        let attempt = AttemptRef {
            account: AccountId::from_bytes([1; 16]),
            message: MessageId::from_bytes([2; 16]),
            attempt: number,
        };
        LookUp::of(&attempt, 0)
    }

    proptest! {
        /// Each is in one row, never earlier than planned, and no more than that much later.
        #[test]
        fn every_look_up_is_in_one_row(
            dues in prop::collection::vec(0..4 * LATER, 0..3 * A_ROW),
        ) {
            let mut planned = PlannedLookUps::default();
            for (number, due) in (0..).zip(&dues) {
                planned.plan(UnixMicros(*due), look_up(number));
            }
            let rows: Vec<_> = planned.take(Partition(3), 7).collect();
            let mut seen = vec![false; dues.len()];
            for row in &rows {
                prop_assert!(row.look_ups.len() <= A_ROW);
                for look_up in &row.look_ups {
                    let number = look_up.attempt as usize;
                    prop_assert!(!std::mem::replace(&mut seen[number], true));
                    let late = row.due.0 - dues[number];
                    prop_assert!((0..=LATER).contains(&late), "{late}");
                }
            }
            prop_assert!(seen.iter().all(|seen| *seen));
            let mut keys: Vec<_> = rows.iter().map(Record::key).collect();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), rows.len());
            prop_assert_eq!(planned.take(Partition(3), 8).count(), 0);
            // As few as can be, but for the last of each half second.
            prop_assert!(rows.len() <= dues.len() / A_ROW + 5, "{} rows", rows.len());
        }
    }
}
