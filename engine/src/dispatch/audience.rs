//! Reading a frozen audience: from an entry of a chunk to a message that can be sent.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use schemas::campaign::Campaign;
use schemas::change::SkippedRecipient;
use schemas::contact::Contact;
use schemas::position::{AudiencePosition, SourceId};
use schemas::record::Key;
use schemas::{
    Body, CampaignId, ContactId, Envelope, MessageClass, MessageId, Partition, Phone, Secret,
    UnixMicros,
};
use sha2::Sha256;

use super::chunks::Chunks;
use super::routing::{Routes, Routing};
use super::{Origin, Ready};
use crate::store::{Store, StoreError};
use crate::text::{RenderError, Template, TemplateError, count_segments};

/// Everything about a running campaign that its recipients share.
#[derive(Clone)]
pub struct CampaignPlan {
    /// The campaign's row as it was read last.
    pub campaign: Campaign,
    /// When it was started.
    pub started_at: UnixMicros,
    template: Template,
    number_key: Hmac<Sha256>,
    /// Who may carry it.
    pub routes: Routes,
}

/// Time for a decision to send again to be written down.
const RESEND_MARGIN: Duration = Duration::from_secs(60);

impl CampaignPlan {
    /// Compiles the template and keys the ids.
    ///
    /// # Errors
    /// When the template does not compile.
    pub fn new(
        campaign: Campaign,
        number_key: &Secret,
        routing: &Routing,
    ) -> Result<Self, TemplateError> {
        let template = Template::compile(&campaign.template)?;
        let routes = routing.routes_of_campaign(&campaign);
        let started_at = campaign.started_at.unwrap_or(campaign.created_at);
        let number_key = keyed(number_key);
        Ok(Self {
            campaign,
            started_at,
            template,
            number_key,
            routes,
        })
    }

    /// The same with what its row says now of where it may go.
    pub fn changed_to(&self, campaign: Campaign, routing: &Routing) -> Self {
        Self {
            routes: routing.routes_of_campaign(&campaign),
            campaign,
            ..self.clone()
        }
    }

    /// When the validity of its messages ends.
    pub fn valid_until(&self) -> UnixMicros {
        let validity = Duration::from_secs(u64::from(self.campaign.validity_seconds));
        self.started_at.plus(validity)
    }

    /// Whether a message of it that is unknown may still be sent again: a transactional one,
    /// until its validity has ended, and a moment longer for what was decided just before.
    pub fn may_resend(&self, now: UnixMicros) -> bool {
        let until = self.valid_until().plus(RESEND_MARGIN);
        self.campaign.class == MessageClass::Transactional && now < until
    }

    /// Whom a message would have been for that is not made.
    fn recipient(&self, message: MessageId, to: Phone, contact: ContactId) -> SkippedRecipient {
        SkippedRecipient::Recipient {
            account: self.campaign.account,
            message,
            campaign: self.campaign.id,
            contact,
            to,
            class: self.campaign.class,
        }
    }

    /// The id of the message to this number: the same however often it is made.
    pub fn message_id(&self, phone: &Phone) -> MessageId {
        message_id(&self.number_key, self.campaign.id, self.started_at, phone)
    }
}

impl std::fmt::Debug for CampaignPlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CampaignPlan({})", self.campaign.id)
    }
}

/// An account's key, ready for use. HMAC takes keys of any length.
pub fn keyed(secret: &Secret) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret.expose().as_bytes()) {
        Ok(hmac) => hmac,
        Err(_) => Hmac::new(&Default::default()),
    }
}

fn message_id(
    number_key: &Hmac<Sha256>,
    campaign: CampaignId,
    started_at: UnixMicros,
    phone: &Phone,
) -> MessageId {
    let mut hmac = number_key.clone();
    hmac.update(campaign.as_bytes());
    hmac.update(phone.digits().as_bytes());
    let hash = hmac.finalize().into_bytes();
    let mut tail = [0; 8];
    tail.copy_from_slice(&hash[..8]);
    MessageId::new(started_at, phone.slice(), tail)
}

/// A recipient that was read.
#[derive(Debug)]
pub enum AudienceItem {
    /// Can be sent.
    Ready(Ready),
    /// Must not be, or cannot be.
    Skip {
        /// Where it was read.
        origin: Origin,
        /// Whom.
        recipient: SkippedRecipient,
        /// Why: a stable word.
        reason: &'static str,
    },
}

/// A part of an audience.
#[derive(Debug)]
pub struct AudiencePage {
    /// The recipients, in order.
    pub items: Vec<AudienceItem>,
    /// Where to read on.
    pub next: u64,
}

