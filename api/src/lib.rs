//! How it is asked for: the REST API, who may ask, and the `volley` binary.
//!
//! Handlers extract, do one thing and answer. They write to the store, take messages
//! in and append to the logs; none of them commands an actor, so one process and many
//! behave alike.

pub mod accounts;
mod admission;
pub mod auth;
pub mod command;
#[cfg(feature = "cluster")]
mod connecting;
pub mod demo;
pub mod doors;
pub mod exit;
mod failure;
pub mod http;
pub mod idempotency;
pub mod in_process;
#[cfg(feature = "cluster")]
pub mod ingress;
mod json;
pub mod node;
mod observe;
pub mod ownership;
mod parameters;
pub mod problem;
mod progress;
mod rate;
mod signal;
