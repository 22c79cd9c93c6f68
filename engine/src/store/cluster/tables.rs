//! The tables of the journals' owner, wherever they are: rows as bytes, written one by one, in
//! no order, and kept by their stamps.

use futures::future::BoxFuture;
use schemas::position::Sequence;

use crate::store::error::StoreError;
use crate::store::kv::{KvChange, KvPairs};

/// Rows of one call that are on their way at once. On two cores with the server beside, 64
/// write 24,000 to 29,000 rows a second and 256 no more; at 1 kB each they hold 64 kB.
pub(crate) const WRITES_IN_FLIGHT: usize = 64;

/// The bits of a stamp that are the position: 2^40 journal records of one partition, years at
/// 10,000 a second. The epoch has the 23 above it; the sign stays clear.
const POSITION_BITS: u32 = 40;
const EPOCH_BITS: u32 = 63 - POSITION_BITS;

/// What a row includes: the epoch of the journals, which grows whenever they are made anew, and
/// the position in one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stamp(pub(in crate::store) i64);

impl Stamp {
    /// # Errors
    /// [`StoreError::Backend`] when the epoch has no place in 23 bits or the position none in 40.
    pub(crate) fn new(epoch: u32, position: Sequence) -> Result<Self, StoreError> {
        if epoch >> EPOCH_BITS != 0 || position >> POSITION_BITS != 0 {
            return Err(StoreError::Backend {
                detail: format!("epoch {epoch}, position {position} are beyond what rows stamp"),
            });
        }
        let position = position.cast_signed();
        Ok(Self((i64::from(epoch) << POSITION_BITS) + position))
    }
}

/// Rows that only the journals' owner writes, by keys and values as the embedded store has
/// them.
pub(crate) trait Tables: Send + Sync {
    /// The row with this key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the servers do not answer.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// At most `limit` rows of one partition with `start <= key < end`, ascending. `start` is
    /// whole parts of a key, the partition's at least.
    ///
    /// # Errors
    /// As [`Tables::get`].
    fn scan<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPairs, StoreError>>;

    /// Writes rows, in no order. Of each row the one with the greatest stamp stays, whenever it
    /// arrives; of a put and a deletion with the same, the deletion. All of them are durable
    /// when it returns; after an error some may be, and all can be written again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the servers do not answer, [`StoreError::Damaged`] when
    /// one is no row of its table.
    fn project<'a>(
        &'a self,
        rows: &'a [&'a KvChange],
        stamp: Stamp,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn a_later_epoch_is_above_every_position_of_the_one_before() {
        let stamp = |epoch, position| Stamp::new(epoch, position).expect("it fits");
        assert!(stamp(1, (1 << 40) - 1) < stamp(2, 0));
        assert!(stamp(1, 7) < stamp(1, 8));
        assert!(stamp((1 << 23) - 1, (1 << 40) - 1).0 > 0);
        assert!(Stamp::new(1 << 23, 0).is_err() && Stamp::new(0, 1 << 40).is_err());
    }
}
