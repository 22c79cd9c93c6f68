//! What is sent next, by whom, and what follows from an outcome.
//!
//! Sources are read a bounded way ahead ([`positions`]); what was read waits in
//! [`ready`] until a provider with free permits asks; [`routing`] says which providers
//! may carry it; [`outcome`] says what follows an attempt.

pub mod audience;
pub mod freeze;
pub mod outcome;
pub mod positions;
pub mod ready;
pub mod routing;

use std::sync::Arc;

use schemas::position::SourceId;
use schemas::{Envelope, MessageId, Partition};

use routing::Routes;

/// How many positions of a source may be read and not finished. A campaign has one
/// source for each partition and shares this number among them, at least
/// [`MIN_READ_AHEAD`] each: at some 500 bytes an item this bounds a campaign to 2 MiB
/// at 8 partitions, and to 64 items each at 64.
pub const READ_AHEAD: usize = 4_096;

/// See [`READ_AHEAD`].
pub const MIN_READ_AHEAD: usize = 64;

/// Where a message that is ready was read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// The partition.
    pub partition: Partition,
    /// The source.
    pub source: SourceId,
    /// The position in it.
    pub position: u64,
    /// The message read there.
    pub message: MessageId,
}

/// A message that can be sent now.
#[derive(Clone, Debug)]
pub struct Ready {
    /// What is sent.
    pub envelope: Arc<Envelope>,
    /// The attempt that would be made, from 1.
    pub attempt: u32,
    /// Where it was read.
    pub origin: Origin,
    /// Which providers may carry it.
    pub routes: Routes,
}
