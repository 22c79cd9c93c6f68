//! Contacts as they come in: a file somebody exported from somewhere, read as a stream.

pub mod fields;

pub use fields::ContactFields;

/// A telephone number as E.164 writes it: `+`, then country code and number, digits only.
pub type E164 = String;
