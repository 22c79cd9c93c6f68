//! What a provider answers, in our words, and what is kept of a provider account.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, MessageId, ProviderId};
use crate::phone::Phone;
use crate::position::Sequence;
use crate::record::{CompareAndSet, Key, KeyPart, Projection, Record, Table, Versioned, tables};
use crate::slice::{Partition, Slice};
use crate::status::ReceiptStatus;
use crate::time::UnixMicros;

/// What became of an attempt: a closed list. What is not clearly a yes or a no is
/// [`SubmitOutcome::Unknown`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitOutcome {
    /// The provider has the text.
    Accepted {
        /// The provider's own id of the text.
        provider_message_id: String,
    },
    /// The provider refused the text for good.
    Rejected {
        /// Whose fault it is.
        class: RejectClass,
        /// The provider's code, such as `21211`.
        code: String,
    },
    /// Too fast: the provider did not take it and wants it later.
    Throttled {
        /// The wait the provider asked for, in milliseconds.
        retry_after_ms: Option<u64>,
        /// The provider's code, such as `20429`, or the HTTP status.
        code: String,
    },
    /// The text certainly did not reach the provider.
    NotSent {
        /// A stable word: `connect_refused`, `dns`, `deadline_passed`, `returned` …
        cause: String,
    },
    /// The provider may or may not have the text.
    Unknown {
        /// A stable word: `timeout`, `connection_lost`, `server_error`, `crash` …
        cause: String,
    },
}

/// Why a provider refuses for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectClass {
    /// The number cannot be texted.
    Recipient,
    /// The text is refused.
    Content,
    /// Our account, key or sender is refused.
    Account,
    /// The recipient opted out.
    OptedOut,
}

impl RejectClass {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Content => "content",
            Self::Account => "account",
            Self::OptedOut => "opted_out",
        }
    }
}

/// Which attempt something speaks of; our callback URLs carry it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AttemptRef {
    /// Whose message.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// The message.
    #[serde(rename = "m")]
    pub message: MessageId,
    /// Number of the attempt, from 1.
    #[serde(rename = "n")]
    pub attempt: u32,
}

/// A delivery receipt, or the answer of a look-up, in our words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryReceipt {
    /// What our callback URL says it is about; `None` when it carried nothing of ours.
    pub attempt: Option<AttemptRef>,
    /// The provider's own id of the text.
    pub provider_message_id: String,
    /// What it says; `None` for a word that we do not understand.
    pub status: Option<ReceiptStatus>,
    /// The provider's error code, such as `30003`.
    pub error_code: Option<String>,
    /// The provider's own word.
    pub provider_status: String,
    /// The recipient's number, where the provider tells it.
    #[serde(default)]
    pub to: Option<Phone>,
}

impl DeliveryReceipt {
    /// The slice of the message that it is about; `None` when nothing tells.
    pub fn slice(&self) -> Option<Slice> {
        match (&self.attempt, &self.to) {
            (Some(attempt), _) => Some(attempt.message.slice()),
            (None, Some(to)) => Some(to.slice()),
            (None, None) => None,
        }
    }
}

/// When a provider account was last written to: a node that starts rests until one
/// window after it, so that no sliding second sees more than the limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProviderStamp {
    /// The provider account.
    pub provider: ProviderId,
    /// The partition whose journal holds the attempt.
    pub partition: Partition,
    /// The latest deadline of any attempt of this partition at this provider.
    pub latest_deadline: UnixMicros,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl ProviderStamp {
    /// The key of one partition's stamp.
    pub fn key_of(provider: ProviderId, partition: Partition) -> Key {
        vec![KeyPart::Id(*provider.as_bytes()), KeyPart::U16(partition.0)]
    }
}

impl Record for ProviderStamp {
    type Writing = Projection;
    const TABLE: Table = tables::PROVIDER_STAMPS;

    fn key(&self) -> Key {
        Self::key_of(self.provider, self.partition)
    }
}

/// What operators have ordered for a provider account, beside the settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProviderOrder {
    /// The provider account.
    pub provider: ProviderId,
    /// Millionths of a segment per second, where that is less than the settings allow.
    pub rate_millionths: Option<u64>,
    /// Whether nothing is to be sent through it; what is in flight goes on to its end.
    pub is_disabled: bool,
    /// See [`Versioned`].
    pub version: u64,
}

impl ProviderOrder {
    /// Nothing was ordered: as the settings have it.
    pub const fn none(provider: ProviderId) -> Self {
        Self {
            provider,
            rate_millionths: None,
            is_disabled: false,
            version: 0,
        }
    }

    /// The rate in force, of what the settings allow, in segments per second.
    pub fn rate(&self, allowed: f64) -> f64 {
        let ordered = self.rate_millionths.map(|rate| rate as f64 / 1e6);
        ordered.map_or(allowed, |rate| rate.min(allowed))
    }

    /// The key of one account's order.
    pub fn key_of(provider: ProviderId) -> Key {
        vec![KeyPart::Id(*provider.as_bytes())]
    }
}

impl Record for ProviderOrder {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::PROVIDER_ORDERS;

    fn key(&self) -> Key {
        Self::key_of(self.provider)
    }
}

impl Versioned for ProviderOrder {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}
