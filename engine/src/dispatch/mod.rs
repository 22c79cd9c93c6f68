//! What is sent next, by whom, and what follows from an outcome.
//!
//! Sources are read a bounded way ahead ([`read_ahead`], [`positions`]; frozen audiences in
//! [`chunks`]); what was read waits in
//! [`ready`], where accounts and campaigns take turns ([`fair`]), until a provider with
//! free permits asks; [`routing`] says which providers
//! may carry it; [`outcome`] says what follows an attempt.

pub mod audience;
pub mod chunks;
pub mod fair;
pub mod freeze;
pub mod outcome;
pub mod positions;
pub mod read_ahead;
pub mod ready;
#[cfg(test)]
mod ready_laws;
pub mod routing;

use std::sync::Arc;

use schemas::position::SourceId;
use schemas::{Envelope, MessageId, Partition};

use routing::Routes;

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

impl Ready {
    /// Whether an attempt was made before: those are under a provider account's retry budget.
    pub const fn is_retry(&self) -> bool {
        self.attempt > 1
    }
}
