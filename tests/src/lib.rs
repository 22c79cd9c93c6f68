//! What tests across crates share: one constructor for each part, and the judge that
//! compares what a node says with the sandbox's book.

#[cfg(feature = "cluster")]
pub mod backends;
pub mod child;
pub mod fixture;
pub mod judge;
pub mod kill;
pub mod person;
mod port;
pub mod rows;
pub mod simulation;
pub mod user;
pub mod world;
