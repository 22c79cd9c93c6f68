//! What other systems are told of messages: each thing that happened to one, as a record of the
//! topic of events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::messages::TimelineBody;
use crate::{AccountId, CampaignId, Message, MessageClass, MessageId};

/// One thing that happened to a message. Nothing in it tells who the recipient is or what was
/// written to them.
///
/// Records of one message have its id as their key and lie in one partition, in order. Each is
/// written once, in the transaction that makes the state it tells of count, so whoever reads
/// what is committed reads a message's whole life.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageEvent {
    /// Whose message.
    pub account: AccountId,
    /// The message.
    pub message: MessageId,
    /// The campaign it belongs to.
    #[schema(required = true)]
    pub campaign: Option<CampaignId>,
    /// Its class.
    pub class: MessageClass,
    /// The place of this in the message's life, from 0, without gaps.
    pub number: u32,
    /// The provider's own id of the text, once there is one.
    #[schema(required = true)]
    pub provider_message_id: Option<String>,
    /// A stable word for why the message stands where it does, for ends that need one; of its
    /// latest event only.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub entry: TimelineBody,
}

impl MessageEvent {
    /// What happened to a message beyond the first `told` things.
    pub fn beyond(message: &Message, told: usize) -> impl Iterator<Item = Self> {
        let envelope = &message.envelope;
        let last = message.timeline.len().saturating_sub(1);
        let entries = message.timeline.iter().enumerate().skip(told);
        entries.map(move |(number, entry)| Self {
            account: envelope.account,
            message: envelope.id,
            campaign: envelope.campaign,
            class: envelope.class,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            provider_message_id: message.provider_message_id.clone(),
            reason: message.reason.clone().filter(|_| number == last),
            entry: TimelineBody::of(entry),
        })
    }
}
