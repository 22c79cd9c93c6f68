//! Imports: one importer for each job, which reads its file and puts contacts on a list.

mod file;
pub mod importer;
