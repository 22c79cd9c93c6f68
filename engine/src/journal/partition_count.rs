//! The number of partitions that a journal was begun with: what is asked for later must be the same.

use schemas::PartitionCount;

use crate::store::StoreError;
use crate::store::kv::Space;
use crate::store::overlay::Overlay;

/// Where the number of partitions is kept that the journal was begun with.
pub(super) const KEY: &[u8] = b"p";

/// Tells whether the number is written down already.
pub(super) fn check(
    view: &mut Overlay<'_>,
    partitions: PartitionCount,
) -> Result<bool, StoreError> {
    match stored(view)? {
        None => Ok(false),
        Some(count) if count == partitions => Ok(true),
        Some(count) => Err(StoreError::OtherPartitionCount {
            stored: count.get(),
            asked: partitions.get(),
        }),
    }
}

/// The number of partitions that the journal was begun with; `None` before the first
/// commit.
pub(crate) fn stored(view: &mut Overlay<'_>) -> Result<Option<PartitionCount>, StoreError> {
    let Some(stored) = view.get_raw(Space::Journal, KEY)? else {
        return Ok(None);
    };
    let stored = <[u8; 2]>::try_from(stored).map(u16::from_be_bytes).ok();
    let stored = stored.and_then(|stored| PartitionCount::new(stored).ok());
    stored.map(Some).ok_or_else(|| {
        let detail = "the number of partitions is not a number";
        StoreError::damaged("journal", detail)
    })
}
