//! Dispatching: sources are read ahead a bounded way, and work is given out when a
//! sender asks for it.

mod admission;
pub mod begin;
pub(crate) mod careful;
pub mod demand;
pub mod dispatcher;
pub mod due;
pub mod holds;
pub mod messages;
pub mod outcomes;
mod postponed;
pub mod release;
pub mod source;
pub mod stranded;
