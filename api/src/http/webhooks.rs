//! `/v1/webhooks/{provider_id}/status` and `…/inbound`: receipts, and what people text back,
//! from the provider itself.
//!
//! The provider's adapter checks the signature over the raw request before it reads
//! anything of it. The answer is 200 only after what was told is durable, since providers do not
//! repeat what was answered: in the journal, or, at a node that does not own it, in the log from
//! which its owner takes it. A STOP is answered when it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use engine::callbacks::{Callbacks, change_of, partition_of};
use engine::inbound::Wish;
use engine::journal::Journal;
use engine::log::Offset;
use engine::provider::{InboundRequest, ReceiptError};
use schemas::callback::Callback;
use schemas::change::Change;
use schemas::{Partition, PartitionRange, ProviderId};

use super::providers::find;
use crate::admission::Room;
use crate::doors::{DoorState, Doors};
use crate::json::{read, too_large};
use crate::observe::INBOUND_TEXTS;
use crate::parameters::PathId;
use crate::problem::{Problem, ProblemCode};

/// The longest receipt, in bytes: Twilio's are under 2 kB, and nobody who calls here
/// has shown a key.
const RECEIPT_BYTES_MAX: usize = 64 * 1_024;

/// How long whoever brings a STOP waits until the owner has committed it. Longer than another node
/// needs to take over, and shorter than providers wait: Twilio's 15 s. Where nobody owns by then,
/// nothing is sent either, and the next owner commits it before it sends.
const HOLDS_WITHIN: Duration = Duration::from_secs(12);

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
    let account = find(&state, path.0)?;
    let request = RawRequest::read(&state, &request, payload).await?;
    let receipts = account.provider.parse_receipts(&request.request)?;
    let at = state.runtime().now();
    let receipts = receipts.into_iter().map(|receipt| Callback::Receipt {
        provider: account.id,
        receipt,
        at,
    });
    take(state.doors(), receipts.collect()).await?;
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
    let (doors, account) = (state.doors(), find(&state, path.0)?);
    let request = RawRequest::read(&state, &request, payload).await?;
    let text = account.provider.parse_inbound(&request.request)?;
    let kind = match text.wish {
        Some(Wish::Stop) => "stop",
        Some(Wish::Start) => "start",
        None => "other",
    };
    metrics::counter!(INBOUND_TEXTS, "kind" => kind).increment(1);
    if let (Some(phone), Some(wish)) = (text.from, text.wish) {
        let told = Callback::Consent {
            phone,
            senders: text.senders,
            stops: wish == Wish::Stop,
            provider: account.id,
            provider_message_id: text.provider_message_id,
            at: state.runtime().now(),
        };
        let range = range_of(doors, &told);
        if let Some(kept) = take(doors, vec![told]).await? {
            callbacks(doors)
                .committed(range, kept, HOLDS_WITHIN)
                .await?;
        }
    }
    let (media_type, body) = account.provider.no_answer();
    Ok(HttpResponse::Ok().content_type(media_type).body(body))
}

/// Commits what a provider tells of what this node owns, and keeps the rest for those who do; then
/// the answer is up to where they have to have committed.
async fn take(doors: &Doors, told: Vec<Callback>) -> Result<Option<Offset>, Problem> {
    let mut elsewhere = Vec::new();
    let mut here: BTreeMap<PartitionRange, (Journal, Vec<(Partition, Change)>)> = BTreeMap::new();
    for callback in told {
        let range = range_of(doors, &callback);
        let Some(journal) = doors.ownership.journal(range) else {
            elsewhere.push(callback);
            continue;
        };
        let (_, changes) = here.entry(range).or_insert((journal, Vec::new()));
        changes.push(change_of(range.all(), callback));
    }
    for (journal, changes) in here.into_values() {
        journal.commit(changes).await?;
    }
    if elsewhere.is_empty() {
        return Ok(None);
    }
    Ok(Some(callbacks(doors).keep(&elsewhere).await?))
}

fn range_of(doors: &Doors, callback: &Callback) -> PartitionRange {
    let ownership = &doors.ownership;
    ownership.range_of(partition_of(ownership.partitions(), callback))
}

fn callbacks(doors: &Doors) -> Callbacks {
    Callbacks::new(
        doors.runtime.clone(),
        doors.store.clone(),
        doors.log.clone(),
    )
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
