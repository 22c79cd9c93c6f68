//! What the node says became of one message, against what the providers have of it.

use engine::dispatch::outcome::{DEADLINE_PASSED, RETURNED};
use sandbox::core::{Refusal, Status};
use schemas::{Message, MessageClass, MessageStatus, UnixMicros};

use super::consent;
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::customers::single::POISON;
use crate::simulation::ledger::Text;
use crate::simulation::time::Time;

/// Microseconds from a request's beginning to the commit that takes it in, at most.
const SPACE_SLACK: u64 = 1_000_000;

/// Microseconds from an attempt that is unknown to its first search, and from each to the next.
const SEARCHES_AFTER: [u64; 3] = [3_000_000, 15_000_000, 60_000_000];

/// Milliseconds until the third search for an attempt that is unknown.
const SEARCHED_FOR_MS: i64 =
    ((SEARCHES_AFTER[0] + SEARCHES_AFTER[1] + SEARCHES_AFTER[2]) / 1_000) as i64;

/// Microseconds between two searches of one account at the least, where its rate is low.
const SEARCH_PACE: u64 = 1_000_000;

/// Seconds of validity beyond which nothing expires in a schedule whose clock is right.
const LONG_VALIDITY: u64 = 3_600;

/// What the node says of a message against what the provider has of it.
pub fn judge(
    simulation: &Simulation,
    message: &Message,
    texts: &[&Text],
    is_echoed: bool,
) -> Result<(), String> {
    let taken: Vec<&&Text> = texts.iter().filter(|text| text.took).collect();
    attempts(simulation, message, texts)?;
    had_space(simulation, message)?;
    searched_for(simulation, message)?;
    let resends = count(message, "resend_planned");
    as_often_as_allowed(simulation, message, taken.len(), resends)?;
    // Of an earlier text nothing but success counts once a later one stands for the message.
    let last = taken.iter().max_by_key(|text| text.at);
    let last_ends_as = |status| last.is_some_and(|text| text.outcome == Some(status));
    let ends_as = |status| taken.iter().any(|text| text.outcome == Some(status));
    let wrong = |what: &str| {
        let (status, number) = (message.status, taken.len());
        Err(format!(
            "it is {status:?} with {number} texts taken: {what}"
        ))
    };
    match message.status {
        MessageStatus::Delivered if !ends_as(Status::Delivered) => wrong("it was not delivered"),
        MessageStatus::Undelivered if !last_ends_as(Status::Undelivered) => {
            wrong("no carrier said so of its last text")
        }
        // An earlier attempt was unknown, was not found, and was made again.
        MessageStatus::Failed | MessageStatus::Expired if resends > 0 => Ok(()),
        MessageStatus::Failed => failed(simulation, message, texts, &taken),
        MessageStatus::Expired if !taken.is_empty() => wrong("it was sent"),
        MessageStatus::Expired if !may_expire(simulation, message) => wrong("it had time"),
        // What is to be asked for lies ahead of a clock that was set back.
        MessageStatus::Accepted | MessageStatus::Sent if simulation.wall_jumped.get() => Ok(()),
        MessageStatus::Accepted | MessageStatus::Sent => wrong("its receipt was never asked for"),
        MessageStatus::Unknown => unknown(simulation, message, &taken, resends, is_echoed),
        MessageStatus::Canceled if !is_canceled(simulation, message) => wrong("nobody canceled it"),
        MessageStatus::Canceled if !taken.is_empty() && resends == 0 => wrong("it was sent"),
        MessageStatus::Skipped if !consent::has_stopped(simulation, message) => {
            wrong("its recipient wanted it")
        }
        MessageStatus::Skipped if !taken.is_empty() && resends == 0 => wrong("it was sent"),
        MessageStatus::Scheduled | MessageStatus::Queued | MessageStatus::Submitting => {
            wrong("nothing of the kind was wanted")
        }
        MessageStatus::Delivered
        | MessageStatus::Undelivered
        | MessageStatus::Expired
        | MessageStatus::Skipped
        | MessageStatus::Canceled => Ok(()),
    }
}

