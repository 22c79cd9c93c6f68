//! What it takes for a struct to be stored: a table, a key, and one way of writing.
//!
//! A record names its table, its partition key and its clustering key. An embedded
//! store derives a byte key from them, a CQL store its columns. Each record is
//! written in exactly one of three ways, and the verbs of the other ways do not
//! compile on it:
//!
//! - [`Projection`]: written only by applying the journal, one owner at a time;
//! - [`WriteOnce`]: put if absent, never changed;
//! - [`CompareAndSet`]: replaced only when its version is the one that was read.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One table: a name (a CQL identifier) and a short tag that never changes and that
/// starts the byte keys of an embedded store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The table's name in CQL and in errors.
    pub name: &'static str,
    /// The first byte of its keys. Never reused.
    pub tag: u8,
    /// How many leading parts of the key are the partition key.
    pub partition_parts: usize,
}

/// One part of a key. Byte order of the encoded parts is the order of their values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// An id or other fixed 16 bytes.
    Id([u8; 16]),
    /// A small unsigned number, such as a shard or a partition.
    U16(u16),
    /// An unsigned number, such as an offset.
    U64(u64),
    /// A signed number, such as a day, a minute or an instant.
    I64(i64),
    /// Text of any length without the character U+0000.
    Text(String),
}

/// How many leading [`KeyPart`]s are given decides what a key names: all of them, one
/// row; fewer, a range.
pub type Key = Vec<KeyPart>;

/// Written by applying the journal.
#[derive(Debug)]
pub struct Projection;
/// Put if absent, then never changed.
#[derive(Debug)]
pub struct WriteOnce;
/// Replaced when its version is the one that was read.
#[derive(Debug)]
pub struct CompareAndSet;

/// A way of writing.
pub trait Writing: private::Sealed {}
impl Writing for Projection {}
impl Writing for WriteOnce {}
impl Writing for CompareAndSet {}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Projection {}
    impl Sealed for super::WriteOnce {}
    impl Sealed for super::CompareAndSet {}
}

/// A stored struct. Fields are only ever added, each with a default, so rows of
/// every release are read for ever.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The way it is written.
    type Writing: Writing;
    /// Where it is kept.
    const TABLE: Table;

    /// The whole key: partition key, then clustering key.
    fn key(&self) -> Key;
}

/// A record with a version, for [`CompareAndSet`].
pub trait Versioned: Record<Writing = CompareAndSet> {
    /// 1 when first stored, one more with each replacement.
    fn version(&self) -> u64;
    /// Sets the version; the store calls it, nobody else.
    fn set_version(&mut self, version: u64);
}

/// Tables and their tags, in one place so that no tag is given twice.
pub mod tables {
    use super::Table;

    const fn table(name: &'static str, tag: u8, partition_parts: usize) -> Table {
        Table {
            name,
            tag,
            partition_parts,
        }
    }

    /// [`crate::message::Message`]
    pub const MESSAGES: Table = table("messages", 1, 3);
    /// [`crate::message::Intake`]
    pub const INTAKE: Table = table("intake", 2, 3);
    /// [`crate::message::IdempotencyKey`]
    pub const IDEMPOTENCY_KEYS: Table = table("idempotency_keys", 3, 2);
    /// [`crate::text::Binding`]
    pub const BINDINGS: Table = table("bindings", 4, 2);
    /// [`crate::due::DueEntry`]
    pub const DUE: Table = table("due", 5, 3);
    /// [`crate::text::ParkedReceipt`]
    pub const PARKED_RECEIPTS: Table = table("parked_receipts", 6, 1);
    /// [`crate::campaign::Campaign`]
    pub const CAMPAIGNS: Table = table("campaigns", 7, 1);
    /// [`crate::campaign::CampaignTally`]
    pub const CAMPAIGN_TALLIES: Table = table("campaign_tallies", 8, 1);
    /// [`crate::audience::AudienceChunk`]
    pub const AUDIENCE_CHUNKS: Table = table("audience_chunks", 9, 2);
    /// [`crate::contact::Contact`]
    pub const CONTACTS: Table = table("contacts", 10, 2);
    /// [`crate::contact::ListMember`]
    pub const LIST_MEMBERS: Table = table("list_members", 11, 2);
    /// [`crate::contact::ContactList`]
    pub const CONTACT_LISTS: Table = table("contact_lists", 12, 1);
    /// [`crate::job::Job`]
    pub const JOBS: Table = table("jobs", 13, 1);
    /// [`crate::job::JobProgress`]
    pub const JOB_PROGRESS: Table = table("job_progress", 14, 1);
    /// [`crate::job::JobReject`]
    pub const JOB_REJECTS: Table = table("job_rejects", 15, 1);
    /// [`crate::account::Account`]
    pub const ACCOUNTS: Table = table("accounts", 16, 1);
    /// [`crate::account::ApiKey`]
    pub const API_KEYS: Table = table("api_keys", 17, 1);
    /// [`crate::position::CommittedPosition`]
    pub const POSITIONS: Table = table("positions", 18, 1);
    /// [`crate::provider::ProviderStamp`]
    pub const PROVIDER_STAMPS: Table = table("provider_stamps", 19, 1);
    /// [`crate::text::UnknownAttempt`]
    pub const UNKNOWN_ATTEMPTS: Table = table("unknown_attempts", 20, 2);
    /// [`crate::held::HeldMessage`]
    pub const HELD_MESSAGES: Table = table("held_messages", 21, 2);

