//! Texts that people send to our numbers
//! (<https://www.twilio.com/docs/messaging/guides/webhook-request>).

use schemas::Phone;

use super::codes::{is_message_sid, is_sid};
use super::receipt::{field, form_of};
use super::signature::{Keys, PublicUrl};
use crate::inbound::Wish;
use crate::provider::{InboundRequest, InboundText, ReceiptError};

/// What tells Twilio that we have nothing to answer.
pub(super) const NO_ANSWER: (&str, &str) = ("text/xml", "<Response/>");

/// Checks and reads one inbound text.
pub(super) fn parse(
    request: &InboundRequest,
    public_url: &PublicUrl,
    keys: &Keys,
    account_sid: &str,
) -> Result<InboundText, ReceiptError> {
    let form = form_of(request, public_url, keys, account_sid)?;
    let malformed = |field| ReceiptError::Malformed { field };
    let sid = field(&form, "MessageSid").filter(|sid| is_message_sid(sid) || is_sid(sid, "MM"));
    let sid = sid.ok_or(malformed("MessageSid"))?;
    let to = field(&form, "To").ok_or(malformed("To"))?;
    // A text that is sent by a service is sent from one of its numbers.
    let service = field(&form, "MessagingServiceSid").filter(|sid| is_sid(sid, "MG"));
    // What Twilio's own list of words says counts before ours: customers can change it there.
    let wish = match field(&form, "OptOutType") {
        Some("STOP") => Some(Wish::Stop),
        Some("START") => Some(Wish::Start),
        Some(_) | None => field(&form, "Body").and_then(Wish::of),
    };
    Ok(InboundText {
        provider_message_id: sid.to_owned(),
        // Short codes and addresses of other channels are nobody that we text.
        from: field(&form, "From").and_then(|from| Phone::from_e164(from).ok()),
        senders: [Some(to), service]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect(),
        wish,
    })
}
