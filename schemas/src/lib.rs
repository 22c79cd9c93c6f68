//! What is said in Volley: ids, phones, messages, attempts, receipts, campaigns,
//! the changes a journal holds and the rows that are projected from them, and
//! which status may follow which. Pure data: nothing here waits, reads or writes.

pub mod account;
pub mod asyncapi;
pub mod audience;
pub mod callback;
pub mod campaign;
pub mod change;
pub mod consent;
pub mod contact;
pub mod cql;
pub mod due;
pub mod event;
pub mod health;
pub mod held;
pub mod http;
pub mod id;
pub mod ingress;
pub mod job;
pub mod limit;
pub mod message;
pub mod phone;
pub mod position;
pub mod provider;
pub mod record;
pub mod secret;
pub mod slice;
pub mod status;
pub mod text;
pub mod time;
pub mod topic;

pub use id::{AccountId, CampaignId, ContactId, JobId, KeyId, ListId, MessageId, ProviderId};
pub use message::{Encoding, Envelope, Message, MessageClass};
pub use phone::Phone;
pub use secret::{Body, Secret};
pub use slice::{Partition, PartitionCount, PartitionRange, Slice};
pub use status::{MessageStatus, StatusEvent};
pub use time::UnixMicros;