    /// [`crate::consent::Consent`]
    pub const CONSENTS: Table = table("consents", 22, 3);
    /// [`crate::provider::ProviderOrder`]
    pub const PROVIDER_ORDERS: Table = table("provider_orders", 23, 1);
    /// [`crate::held::HeldCount`]
    pub const HELD_COUNTS: Table = table("held_counts", 24, 1);
    /// [`crate::health::ProviderHealth`]
    pub const PROVIDER_HEALTH: Table = table("provider_health", 25, 1);
    /// [`crate::ingress::IngressPosition`]
    pub const INGRESS_POSITIONS: Table = table("ingress_positions", 26, 1);
    /// [`crate::topic::TopicMark`]
    pub const TOPIC_MARKS: Table = table("topic_marks", 27, 1);

    /// [`crate::job::JobFilePiece`]
    pub const JOB_FILES: Table = table("job_files", 28, 2);

    /// [`crate::due::DueLookUps`]
    pub const DUE_LOOK_UPS: Table = table("due_look_ups", 29, 2);

    /// [`crate::limit::LimitDivision`]
    pub const LIMIT_DIVISIONS: Table = table("limit_divisions", 30, 1);

    /// Every table, in the order of their tags.
    pub const ALL: [Table; 30] = [
        MESSAGES,
        INTAKE,
        IDEMPOTENCY_KEYS,
        BINDINGS,
        DUE,
        PARKED_RECEIPTS,
        CAMPAIGNS,
        CAMPAIGN_TALLIES,
        AUDIENCE_CHUNKS,
        CONTACTS,
        LIST_MEMBERS,
        CONTACT_LISTS,
        JOBS,
        JOB_PROGRESS,
        JOB_REJECTS,
        ACCOUNTS,
        API_KEYS,
        POSITIONS,
        PROVIDER_STAMPS,
        UNKNOWN_ATTEMPTS,
        HELD_MESSAGES,
        CONSENTS,
        PROVIDER_ORDERS,
        HELD_COUNTS,
        PROVIDER_HEALTH,
        INGRESS_POSITIONS,
        TOPIC_MARKS,
        JOB_FILES,
        DUE_LOOK_UPS,
        LIMIT_DIVISIONS,
    ];

    /// Tables that say something of servers and nodes, and nothing elsewhere.
    pub const OF_NODES: [Table; 2] = [TOPIC_MARKS, LIMIT_DIVISIONS];

    /// Every table whose rows are projections of the journal.
    pub const PROJECTIONS: [Table; 16] = [
        MESSAGES,
        BINDINGS,
        DUE,
        DUE_LOOK_UPS,
        PARKED_RECEIPTS,
        CAMPAIGN_TALLIES,
        CONTACTS,
        LIST_MEMBERS,
        JOB_PROGRESS,
        JOB_REJECTS,
        POSITIONS,
        PROVIDER_STAMPS,
        UNKNOWN_ATTEMPTS,
        HELD_MESSAGES,
        HELD_COUNTS,
        CONSENTS,
    ];
}
