//! Imports: one importer for each job, which reads its file and puts contacts on a list.

mod file;
mod files;
pub mod importer;
pub mod shared;

pub use self::files::Imports;
