//! What is decided, and how the outside is touched.
//!
//! Decisions are plain state machines with time, randomness and ids passed in;
//! the ports (store, log, journal, provider) keep their backends private.

pub mod callbacks;
pub mod client;
pub mod contacts;
pub mod dispatch;
pub mod inbound;
#[cfg(feature = "cluster")]
pub mod ingress;
pub mod intake;
pub mod journal;
#[cfg(feature = "cluster")]
mod kafka;
pub mod log;
pub mod pacing;
pub mod provider;
pub mod retry;
pub mod runtime;
pub mod send_window;
pub mod settings;
pub mod storage;
pub mod store;
pub mod text;
pub mod transfer;
pub mod verify;
