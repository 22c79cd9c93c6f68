//! Campaigns: one coordinator for each that runs.

pub mod coordinator;
mod held;
mod launch;
