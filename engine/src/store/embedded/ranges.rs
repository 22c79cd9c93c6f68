//! Many short ranges, read together. Neighbours, such as the slices of a list, are read in one
//! go: to find where a range begins costs more than the few rows that lie there.

use schemas::record::Record;

use super::rows::{KeyRange, read_rows};
use crate::store::error::StoreError;
use crate::store::kv::Kv;
use crate::store::{Order, key};

/// The rows under each of the first prefixes, as many as are read to their end within `limit`
/// rows.
pub(super) fn read_each<R: Record>(
    kv: &dyn Kv,
    prefixes: &[Vec<u8>],
    limit: usize,
) -> Result<Vec<Vec<R>>, StoreError> {
    let (mut lists, mut left) = (Vec::with_capacity(prefixes.len()), limit);
    for run in prefixes.chunk_by(|prefix, next| is_next(prefix, next)) {
        let [first, ..] = run else { continue };
        let range = KeyRange {
            start: first.clone(),
            end: key::prefix_end(run.last().unwrap_or(first)),
        };
        // One row more tells whether the end was reached.
        let found = read_rows::<R>(kv, &range, Order::Ascending, left + 1)?;
        let cut = found.get(left).map(|(key, _)| key.clone());
        left = left.saturating_sub(found.len());
        let mut found = found.into_iter().peekable();
        for prefix in run {
            if cut.as_ref().is_some_and(|cut| cut.starts_with(prefix)) {
                return Ok(lists);
            }
            let mut rows = Vec::new();
            while let Some((_, row)) = found.next_if(|(key, _)| key.starts_with(prefix)) {
                rows.push(row);
            }
            lists.push(rows);
        }
    }
    Ok(lists)
}

/// Whether no key lies between the keys under one prefix and those under the next.
fn is_next(prefix: &[u8], next: &[u8]) -> bool {
    let mut above = prefix.to_vec();
    for byte in above.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    above == next
}

#[cfg(test)]
mod tests {
    use super::is_next;

    #[test]
    fn neighbours_are_known_over_a_carry() {
        assert!(is_next(&[1, 0], &[1, 1]) && is_next(&[1, 255], &[2, 0]));
        for other in [&[1, 2][..], &[1, 0, 0], &[1], &[1, 0]] {
            assert!(!is_next(&[1, 0], other), "{other:?}");
        }
    }
}
