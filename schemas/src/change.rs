//! What a journal holds: changes, in the order in which they were committed.
//!
//! A change is a fact. What follows from it (rows, numbers, the next state) is worked
//! out by applying it, always in the same way, so that every projection can be
//! deleted and made again from the journal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::contact::ContactFields;
use crate::id::{AccountId, CampaignId, ContactId, JobId, ListId, MessageId, ProviderId};
use crate::job::{ImportPosition, JobState};
use crate::message::{Envelope, MessageClass};
use crate::phone::Phone;
use crate::position::{Sequence, SourceId};
use crate::provider::{AttemptRef, DeliveryReceipt, SubmitOutcome};
use crate::slice::Partition;
use crate::time::UnixMicros;

/// What one group commit wrote for one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalRecord {
    /// The partition.
    pub partition: Partition,
    /// Its place: 1 for the first, then one more each time.
    pub sequence: Sequence,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A message with a `send_at` to come was taken from the work log.
    Scheduled {
        /// What is to be sent.
        envelope: Arc<Envelope>,
        /// When.
        at: UnixMicros,
    },
    /// An attempt is about to be made. Refused when the message has an open attempt or
    /// stands where none may begin: this is what keeps a person from being texted twice.
    AttemptBegun {
        /// What is sent.
        envelope: Arc<Envelope>,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// The provider account.
        provider: ProviderId,
        /// The sender used.
        sender: String,
        /// When.
        at: UnixMicros,
        /// The provider may not be written to after this.
        deadline: UnixMicros,
    },
    /// What became of an attempt.
    AttemptEnded {
        /// Which.
        attempt: AttemptRef,
        /// What became of it.
        outcome: SubmitOutcome,
        /// What follows for a message that was not taken.
        then: AfterAttempt,
        /// When the provider was written to; `None` when it was not, or nobody knows.
        sent_at: Option<UnixMicros>,
        /// When.
        at: UnixMicros,
    },
    /// A gate held a message back before any attempt.
    Skipped {
        /// What would have been sent to whom.
        recipient: SkippedRecipient,
        /// Why: a stable word.
        reason: String,
        /// When.
        at: UnixMicros,
    },
    /// A message's validity ended before it left.
    ValidityEnded {
        /// What would have been sent.
        envelope: Arc<Envelope>,
        /// When.
        at: UnixMicros,
    },
    /// A receipt came, or a look-up answered as one.
    Receipt {
        /// From which provider account.
        provider: ProviderId,
        /// What it says.
        receipt: DeliveryReceipt,
        /// How it was learnt.
        learnt: Learnt,
        /// When.
        at: UnixMicros,
    },
    /// A look-up of a message is over and another is planned, or none.
    LookedUp {
        /// The attempt that was asked about; refused unless it is the message's last.
        attempt: AttemptRef,
        /// Look-ups made, this one included.
        made: u32,
        /// When the next one is due.
        next: Option<UnixMicros>,
        /// When.
        at: UnixMicros,
    },
    /// A message without a receipt by validity and 72 hours.
    NoReceipt {
        /// Whose message.
        account: AccountId,
        /// The message.
        message: MessageId,
        /// When.
        at: UnixMicros,
    },
    /// Policy sends an unknown message again.
    Resend {
        /// The attempt that was searched for; refused unless it is the message's last.
        attempt: AttemptRef,
        /// When the attempt is due.
        due: UnixMicros,
        /// When.
        at: UnixMicros,
    },
    /// A chunk of a campaign's audience is durable.
    AudienceFrozen {
        /// The campaign.
        campaign: CampaignId,
        /// The chunk's number, from 0; refused unless it is the next.
        chunk: u32,
        /// Its entries.
        entries: u32,
        /// Whether it is the partition's last.
        last: bool,
    },
    /// Nothing more of a campaign begins in this partition, and whoever was not touched yet
    /// is counted off.
    CampaignCanceled {
        /// The campaign.
        campaign: CampaignId,
        /// When.
        at: UnixMicros,
    },
    /// A message of a canceled campaign that waited for another attempt was withdrawn.
    MessageCanceled {
        /// Whose message.
        account: AccountId,
        /// The message.
        message: MessageId,
        /// When.
        at: UnixMicros,
    },
    /// A message that could leave is put aside: its campaign is held, or none of the provider
    /// accounts works that may carry it.
    MessageHeld {
        /// Whose message.
        account: AccountId,
        /// The message.
        message: MessageId,
        /// What is to be sent, of a message that may have no row yet.
        #[serde(default)]
        envelope: Option<Arc<Envelope>>,
        /// The provider accounts that may carry it, in order; none when its campaign is held, or
        /// when the settings have none.
        #[serde(default)]
        providers: Vec<ProviderId>,
        /// When it is due all the same, since its validity ends. While a campaign is held its
        /// messages wait until it goes on.
        #[serde(default)]
        until: Option<UnixMicros>,
        /// When.
        at: UnixMicros,
    },
    /// What it waited for has come: it is due again.
    MessageReleased {
        /// Its campaign, if it has one.
        campaign: Option<CampaignId>,
        /// Whose message.
        account: AccountId,
        /// The message.
        message: MessageId,
        /// When the attempt is due.
        due: UnixMicros,
        /// When.
        at: UnixMicros,
    },
    /// As many others are tried again as may be: its further attempt is due later.
    Postponed {
        /// Whose message.
        account: AccountId,
        /// The message.
        message: MessageId,
        /// When the attempt is due.
        due: UnixMicros,
        /// When.
        at: UnixMicros,
    },
    /// A person asked a sender for no more texts, or for texts again.
    ConsentChanged {
        /// The person.
        phone: Phone,
        /// The senders that were asked: a number, and the service that it belongs to.
        senders: Vec<String>,
        /// Whether it was for no more.
        stops: bool,
        /// The provider account it came through.
        provider: ProviderId,
        /// The provider's own id of the text that asked.
        provider_message_id: String,
        /// When.
        at: UnixMicros,
    },
    /// A source was read up to here.
    Advanced {
        /// The source.
        source: SourceId,
        /// The next position to read; never lower than before.
        position: u64,
    },
    /// A record of an import put a contact on a list.
    ContactImported {
        /// Whose contact.
        account: AccountId,
        /// The list.
        list: ListId,
        /// The job.
        job: JobId,
        /// The physical line where the record starts.
        line: u64,
        /// The contact's id, should it be new.
        contact: ContactId,
        /// The number.
        phone: Phone,
        /// The other columns.
        fields: ContactFields,
        /// When.
        at: UnixMicros,
    },
    /// Records of an import were read. Belongs to the job's home partition.
    ImportAdvanced {
        /// The job.
        job: JobId,
        /// Where it stands now.
        state: JobState,
        /// Records read since the last of these.
        records: u64,
        /// Of them, those that put a number on the list.
        contacts: u64,
        /// Of them, those whose number was on the list already.
        merged: u64,
        /// Of them, those that were refused.
        rejects: Vec<Reject>,
        /// Where to go on.
        resume: Option<ImportPosition>,
        /// Why the whole of it failed.
        error: Option<String>,
        /// When.
        at: UnixMicros,
    },
    /// A parked receipt needs no place any more: it was tried again, or it fitted no
    /// message for 72 hours.
    ParkedDropped {
        /// From which provider account.
        provider: ProviderId,
        /// The provider's own id of the text.
        provider_message_id: String,
        /// The provider's own word.
        provider_status: String,
    },
}

