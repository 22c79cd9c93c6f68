//! `/v1/messages`: one text to one person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{CampaignId, ContactId, MessageId, ProviderId};
use crate::message::{Encoding, Envelope, Intake, Message, MessageClass, TimelineEntry};
use crate::phone::Phone;
use crate::secret::Body;
use crate::status::MessageStatus;

/// `POST /v1/messages`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// The recipient in E.164: `+` and digits.
    #[schema(value_type = Phone)]
    pub to: Option<Recipient>,
    /// The sender; left out, that of the provider account that takes the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The text: 1 to 1,600 characters.
    #[schema(value_type = String, min_length = 1, max_length = 1_600, examples("Your table is ready."))]
    pub body: Option<Body>,
    /// `transactional` or `marketing`.
    #[schema(value_type = MessageClass)]
    pub class: Option<String>,
    /// The id of a provider account; left out or `auto`, any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(auto|prv_[0-9a-f]{32})$")]
    pub provider: Option<String>,
    /// Not before this instant, RFC 3339; at most 35 days ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub send_at: Option<String>,
    /// For how long it may be sent, from `send_at` on, in seconds: 1 to 36,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_000)]
    pub validity_period: Option<u64>,
}

/// A recipient as the caller wrote it; not yet a number, but already no log's business.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipient(pub String);

impl std::fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[recipient]")
    }
}

/// A message as it stands now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageBody {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub status: MessageStatus,
    /// A stable word for why, for ends that need one.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// The recipient.
    pub to: Phone,
    /// The sender asked for.
    #[schema(required = true)]
    pub from: Option<String>,
    /// The text.
    #[schema(value_type = String)]
    pub body: Body,
    /// The class.
    pub class: MessageClass,
    /// The campaign it belongs to.
    #[schema(required = true)]
    pub campaign: Option<CampaignId>,
    /// The contact it is for.
    #[schema(required = true)]
    pub contact: Option<ContactId>,
    /// The provider account that carried it last; before that, the one asked for.
    #[schema(required = true)]
    pub provider: Option<ProviderId>,
    /// The sender that was used.
    #[schema(required = true)]
    pub sender: Option<String>,
    /// The provider's own id of the text.
    #[schema(required = true)]
    pub provider_message_id: Option<String>,
    /// `gsm7` or `ucs2`.
    pub encoding: Encoding,
    /// How many parts the text has on the air.
    pub segments: u32,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before this instant, RFC 3339.
    #[schema(format = DateTime, required = true)]
    pub send_at: Option<String>,
    /// Not after this instant, RFC 3339.
    #[schema(format = DateTime)]
    pub valid_until: String,
    /// When we took it, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the provider was last written to, RFC 3339: the send stamp that pacing is
    /// judged by.
    #[schema(format = DateTime, required = true)]
    pub sent_at: Option<String>,
    /// When its next attempt is due, RFC 3339.
    #[schema(format = DateTime, required = true)]
    pub next_attempt_at: Option<String>,
    /// Everything that happened to it, oldest first. Listings leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Vec<TimelineBody>>,
}

/// One thing that happened to a message.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TimelineBody {
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The state afterwards.
    pub status: MessageStatus,
    /// What happened: a stable word.
    pub event: String,
    /// More of it, for people.
    #[schema(required = true)]
    pub detail: Option<String>,
    /// The provider account concerned.
    #[schema(required = true)]
    pub provider: Option<ProviderId>,
    /// The attempt concerned, from 1.
    #[schema(required = true)]
    pub attempt: Option<u32>,
}

impl MessageBody {
    /// The message without its timeline, as listings show it.
    pub fn of_message(message: &Message) -> Self {
        Self {
            status: message.status,
            reason: message.reason.clone(),
            provider: message.provider.or(message.envelope.provider),
            sender: message.sender.clone(),
            provider_message_id: message.provider_message_id.clone(),
            attempts: message.attempts,
            sent_at: message.last_sent_at.map(|at| at.to_rfc3339()),
            // What is put aside is looked at when its validity ends: that is no attempt.
            next_attempt_at: message
                .next_attempt_at
                .filter(|_| message.held.is_none())
                .map(|at| at.to_rfc3339()),
            ..Self::of_envelope(&message.envelope)
        }
    }

    /// The message with its timeline.
    pub fn whole(message: &Message) -> Self {
        let timeline = message.timeline.iter().map(TimelineBody::of).collect();
        Self {
            timeline: Some(timeline),
            ..Self::of_message(message)
        }
    }

    /// The message as it was accepted: nothing has happened to it yet.
    pub fn of_intake(intake: &Intake) -> Self {
        Self::of_envelope(&intake.envelope)
    }

    /// The message as it was accepted, with the beginning of its timeline.
    pub fn whole_intake(intake: &Intake) -> Self {
        let body = Self::of_intake(intake);
        let created = TimelineBody {
            at: body.created_at.clone(),
            status: body.status,
            event: "created".to_owned(),
            detail: None,
            provider: None,
            attempt: None,
        };
        Self {
            timeline: Some(vec![created]),
            ..body
        }
    }

    fn of_envelope(envelope: &Envelope) -> Self {
        let status = match envelope.send_at {
            Some(_) => MessageStatus::Scheduled,
            None => MessageStatus::Queued,
        };
        Self {
            id: envelope.id,
            status,
            reason: None,
            to: envelope.to.clone(),
            from: envelope.from.clone(),
            body: envelope.body.clone(),
            class: envelope.class,
            campaign: envelope.campaign,
            contact: envelope.contact,
            provider: envelope.provider,
            sender: None,
            provider_message_id: None,
            encoding: envelope.encoding,
            segments: envelope.segments,
            attempts: 0,
            send_at: envelope.send_at.map(|at| at.to_rfc3339()),
            valid_until: envelope.valid_until.to_rfc3339(),
            created_at: envelope.created_at.to_rfc3339(),
            sent_at: None,
            next_attempt_at: None,
            timeline: None,
        }
    }
}

impl TimelineBody {
    /// An entry of a message's row.
    pub(crate) fn of(entry: &TimelineEntry) -> Self {
        Self {
            at: entry.at.to_rfc3339(),
            status: entry.status,
            event: entry.event.clone(),
            detail: entry.detail.clone(),
            provider: entry.provider,
            attempt: entry.attempt,
        }
    }
}
