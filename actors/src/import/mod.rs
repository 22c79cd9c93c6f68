//! Imports: one importer for each job, which reads its file and puts contacts on a list.

pub mod importer;
