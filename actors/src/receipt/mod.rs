//! Receipts that do not come: the reconciler asks for them.

pub mod look_up;
pub mod parked;
pub mod reconciler;
