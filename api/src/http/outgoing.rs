//! From a request for a message to the message: every field is judged, and nothing is
//! kept of a request in which one is wrong.

use engine::text::count_segments;
use schemas::http::messages::{MessageRequest, Recipient};
use schemas::{AccountId, Body, Envelope, MessageClass, MessageId, Phone};

use super::{fields, times};
use crate::doors::DoorState;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// The longest text, in characters, as Twilio takes it (its error 21617).
const BODY_CHARACTERS_MAX: usize = 1_600;

/// The message that `request` asks for, with an id of its own.
///
/// # Errors
/// All that is wrong with the request.
pub fn envelope(
    state: &DoorState,
    account: AccountId,
    request: MessageRequest,
) -> Result<Envelope, Problem> {
    let now = state.runtime().now();
    let mut problems = FieldProblems::default();
    let to = recipient(&mut problems, request.to);
    let body = body(&mut problems, request.body);
    let class = required_class(&mut problems, request.class.as_deref());
    let provider = fields::provider(&mut problems, state, request.provider.as_deref());
    let from = fields::sender(&mut problems, state, request.from, provider.as_slice());
    let send_at = times::send_at(&mut problems, request.send_at.as_deref(), now);
    let validity = times::validity_seconds(&mut problems, request.validity_period);
    problems.finish()?;
    let (Some(to), Some(body), Some(class)) = (to, body, class) else {
        return Err(Problem::new(ProblemCode::Required));
    };
    let counted = count_segments(body.as_str());
    Ok(Envelope {
        account,
        id: MessageId::new(now, to.slice(), state.runtime().random_bytes()),
        campaign: None,
        contact: None,
        to,
        from,
        body,
        class,
        provider,
        send_at,
        valid_until: send_at
            .unwrap_or(now)
            .plus_micros(i64::from(validity) * 1_000_000),
        encoding: counted.encoding,
        segments: counted.segments,
        created_at: now,
    })
}

fn recipient(problems: &mut FieldProblems, given: Option<Recipient>) -> Option<Phone> {
    let Some(Recipient(text)) = given else {
        problems.field("/to", ProblemCode::Required, "a recipient is needed");
        return None;
    };
    let phone = Phone::from_e164(text);
    if let Err(error) = &phone {
        problems.field("/to", ProblemCode::InvalidPhone, error.to_string());
    }
    phone.ok()
}

fn body(problems: &mut FieldProblems, given: Option<Body>) -> Option<Body> {
    let Some(body) = given else {
        problems.field("/body", ProblemCode::Required, "a text is needed");
        return None;
    };
    let characters = body.as_str().chars().count();
    if characters == 0 {
        problems.field("/body", ProblemCode::InvalidValue, "is empty");
    } else if characters > BODY_CHARACTERS_MAX {
        let detail =
            format!("has {characters} characters, at most {BODY_CHARACTERS_MAX} can be sent");
        problems.field("/body", ProblemCode::TooLong, detail);
    }
    Some(body)
}

fn required_class(problems: &mut FieldProblems, given: Option<&str>) -> Option<MessageClass> {
    let Some(given) = given else {
        problems.field(
            "/class",
            ProblemCode::Required,
            "`transactional` or `marketing` is needed",
        );
        return None;
    };
    fields::class(problems, given)
}
