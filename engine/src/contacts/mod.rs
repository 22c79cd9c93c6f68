//! Contacts as they come in: a file somebody exported from somewhere, read as a stream.
//!
//! [`reader`] walks a file record by record and never holds more than one; each record becomes a
//! contact or a [`reject`] with the physical line where it starts, so that
//! records = contacts + rejected, and the position after any of them is enough to go on later.
//! [`records`] finds where records end, [`header`] what the columns mean, [`phone`] which numbers
//! the cells hold.

pub mod header;
pub mod phone;
pub mod reader;
pub mod records;
pub mod reject;

pub use header::{Delimiter, FileLayout, ImportFileError};
pub use phone::PhoneParser;
pub use reader::{ContactReader, ImportOptions, ImportedContact, Record};
pub use reject::{Reject, RejectReason, RejectsWriter};

#[cfg(test)]
mod tests;
