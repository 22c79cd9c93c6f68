//! Receipts: those that other nodes were brought, and those that do not come, for which the
//! reconciler asks.

pub mod callbacks;
pub mod look_up;
pub mod parked;
pub mod reconciler;
