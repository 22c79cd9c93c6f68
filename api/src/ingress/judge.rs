//! From a record to a message, or to the reason why it is none.

use engine::contacts::PhoneParser;
use engine::ingress::record::{Incoming, Poison, checked};
use schemas::http::messages::Recipient;
use schemas::ingress::RecordRequest;
use schemas::message::IdempotencyKey;
use schemas::{AccountId, Envelope, Phone};
use sha2::{Digest, Sha256};

use crate::auth::{Identity, hex};
use crate::doors::DoorState;
use crate::http::outgoing;
use crate::json;
use crate::problem::{Problem, ProblemCode, wrong_field};

/// What a record is.
pub(super) enum Judged {
    /// A message, and what makes it count once.
    Message(Box<Envelope>, IdempotencyKey),
    /// It cannot be taken in.
    Poison(Poison),
}

/// Why a record is no message: its own fault, or ours.
enum Fault {
    Its(Poison),
    Ours(engine::store::StoreError),
}

impl From<Poison> for Fault {
    fn from(poison: Poison) -> Self {
        Self::Its(poison)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let detail = match problem.errors.as_slice() {
            [] => problem
                .detail
                .unwrap_or_else(|| problem.code.title().to_owned()),
            fields => {
                let field = |field: &schemas::http::problem::FieldProblem| {
                    let place = field.pointer.as_deref().unwrap_or_default();
                    format!("{place}: {}", field.detail)
                };
                fields.iter().map(field).collect::<Vec<_>>().join("; ")
            }
        };
        Self::Its(Poison::new(problem.code.as_str(), detail))
    }
}

/// Judges a record as a request over REST is judged.
///
/// # Errors
/// When the store cannot be read: that is no fault of the record.
pub(super) async fn judge(
    state: &DoorState,
    record: &Incoming,
) -> Result<Judged, engine::store::StoreError> {
    match message(state, record).await {
        Ok((envelope, claim)) => Ok(Judged::Message(Box::new(envelope), claim)),
        Err(Fault::Its(poison)) => Ok(Judged::Poison(poison)),
        Err(Fault::Ours(error)) => Err(error),
    }
}

async fn message(
    state: &DoorState,
    record: &Incoming,
) -> Result<(Envelope, IdempotencyKey), Fault> {
    let delivered = record.deliver()?;
    let account = account(state, delivered.secret.expose()).await?;
    let mut request: RecordRequest = json::parse(&delivered.request)?;
    let own_key = request.idempotency_key.take();
    let key = match (delivered.idempotency_key, own_key) {
        (Some(key), _) => key,
        (None, Some(key)) => checked(key)?,
        (None, None) => record.origin.idempotency_key(),
    };
    request.to = recipient(request.to, request.region.take().as_deref())?;
    let class = record.class.as_str();
    if request.class.as_deref().is_some_and(|given| given != class) {
        let detail = format!("this topic is for `{class}`");
        return Err(wrong_field("/class", ProblemCode::InvalidValue, detail).into());
    }
    request.class = Some(class.to_owned());
    let envelope = outgoing::envelope(state, account, request.into_request())?;
    let request_sha256 = Sha256::new_with_prefix(b"KAFKA ")
        .chain_update(class)
        .chain_update(b"\n")
        .chain_update(&delivered.request);
    let claim = IdempotencyKey {
        account,
        key,
        request_sha256: hex(&request_sha256.finalize()),
        resource: *envelope.id.as_bytes(),
        created_at: state.runtime().now(),
    };
    Ok((envelope, claim))
}

async fn account(state: &DoorState, secret: &str) -> Result<AccountId, Fault> {
    match state.keys().find(secret).await.map_err(Fault::Ours)? {
        Some(Identity::Account(account, _)) => Ok(account),
        Some(Identity::Root) | None => {
            let detail = "no account has this API key";
            Err(Poison::new(ProblemCode::Unauthorized.as_str(), detail).into())
        }
    }
}

/// A number as people write it, in E.164.
fn recipient(given: Option<Recipient>, region: Option<&str>) -> Result<Option<Recipient>, Problem> {
    let Some(Recipient(text)) = given else {
        return Ok(None);
    };
    // Any number of E.164 is taken, as over REST, also one that no numbering plan has.
    if Phone::from_e164(text.clone()).is_ok() {
        return Ok(Some(Recipient(text)));
    }
    let parser = PhoneParser::new(region)
        .map_err(|error| wrong_field("/region", ProblemCode::InvalidValue, error.to_string()))?;
    match parser.parse(&text) {
        Ok(phone) => Ok(Some(Recipient(phone.as_str().to_owned()))),
        Err(reason) => Err(wrong_field("/to", ProblemCode::InvalidPhone, reason.code())),
    }
}
