//! `/v1/webhooks/{provider_id}/status` and `…/inbound`: receipts, and what people text back,
//! from the provider itself.
//!
//! The provider's adapter checks the signature over the raw request before it reads
//! anything of it. The answer is 200 only after what was told is in the journal:
//! providers do not repeat what was answered.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use engine::inbound::Wish;
use engine::provider::{InboundRequest, ReceiptError};
use futures::future::LocalBoxFuture;
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

/// A request as it came off the wire, and its room among those that are under way.
pub struct RawRequest {
    request: InboundRequest,
    _room: Option<Room>,
}

impl FromRequest for RawRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let method = request.method().as_str().to_owned();
        let path_and_query = request
            .uri()
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let state = request.app_data::<web::Data<DoorState>>();
        let room = state.map(|state| {
            let admission = state.admission();
            admission.webhook(request.headers(), RECEIPT_BYTES_MAX as u64)
        });
        let payload = payload.take();
        Box::pin(async move {
            let room = room.transpose()?;
            let body = read(payload, RECEIPT_BYTES_MAX).await?;
            let request = InboundRequest {
                method,
                path_and_query,
                headers,
                body,
            };
            Ok(Self {
                request,
                _room: room,
            })
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
    request: RawRequest,
) -> Result<HttpResponse, Problem> {
    let account = find(&state, path.0)?;
    let receipts = account.provider.parse_receipts(&request.request)?;
    let at = state.runtime().now();
    let changes: Vec<(Partition, Change)> = receipts
        .into_iter()
        .map(|receipt| {
            let partition = owner(state.doors().journal.partitions(), &receipt);
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
        state.doors().journal.commit(changes).await?;
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
    request: RawRequest,
) -> Result<HttpResponse, Problem> {
    let account = find(&state, path.0)?;
    let text = account.provider.parse_inbound(&request.request)?;
    let kind = match text.wish {
        Some(Wish::Stop) => "stop",
        Some(Wish::Start) => "start",
        None => "other",
    };
    metrics::counter!(INBOUND_TEXTS, "kind" => kind).increment(1);
    if let (Some(phone), Some(wish)) = (text.from, text.wish) {
        let partition = state.doors().journal.partitions().of(phone.slice());
        let change = Change::ConsentChanged {
            phone,
            senders: text.senders,
            stops: wish == Wish::Stop,
            provider: account.id,
            provider_message_id: text.provider_message_id,
            at: state.runtime().now(),
        };
        state
            .doors()
            .journal
            .commit(vec![(partition, change)])
            .await?;
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
