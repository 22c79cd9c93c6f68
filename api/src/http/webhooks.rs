//! `/v1/webhooks/{provider_id}/status` and `…/inbound`: receipts, and what people text back,
//! from the provider itself.
//!
//! The provider's adapter checks the signature over the raw request before it reads
//! anything of it. The answer is 200 only after what was told is in the journal:
//! providers do not repeat what was answered. A node that does not own the journals passes
//! all of it on to the one that does.

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use engine::inbound::Wish;
use engine::provider::{InboundRequest, ReceiptError};
use schemas::change::{Change, Learnt};
use schemas::provider::DeliveryReceipt;
use schemas::{Partition, PartitionCount, ProviderId};

use super::providers::find;
use crate::admission::Room;
use crate::doors::DoorState;
use crate::json::{read, too_large};
use crate::observe::INBOUND_TEXTS;
use crate::parameters::PathId;
use crate::problem::{Problem, ProblemCode};

/// The longest receipt, in bytes: Twilio's are under 2 kB, and nobody who calls here
/// has shown a key.
const RECEIPT_BYTES_MAX: usize = 64 * 1_024;

/// A request as it came off the wire.
struct RawRequest {
    request: InboundRequest,
    /// Its room among those that are under way.
    _room: Room,
}

impl RawRequest {
    async fn read(
        state: &DoorState,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Self, Problem> {
        let admission = state.admission();
        let room = admission.webhook(request.headers(), RECEIPT_BYTES_MAX as u64)?;
        let target = request.uri().path_and_query();
        let headers = request.headers().iter();
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let request = InboundRequest {
            method: request.method().as_str().to_owned(),
            path_and_query: target.map_or_else(String::new, ToString::to_string),
            headers: headers
                .filter_map(|(name, value)| Some((name.to_string(), text(value)?)))
                .collect(),
            body: read(payload.into_inner(), RECEIPT_BYTES_MAX).await?,
        };
        Ok(Self {
            request,
            _room: room,
        })
    }
}

/// Takes receipts in.
///
/// # Errors
/// The problem.
pub async fn status(
    state: web::Data<DoorState>,
    path: PathId<ProviderId>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ownership = &state.doors().ownership;
    let Some(journal) = ownership.journal() else {
        return ownership.pass_on(request, payload).await;
    };
    let account = find(&state, path.0)?;
    let request = RawRequest::read(&state, &request, payload).await?;
    let receipts = account.provider.parse_receipts(&request.request)?;
    let at = state.runtime().now();
    let changes: Vec<(Partition, Change)> = receipts
        .into_iter()
        .map(|receipt| {
            let partition = owner(ownership.partitions(), &receipt);
            let (provider, learnt) = (account.id, Learnt::Webhook);
            (
                partition,
                Change::Receipt {
                    provider,
                    receipt,
                    learnt,
                    at,
                },
            )
        })
        .collect();
    if !changes.is_empty() {
        journal.commit(changes).await?;
    }
    Ok(HttpResponse::Ok().finish())
}

/// Takes in what a person texted to one of our senders. Only what is about getting texts is
/// kept: a STOP holds from the commit on, for whatever was queued before.
///
/// # Errors
/// The problem.
pub async fn inbound(
    state: web::Data<DoorState>,
    path: PathId<ProviderId>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ownership = &state.doors().ownership;
    let Some(journal) = ownership.journal() else {
        return ownership.pass_on(request, payload).await;
    };
    let account = find(&state, path.0)?;
    let request = RawRequest::read(&state, &request, payload).await?;
    let text = account.provider.parse_inbound(&request.request)?;
    let kind = match text.wish {
        Some(Wish::Stop) => "stop",
        Some(Wish::Start) => "start",
        None => "other",
    };
    metrics::counter!(INBOUND_TEXTS, "kind" => kind).increment(1);
    if let (Some(phone), Some(wish)) = (text.from, text.wish) {
        let partition = ownership.partitions().of(phone.slice());
        let change = Change::ConsentChanged {
            phone,
            senders: text.senders,
            stops: wish == Wish::Stop,
            provider: account.id,
            provider_message_id: text.provider_message_id,
            at: state.runtime().now(),
        };
        journal.commit(vec![(partition, change)]).await?;
    }
    let (media_type, body) = account.provider.no_answer();
    Ok(HttpResponse::Ok().content_type(media_type).body(body))
}

/// The partition of the message that the receipt is about: by what our callback URL
/// carries, else by the recipient's number. One that tells neither fits no message; it
/// waits in the first partition for people to look at.
fn owner(partitions: PartitionCount, receipt: &DeliveryReceipt) -> Partition {
    let slice = receipt.slice();
    slice.map_or(Partition(0), |slice| partitions.of(slice))
}

impl From<ReceiptError> for Problem {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::NotExpected => Self::new(ProblemCode::NotFound),
            ReceiptError::TooLarge { limit } => too_large(limit as u64),
            ReceiptError::Unsigned | ReceiptError::WrongSignature => {
                Self::new(ProblemCode::InvalidSignature)
            }
            ReceiptError::Malformed { .. } => {
                Self::with_detail(ProblemCode::BadRequest, error.to_string())
            }
        }
    }
}
