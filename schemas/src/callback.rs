//! What providers tell us by themselves, as one node passes it to the owner of the journals.

use serde::{Deserialize, Serialize};

use crate::change::{Change, Learnt};
use crate::id::ProviderId;
use crate::phone::Phone;
use crate::provider::DeliveryReceipt;
use crate::slice::Slice;
use crate::time::UnixMicros;

/// One thing that a provider told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callback {
    /// What became of a text.
    Receipt {
        /// From which provider account.
        provider: ProviderId,
        /// What it says.
        receipt: DeliveryReceipt,
        /// When it came.
        at: UnixMicros,
    },
    /// A person said STOP to some of our senders, or START.
    Consent {
        /// The person.
        phone: Phone,
        /// To which of our senders.
        senders: Vec<String>,
        /// Whether no more texts are wanted.
        stops: bool,
        /// The provider account.
        provider: ProviderId,
        /// The person's text, as the provider calls it.
        provider_message_id: String,
        /// When it came.
        at: UnixMicros,
    },
}

impl Callback {
    /// Whose slice it is: that of the message that a receipt is about, by what our callback URL
    /// carries, else by the recipient's number; that of a person. `None` for a receipt that tells
    /// neither.
    pub fn slice(&self) -> Option<Slice> {
        match self {
            Self::Receipt { receipt, .. } => receipt.slice(),
            Self::Consent { phone, .. } => Some(phone.slice()),
        }
    }

    /// What it changes.
    pub fn into_change(self) -> Change {
        match self {
            Self::Receipt {
                provider,
                receipt,
                at,
            } => Change::Receipt {
                provider,
                receipt,
                learnt: Learnt::Webhook,
                at,
            },
            Self::Consent {
                phone,
                senders,
                stops,
                provider,
                provider_message_id,
                at,
            } => Change::ConsentChanged {
                phone,
                senders,
                stops,
                provider,
                provider_message_id,
                at,
            },
        }
    }
}
