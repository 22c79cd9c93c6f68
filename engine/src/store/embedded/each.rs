//! Many rows by their keys: those that lie side by side are read in one go, which costs a
//! fraction of asking every file for each.

use crate::store::error::StoreError;
use crate::store::key::successor;
use crate::store::kv::{Direction, KvRead, Space};

/// Keys whose rows are read in one go.
const AT_ONCE: usize = 64;

/// Rows that are read for each that was asked for. Where more lie between them, asking for each
/// costs less.
const ROWS_FOR_EACH: usize = 2;

/// Reads in one go that settle less than half of what they are for, one after the other, until
/// the rest is asked for one by one. One alone is where a run of neighbours ends.
const POOR_READS: usize = 2;

/// The bytes under each of the keys, in their order.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn get_each(
    kv: &dyn KvRead,
    space: Space,
    keys: &[Vec<u8>],
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_unstable_by_key(|index| &keys[*index]);
    let mut found = vec![None; keys.len()];
    let (mut rest, mut poor) = (&order[..], 0);
    while rest.len() > 1 && poor < POOR_READS {
        let asked = &rest[..rest.len().min(AT_ONCE)];
        let read = read_together(kv, space, keys, asked, &mut found)?;
        rest = &rest[read..];
        poor = if read * ROWS_FOR_EACH < asked.len() {
            poor + 1
        } else {
            0
        };
    }
    for index in rest {
        found[*index] = kv.get(space, &keys[*index])?;
    }
    Ok(found)
}

/// Reads from the first of the keys `asked` on, which ascend. Tells how many of them are settled.
fn read_together(
    kv: &dyn KvRead,
    space: Space,
    keys: &[Vec<u8>],
    asked: &[usize],
    found: &mut [Option<Vec<u8>>],
) -> Result<usize, StoreError> {
    let (Some(first), Some(last)) = (asked.first(), asked.last()) else {
        return Ok(0);
    };
    let (start, end) = (&keys[*first], successor(&keys[*last]));
    let limit = asked.len() * ROWS_FOR_EACH;
    let pairs = kv.scan(space, start, &end, Direction::Forward, limit)?;
    let is_whole = pairs.len() < limit;
    let mut pairs = pairs.into_iter().peekable();
    for (settled, index) in asked.iter().enumerate() {
        let key = &keys[*index];
        while pairs.next_if(|(stored, _)| stored < key).is_some() {}
        match pairs.peek() {
            // Not taken: the same key may be asked for twice.
            Some((stored, value)) if stored == key => found[*index] = Some(value.clone()),
            Some(_) => {}
            None if is_whole => {}
            None => return Ok(settled),
        }
    }
    Ok(asked.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::get_each;
    use crate::store::kv::{Kv, KvBatch, KvChange, KvRead, Space};
    use crate::store::memory::MemoryKv;

    proptest! {
        /// Whether they lie side by side or far apart, are there or not, or are asked for twice:
        /// it is what asking for each gives.
        #[test]
        fn it_is_what_asking_for_each_gives(
            stored in prop::collection::btree_set(0_u16..900, 0..600),
            asked in prop::collection::vec(0_u16..900, 0..300),
            apart in 1_u16..60,
        ) {
            let memory = MemoryKv::new();
            let key = |number: u16| number.to_be_bytes().to_vec();
            let change = |number: &u16| KvChange {
                space: Space::Rows,
                key: key(*number),
                value: Some(key(number / 2)),
                partition: None,
            };
            let changes = stored.iter().map(change).collect();
            memory.write(KvBatch { changes }).expect("memory is written");
            let keys: Vec<_> = asked.into_iter().map(|asked| key(asked / apart * apart)).collect();
            let found = get_each(&memory, Space::Rows, &keys)?;
            prop_assert_eq!(found.len(), keys.len());
            for (key, found) in keys.iter().zip(found) {
                prop_assert_eq!(found, memory.get(Space::Rows, key)?);
            }
        }
    }
}
