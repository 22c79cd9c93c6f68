//! The tables of a CQL store, one file for each: what `volley migrate` runs, and where the
//! program reads which field of a record lies in which column. `schemas/cql/README.md` says how
//! the files are written.

/// One file of `schemas/cql`.
#[derive(Clone, Copy, Debug)]
pub struct CqlFile {
    /// The table's name.
    pub table: &'static str,
    /// What the file says.
    pub text: &'static str,
}

macro_rules! files {
    ($($table:literal),* $(,)?) => {
        [$(CqlFile {
            table: $table,
            text: include_str!(concat!("../cql/", $table, ".cql")),
        }),*]
    };
}

/// Every table.
pub const FILES: [CqlFile; 30] = files![
    "accounts",
    "api_keys",
    "audience_chunks",
    "bindings",
    "campaign_tallies",
    "campaigns",
    "consents",
    "contact_lists",
    "contacts",
    "due",
    "due_look_ups",
    "held_counts",
    "held_messages",
    "idempotency_keys",
    "ingress_positions",
    "intake",
    "job_files",
    "job_progress",
    "job_rejects",
    "jobs",
    "limit_divisions",
    "list_members",
    "messages",
    "parked_receipts",
    "positions",
    "provider_health",
    "provider_orders",
    "provider_stamps",
    "topic_marks",
    "unknown_attempts",
];
