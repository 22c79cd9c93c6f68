//! Fields that several resources share, judged in one way.

use std::sync::Arc;

use engine::dispatch::routing::MAX_PROVIDERS;
use engine::pacing::{MAX_RATE, MIN_RATE, millionths};
use engine::provider::ProviderAccount;
use schemas::{MessageClass, ProviderId};

use crate::doors::DoorState;
use crate::problem::{FieldProblems, ProblemCode};

/// The longest name of anything, in characters: what fits in a column of a list.
const NAME_CHARACTERS_MAX: usize = 200;

/// What stands in for a value that was refused; nobody reads it, because the problems
/// end the request first.
pub(super) fn refused<T: Default>() -> T {
    T::default()
}

/// A name that must be given.
pub fn required_name(problems: &mut FieldProblems, given: Option<String>) -> String {
    let Some(name) = given else {
        problems.field("/name", ProblemCode::Required, "a name is needed");
        return refused();
    };
    name_or(problems, Some(name), String::new)
}

/// A name that may be left out.
pub fn name_or(
    problems: &mut FieldProblems,
    given: Option<String>,
    default: impl FnOnce() -> String,
) -> String {
    let Some(given) = given else {
        return default();
    };
    let name = given.trim();
    if name.is_empty() || name.chars().any(char::is_control) {
        problems.field(
            "/name",
            ProblemCode::InvalidValue,
            "is empty or has control characters",
        );
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        let detail = format!("has more than {NAME_CHARACTERS_MAX} characters");
        problems.field("/name", ProblemCode::TooLong, detail);
    }
    name.to_owned()
}

/// A class by its word.
pub fn class(problems: &mut FieldProblems, given: &str) -> Option<MessageClass> {
    let class = MessageClass::ALL
        .into_iter()
        .find(|class| class.as_str() == given);
    if class.is_none() {
        let detail = "is neither `transactional` nor `marketing`";
        problems.field("/class", ProblemCode::InvalidValue, detail);
    }
    class
}

/// The provider account asked for; none for `auto`.
pub fn provider(
    problems: &mut FieldProblems,
    state: &DoorState,
    given: Option<&str>,
) -> Option<ProviderId> {
    let given = given.filter(|given| *given != "auto")?;
    let id = given
        .parse()
        .ok()
        .filter(|id| state.provider(*id).is_some());
    if id.is_none() {
        let detail = "is neither `auto` nor the id of a provider account";
        problems.field("/provider", ProblemCode::ProviderUnknown, detail);
    }
    id
}

/// The provider accounts asked for, each once; empty for any.
pub fn providers(
    problems: &mut FieldProblems,
    state: &DoorState,
    given: &[String],
) -> Vec<ProviderId> {
    if given.len() > MAX_PROVIDERS {
        let detail = format!("has more than {MAX_PROVIDERS} provider accounts");
        problems.field("/providers", ProblemCode::TooLong, detail);
        return refused();
    }
    let mut providers = Vec::new();
    for (index, text) in given.iter().enumerate() {
        let id = text.parse::<ProviderId>().ok();
        match id.filter(|id| state.provider(*id).is_some()) {
            Some(id) if !providers.contains(&id) => providers.push(id),
            Some(_) => {}
            None => problems.field(
                format!("/providers/{index}"),
                ProblemCode::ProviderUnknown,
                "is not the id of a provider account",
            ),
        }
    }
    providers
}

/// A rate in segments per second, as millionths.
pub fn rate_millionths(problems: &mut FieldProblems, given: f64) -> u64 {
    if !(MIN_RATE..=MAX_RATE).contains(&given) {
        let detail = format!("is not from {MIN_RATE} to {MAX_RATE} segments per second");
        problems.field("/rate", ProblemCode::OutOfRange, detail);
    }
    millionths(given)
}

/// The sender asked for: owned by one of the provider accounts asked for, or by any.
pub fn sender(
    problems: &mut FieldProblems,
    state: &DoorState,
    given: Option<String>,
    providers: &[ProviderId],
) -> Option<String> {
    let sender = given?;
    let may_send = |account: &&Arc<ProviderAccount>| {
        let is_named = providers.is_empty() || providers.contains(&account.id);
        is_named && account.senders.contains(&sender)
    };
    if !state
        .doors()
        .providers
        .iter()
        .any(|account| may_send(&account))
    {
        let detail = "no provider account that may carry this owns the sender";
        problems.field("/from", ProblemCode::SenderUnknown, detail);
    }
    Some(sender)
}