/// Reads up to `limit` recipients from `from` on, never past the end of a chunk.
/// `None` when that chunk is not frozen yet.
///
/// # Errors
/// When the store cannot be read.
pub async fn read(
    store: &Store,
    chunks: &Chunks,
    plan: &CampaignPlan,
    partition: Partition,
    from: u64,
    limit: usize,
) -> Result<Option<AudiencePage>, StoreError> {
    let Some(part) = part(chunks, plan, partition, from, limit).await? else {
        return Ok(None);
    };
    let account = plan.campaign.account;
    let contacts = part.recipients.iter();
    let keys: Vec<Key> = contacts
        .map(|(_, _, contact)| Contact::key_of(account, *contact))
        .collect();
    let stored = store.get_each::<Contact>(&keys).await?;
    let recipients = part.recipients.into_iter().zip(stored);
    let items = recipients
        .map(|((origin, phone, contact), stored)| item(plan, origin, phone, contact, stored));
    let (items, next) = (items.collect(), part.next);
    Ok(Some(AudiencePage { items, next }))
}

/// Skips the recipient at `from`, whose text is not looked at. `None` when its chunk is not
/// frozen yet.
///
/// # Errors
/// When the store cannot be read.
pub async fn pass_over(
    chunks: &Chunks,
    plan: &CampaignPlan,
    partition: Partition,
    from: u64,
    reason: &'static str,
) -> Result<Option<AudiencePage>, StoreError> {
    let Some(part) = part(chunks, plan, partition, from, 1).await? else {
        return Ok(None);
    };
    let recipients = part.recipients.into_iter();
    let items = recipients.map(|(origin, phone, contact)| AudienceItem::Skip {
        origin,
        recipient: plan.recipient(origin.message, phone, contact),
        reason,
    });
    let (items, next) = (items.collect(), part.next);
    Ok(Some(AudiencePage { items, next }))
}

/// Recipients as they are frozen, and where to read on.
struct Part {
    recipients: Vec<(Origin, Phone, ContactId)>,
    next: u64,
}

async fn part(
    chunks: &Chunks,
    plan: &CampaignPlan,
    partition: Partition,
    from: u64,
    limit: usize,
) -> Result<Option<Part>, StoreError> {
    let place = AudiencePosition::from_number(from);
    let chunk = chunks.read(plan.campaign.id, partition, place.chunk);
    let Some(chunk) = chunk.await? else {
        return Ok(None);
    };
    let first = place.entry as usize;
    let entries = chunk.entries.iter().enumerate().skip(first).take(limit);
    let mut recipients = Vec::with_capacity(limit.min(chunk.entries.len()));
    for (entry, (number, contact)) in entries {
        let place = AudiencePosition {
            chunk: place.chunk,
            entry: entry as u32,
        };
        let Some(phone) = number.phone() else {
            return Err(StoreError::damaged(
                "audience_chunks",
                "an entry is not a number",
            ));
        };
        let origin = Origin {
            partition,
            source: SourceId::Audience(plan.campaign.id),
            position: place.as_number(),
            message: plan.message_id(&phone),
        };
        recipients.push((origin, phone, *contact));
    }
    let read = first + recipients.len();
    let next = if read < chunk.entries.len() {
        AudiencePosition {
            chunk: place.chunk,
            entry: read as u32,
        }
    } else {
        AudiencePosition {
            chunk: place.chunk + 1,
            entry: 0,
        }
    };
    let next = next.as_number();
    Ok(Some(Part { recipients, next }))
}

/// What becomes of a recipient whose contact is `stored` like this by now.
fn item(
    plan: &CampaignPlan,
    origin: Origin,
    phone: Phone,
    contact: ContactId,
    stored: Option<Contact>,
) -> AudienceItem {
    let campaign = &plan.campaign;
    let id = origin.message;
    let text = match &stored {
        None => Err("contact_erased"),
        Some(contact) if contact.phone != phone => Err("number_changed"),
        Some(contact) => plan
            .template
            .render(&contact.fields)
            .map_err(|error| reason_of(&error)),
    };
    let body = match text {
        Ok(body) => body,
        Err(reason) => {
            let recipient = plan.recipient(id, phone, contact);
            return AudienceItem::Skip {
                origin,
                recipient,
                reason,
            };
        }
    };
    let count = count_segments(&body);
    let envelope = Envelope {
        account: campaign.account,
        id,
        campaign: Some(campaign.id),
        contact: Some(contact),
        to: phone,
        from: campaign.from.clone(),
        body: Body::new(body),
        class: campaign.class,
        // The campaign's may change while it runs.
        provider: None,
        send_at: None,
        valid_until: plan.valid_until(),
        encoding: count.encoding,
        segments: count.segments,
        created_at: plan.started_at,
    };
    let envelope = Arc::new(envelope);
    AudienceItem::Ready(Ready {
        envelope,
        attempt: 1,
        origin,
        routes: plan.routes,
    })
}

fn reason_of(error: &RenderError) -> &'static str {
    match error {
        RenderError::MissingField { .. } => "missing_field",
        RenderError::Empty => "empty_text",
        RenderError::TooLong => "text_too_long",
        RenderError::Failed { .. } => "template_failed",
    }
}
