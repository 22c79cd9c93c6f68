//! What tests across crates share: one constructor for each part.

pub mod fixture;