/// Whether its campaign was withdrawn.
fn is_canceled(simulation: &Simulation, message: &Message) -> bool {
    let state = simulation.customers.state();
    let mut campaigns = state
        .errands
        .iter()
        .filter_map(|errand| match &errand.kind {
            Kind::Campaign(campaign) => Some(campaign),
            Kind::Single(_) | Kind::Person(_) | Kind::Operator(_) | Kind::Account(_) => None,
        });
    message.envelope.campaign.is_some_and(|id| {
        campaigns.any(|campaign| campaign.campaign == Some(id) && campaign.commands.is_canceled())
    })
}

/// Marketing is taken once at most, the rest once more than it was sent again.
fn as_often_as_allowed(
    simulation: &Simulation,
    message: &Message,
    taken: usize,
    resends: usize,
) -> Result<(), String> {
    if resends > 0 {
        simulation.tally.count("an unknown text was sent again");
    }
    if taken > 1 {
        simulation.tally.count("both were taken");
    }
    let allowed = match message.envelope.class {
        MessageClass::Marketing => 1,
        MessageClass::Transactional => 1 + resends,
    };
    if taken > allowed {
        return Err(format!("{taken} texts were taken, {allowed} allowed"));
    }
    Ok(())
}

/// What is unknown is searched for three times, and then sent again while it is valid.
fn searched_for(simulation: &Simulation, message: &Message) -> Result<(), String> {
    let valid_until = message.envelope.valid_until;
    let mut unknown_since = None;
    for entry in &message.timeline {
        match entry.event.as_str() {
            "outcome_unknown" => unknown_since = Some(entry.at),
            "resend_planned" if entry.at >= valid_until => {
                return Err("it was to be sent again after its validity".to_owned());
            }
            "resend_planned" => {
                let since = unknown_since.unwrap_or(entry.at);
                let waited = (entry.at.0 - since.0) / 1_000;
                if waited < SEARCHED_FOR_MS && !simulation.wall_jumped.get() {
                    return Err(format!("it was to be sent again after {waited} ms"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every text belongs to an attempt that was begun, and no attempt made two.
fn attempts(simulation: &Simulation, message: &Message, texts: &[&Text]) -> Result<(), String> {
    if !simulation.plan.receipts_come {
        return Ok(());
    }
    let mut seen = Vec::new();
    for text in texts {
        let Some((id, attempt)) = &text.attempt else {
            return Err("a text carries no callback".to_owned());
        };
        if *id != message.envelope.id.to_string() {
            return Err(format!("a text of it carries the callback of {id}"));
        }
        let begun = message
            .timeline
            .iter()
            .any(|entry| entry.event == "attempt_begun" && entry.attempt == Some(*attempt));
        if !begun {
            return Err(format!("attempt {attempt} was never begun"));
        }
        if seen.contains(attempt) {
            return Err(format!("attempt {attempt} left twice"));
        }
        seen.push(*attempt);
    }
    Ok(())
}

fn failed(
    simulation: &Simulation,
    message: &Message,
    texts: &[&Text],
    taken: &[&&Text],
) -> Result<(), String> {
    let at_provider = taken
        .iter()
        .any(|text| text.outcome == Some(Status::Failed));
    let refused = texts.iter().any(|text| {
        text.refusal
            .is_some_and(|refusal| refusal != Refusal::OverLimit)
    });
    let given_up = attempts_made(message) >= simulation.plan.max_attempts as usize;
    if !taken.is_empty() && !at_provider {
        return Err("it failed, and the provider sent it".to_owned());
    }
    if taken.is_empty() && !refused && !given_up {
        let attempts = message.attempts;
        return Err(format!(
            "it failed after {attempts} attempts without a reason"
        ));
    }
    Ok(())
}

/// Attempts that had their chance: what was handed back untouched was none.
fn attempts_made(message: &Message) -> usize {
    let untouched = [RETURNED, DEADLINE_PASSED].map(|cause| format!("not sent: {cause}"));
    let entries = message.timeline.iter();
    let handed_back = entries
        .filter(|entry| {
            entry
                .detail
                .as_ref()
                .is_some_and(|detail| untouched.contains(detail))
        })
        .count();
    count(message, "attempt_begun").saturating_sub(handed_back)
}

/// Nothing new is taken in while the disk is nearly full.
fn had_space(simulation: &Simulation, message: &Message) -> Result<(), String> {
    let envelope = &message.envelope;
    if simulation.wall_jumped.get() || envelope.campaign.is_some() {
        return Ok(());
    }
    let at = Time::of_true_wall(envelope.created_at.0.unsigned_abs());
    let full = simulation.nearly_full.borrow();
    // What was asked for shortly before there was space again may have been taken then, also
    // where the process stood still in between.
    let frozen = simulation.frozen.borrow();
    let stood_still = frozen
        .iter()
        .find(|(from, _)| at.abs_diff(*from) <= SPACE_SLACK);
    let slack = SPACE_SLACK + stood_still.map_or(0, |(from, until)| until - from);
    let taken = full
        .iter()
        .any(|(from, until)| (from + 1..until.saturating_sub(slack)).contains(&at));
    if taken {
        return Err("it was taken while the disk was nearly full".to_owned());
    }
    Ok(())
}

/// Whether there was an occasion to be late.
fn may_expire(simulation: &Simulation, message: &Message) -> bool {
    // Days passed while it waited for another attempt.
    let last = message
        .timeline
        .last()
        .map_or(0, |entry| entry.at.0.unsigned_abs());
    if message.attempts > 0 && last >= simulation.passing_since.get() {
        return true;
    }
    let envelope = &message.envelope;
    let from = envelope.send_at.unwrap_or(envelope.created_at);
    let validity = (envelope.valid_until.0 - from.0).unsigned_abs() / 1_000_000;
    simulation.wall_jumped.get() || validity < LONG_VALIDITY
}

fn unknown(
    simulation: &Simulation,
    message: &Message,
    taken: &[&&Text],
    resends: usize,
    is_echoed: bool,
) -> Result<(), String> {
    // A search goes by the wall clock, and two that fit prove nothing.
    if simulation.wall_jumped.get() || taken.len() > 1 || is_echoed {
        return Ok(());
    }
    if message.envelope.body.as_str().starts_with(POISON) {
        // Over some even the search panics, and then it is not known that nothing was sent.
        return Ok(());
    }
    if taken.len() == 1 && resends == 0 {
        return Err("it is unknown, and the provider would have told".to_owned());
    }
    let is_transactional = message.envelope.class == MessageClass::Transactional;
    let may_resend = is_transactional
        && !is_canceled(simulation, message)
        && !consent::has_stopped(simulation, message);
    if may_resend
        && resends == 0
        && !may_expire(simulation, message)
        // Where searches wait for a move, for how long depends on more than is known here.
        && simulation.fleet.is_none()
        && had_time_to_search(simulation, message)
    {
        return Err("it is unknown and was never sent again".to_owned());
    }
    Ok(())
}

/// Whether the machine was awake long enough for three searches while the text was valid: each
/// waits for those of all others that are unknown at its account, and for who sleeps meanwhile.
fn had_time_to_search(simulation: &Simulation, message: &Message) -> bool {
    let is_beside = |other: &&Message| {
        other.provider == message.provider && count(other, "outcome_unknown") > 0
    };
    let messages = super::rows::<Message>(simulation);
    let beside = messages.iter().filter(is_beside).count() as u64;
    let waits = (beside + 1) * SEARCH_PACE;
    let instant = |at: UnixMicros| Time::of_true_wall(at.0.unsigned_abs());
    let mut at = message.timeline.last().map_or(0, |entry| instant(entry.at));
    for after in SEARCHES_AFTER {
        at += after;
        for (from, until) in simulation.slept.borrow().iter() {
            if *from < at + waits && at < *until {
                at = *until;
            }
        }
        at += waits;
    }
    at <= instant(message.envelope.valid_until)
}

/// How often this is in a message's life.
pub fn count(message: &Message, event: &str) -> usize {
    let entries = message.timeline.iter();
    entries.filter(|entry| entry.event == event).count()
}
