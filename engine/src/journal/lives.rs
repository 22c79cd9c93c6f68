//! One message's life: steps along the table of states, each told in the timeline.

use std::sync::Arc;

use schemas::change::{Learnt, SkippedRecipient};
use schemas::message::TimelineEntry;
use schemas::{
    Body, Encoding, Envelope, Message, MessageStatus, ProviderId, StatusEvent, UnixMicros,
};

/// The most entries a timeline holds. An ordinary life has five; past this, what
/// changes nothing is no longer told.
pub const TIMELINE_ENTRIES: usize = 64;

/// The row of a message of which nothing is written yet.
pub fn new_message(envelope: &Arc<Envelope>, status: MessageStatus) -> Message {
    let created = TimelineEntry {
        at: envelope.created_at,
        status,
        event: "created".to_owned(),
        detail: None,
        provider: None,
        attempt: None,
    };
    Message {
        envelope: Arc::clone(envelope),
        status,
        reason: None,
        attempts: 0,
        provider: None,
        sender: None,
        provider_message_id: None,
        last_attempt_at: None,
        last_sent_at: None,
        next_attempt_at: None,
        held: None,
        timeline: vec![created],
        sequence: 0,
    }
}

/// The envelope that a skipped recipient's message would have had.
pub fn envelope_of(recipient: &SkippedRecipient, at: UnixMicros) -> Arc<Envelope> {
    match recipient {
        SkippedRecipient::Message(envelope) => Arc::clone(envelope),
        SkippedRecipient::Recipient {
            account,
            message,
            campaign,
            contact,
            to,
            class,
        } => Arc::new(Envelope {
            account: *account,
            id: *message,
            campaign: Some(*campaign),
            contact: Some(*contact),
            to: to.clone(),
            from: None,
            body: Body::new(""),
            class: *class,
            provider: None,
            send_at: None,
            valid_until: at,
            encoding: Encoding::Gsm7,
            segments: 0,
            created_at: message.instant(),
        }),
    }
}

/// What the timeline tells of a step.
#[derive(Debug)]
pub struct Entry {
    at: UnixMicros,
    event: &'static str,
    detail: Option<String>,
    provider: Option<ProviderId>,
    attempt: Option<u32>,
}

impl Entry {
    /// A step of which the state tells all.
    pub fn plain(at: UnixMicros, event: StatusEvent) -> Self {
        Self::of(at, event_word(event))
    }

    /// Something that is no step.
    pub fn of(at: UnixMicros, event: &'static str) -> Self {
        Self {
            at,
            event,
            detail: None,
            provider: None,
            attempt: None,
        }
    }

    /// A receipt.
    pub fn receipt(at: UnixMicros, learnt: Learnt) -> Self {
        let event = match learnt {
            Learnt::Webhook => "receipt",
            Learnt::Fetch => "receipt_fetched",
            Learnt::Search => "found_by_search",
        };
        Self::of(at, event)
    }

    /// With more of it, for people.
    pub fn detailed(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the attempt concerned.
    pub fn of_attempt(mut self, provider: ProviderId, attempt: u32) -> Self {
        self.provider = Some(provider);
        self.attempt = Some(attempt);
        self
    }
}

/// Takes one step if the table has it; tells whether it did.
pub fn step(message: &mut Message, event: StatusEvent, entry: Entry) -> bool {
    let Some(next) = message.status.next(event) else {
        return false;
    };
    message.status = next;
    tell(message, entry);
    true
}

/// Tells of something that is no step, as long as there is room.
pub fn note(message: &mut Message, entry: Entry) {
    if message.timeline.len() < TIMELINE_ENTRIES {
        tell(message, entry);
    }
}

/// Tells of something that changed nothing, once, as long as there is room.
pub fn tell_once(message: &mut Message, entry: Entry) -> bool {
    let told = message.timeline.iter().any(|earlier| {
        earlier.event == entry.event
            && earlier.detail == entry.detail
            && earlier.attempt == entry.attempt
    });
    if told || message.timeline.len() >= TIMELINE_ENTRIES {
        return false;
    }
    tell(message, entry);
    true
}

fn tell(message: &mut Message, entry: Entry) {
    message.timeline.push(TimelineEntry {
        at: entry.at,
        status: message.status,
        event: entry.event.to_owned(),
        detail: entry.detail,
        provider: entry.provider,
        attempt: entry.attempt,
    });
}

const fn event_word(event: StatusEvent) -> &'static str {
    match event {
        StatusEvent::Due => "due",
        StatusEvent::AttemptBegun => "attempt_begun",
        StatusEvent::SubmitAccepted => "accepted_by_provider",
        StatusEvent::SubmitRejected => "rejected_by_provider",
        StatusEvent::RetryPlanned => "retry_planned",
        StatusEvent::GivenUp => "given_up",
        StatusEvent::OutcomeUnknown => "outcome_unknown",
        StatusEvent::Receipt(_) => "receipt",
        StatusEvent::NoReceipt => "no_receipt",
        StatusEvent::Resend => "resend_planned",
        StatusEvent::Skip => "skipped",
        StatusEvent::ValidityEnded => "validity_ended",
        StatusEvent::Cancel => "canceled",
    }
}
