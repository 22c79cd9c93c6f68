//! The latest instant that this store has seen. A clock may be set back while no process
//! runs; what is written from then on must still not lie before what is there.

use schemas::UnixMicros;

use super::error::StoreError;
use super::kv::{Kv, Space};
use super::overlay::Overlay;

/// Beside the journals, in no partition's range.
pub(crate) const KEY: &[u8] = b"t";

/// Every group commit writes when it was.
pub(super) fn write(overlay: &mut Overlay<'_>, now: UnixMicros) {
    overlay.put_raw(Space::Journal, KEY.to_vec(), now.0.to_be_bytes().to_vec());
}

/// When the last group was committed; `None` before the first.
pub(super) fn read(kv: &dyn Kv) -> Result<Option<UnixMicros>, StoreError> {
    let Some(bytes) = kv.get(Space::Journal, KEY)? else {
        return Ok(None);
    };
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Ok(Some(UnixMicros(i64::from_be_bytes(bytes)))),
        Err(_) => Err(StoreError::damaged("latest", "it is no instant")),
    }
}