/// What follows an attempt that did not bring the text to the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterAttempt {
    /// Nothing: the outcome says all.
    Settle,
    /// Another attempt at this instant.
    RetryAt(UnixMicros),
    /// As if the attempt had never been: it was handed back untouched, and does not count.
    Return(UnixMicros),
    /// No attempt is left.
    GiveUp,
    /// The validity ends first.
    Expire,
    /// Ask the provider at this instant.
    LookUpAt(UnixMicros),
}

/// Whom a gate held a message back from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkippedRecipient {
    /// A message that was ready.
    Message(Arc<Envelope>),
    /// A recipient of a campaign for whom no text could be made.
    Recipient {
        /// Whose campaign.
        account: AccountId,
        /// The id its message would have had.
        message: MessageId,
        /// The campaign.
        campaign: CampaignId,
        /// The contact.
        contact: ContactId,
        /// The number as it was at launch.
        to: Phone,
        /// The class of the campaign.
        class: MessageClass,
    },
}

/// How a receipt was learnt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learnt {
    /// The provider called us.
    Webhook,
    /// We asked for the text by the provider's id.
    Fetch,
    /// We searched the provider's list for an unknown attempt, and one text fitted.
    Search,
}

/// A refused record of an import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reject {
    /// The physical line where the record starts, from 1.
    pub line: u64,
    /// The column it was refused for.
    pub column: Option<String>,
    /// Why: a stable code.
    pub reason: String,
}
