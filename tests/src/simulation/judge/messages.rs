//! Message by message: promised once, told once, and told as it was.

use std::collections::{BTreeMap, BTreeSet};

use engine::dispatch::outcome;
use sandbox::core::{Refusal, Status};
use schemas::{AccountId, Message, MessageClass, MessageId, MessageStatus};

use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::ledger::Text;
use crate::simulation::time::Time;

/// What was promised to a customer about one text to one person.
struct Promise {
    account: AccountId,
    /// Under which id, where one was told.
    id: Option<MessageId>,
    /// Whether it must be there; if not it may be.
    is_owed: bool,
    /// For how many seconds it may be sent.
    validity_seconds: u64,
}

/// Microseconds from a request's beginning to the commit that takes it in, at most.
const SPACE_SLACK: u64 = 1_000_000;

/// Seconds of validity beyond which nothing expires in a schedule whose clock is right.
const LONG_VALIDITY: u64 = 3_600;

/// Recipient and text: more than one promise only where a text is echoed.
type Key = (String, String);

/// Judges every message, every promise and every text.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let mut promises = promises(simulation);
    let entries = simulation.world.ledger.entries();
    count_faults(simulation, &entries.texts);
    let at_providers = AtProviders::of(simulation, &entries.texts, &promises);
    let (echoed, nameless) = (echoed(simulation), nameless(simulation));
    for message in messages {
        let envelope = &message.envelope;
        let id = envelope.id;
        let key = key_of(message);
        if message.status == MessageStatus::Skipped {
            simulation.tally.count("skipped");
            if !nameless.contains(&key.0) || entries.texts.iter().any(|text| text.to == key.0) {
                simulation.violated(format!("{id} was skipped without a reason, or was sent"));
            }
            continue;
        }
        let open = promises.get_mut(&key).and_then(|open| {
            let fits = |promise: &Promise| promise.account == envelope.account;
            let told = open.iter().position(|one| one.id == Some(id));
            let untold = || open.iter().position(|one| one.id.is_none() && fits(one));
            told.or_else(untold).map(|place| open.swap_remove(place))
        });
        match open {
            None => simulation.violated(format!("{id} was made and nobody asked for it")),
            Some(promise) if promise.account != envelope.account => {
                simulation.violated(format!("{id} is another account's"));
            }
            Some(promise) => {
                let from = envelope.send_at.unwrap_or(envelope.created_at);
                let validity = (envelope.valid_until.0 - from.0) / 1_000_000;
                if validity.unsigned_abs() != promise.validity_seconds {
                    simulation.violated(format!("{id} is valid for {validity} s"));
                }
            }
        }
        let texts = at_providers.texts_of(message, &key);
        let is_echoed = echoed.contains(&key);
        let compared = if is_echoed && was_unknown(message) {
            echoes(messages, &key, &entries.texts)
        } else {
            compare(simulation, message, texts, is_echoed)
        };
        if let Err(wrong) = compared {
            tell_life(simulation, message, texts);
            simulation.violated(format!("{id}: {wrong}"));
        }
    }
    for ((to, _), left) in &promises {
        if left.iter().any(|promise| promise.is_owed) {
            simulation.violated(format!("a text to {to} was promised and is lost"));
        }
    }
}

fn key_of(message: &Message) -> Key {
    let envelope = &message.envelope;
    (
        envelope.to.as_str().to_owned(),
        envelope.body.as_str().to_owned(),
    )
}

/// What the providers have, by message where a callback tells it, else by text.
#[derive(Default)]
struct AtProviders<'a> {
    by_id: BTreeMap<String, Vec<&'a Text>>,
    by_key: BTreeMap<Key, Vec<&'a Text>>,
}

impl<'a> AtProviders<'a> {
    fn of(
        simulation: &Simulation,
        texts: &'a [Text],
        promises: &BTreeMap<Key, Vec<Promise>>,
    ) -> Self {
        let mut sorted = Self::default();
        for text in texts {
            let key = (text.to.clone(), text.body.clone());
            if !promises.contains_key(&key) {
                simulation.violated(format!("{} got a text that nobody asked for", text.to));
            }
            match &text.attempt {
                Some((id, _)) => sorted.by_id.entry(id.clone()).or_default().push(text),
                None => sorted.by_key.entry(key).or_default().push(text),
            }
        }
        sorted
    }

    fn texts_of(&self, message: &Message, key: &Key) -> &[&'a Text] {
        let told = self.by_id.get(&message.envelope.id.to_string());
        told.or_else(|| self.by_key.get(key))
            .map_or(&[], Vec::as_slice)
    }
}

fn promises(simulation: &Simulation) -> BTreeMap<Key, Vec<Promise>> {
    let state = simulation.customers.state();
    let mut promises: BTreeMap<Key, Vec<Promise>> = BTreeMap::new();
    for errand in &state.errands {
        let account = state.accounts[errand.account].0;
        let mut promise = |key: Key, id, is_owed, validity_seconds| {
            let made = Promise {
                account,
                id,
                is_owed,
                validity_seconds,
            };
            promises.entry(key).or_default().push(made);
        };
        match &errand.kind {
            // Of two twins one may come too late for its `send_at` and the other not.
            Kind::Single(single) if single.is_refused() && !single.plan.has_twin => {}
            Kind::Single(single) => {
                let is_owed = single.accepted.is_some() && !single.is_unsure();
                let key = (single.to.clone(), single.body.clone());
                promise(key, single.accepted, is_owed, single.plan.validity_seconds);
            }
            Kind::Campaign(campaign) => {
                for (to, body) in campaign.expected() {
                    let validity = campaign.plan.validity_seconds;
                    promise((to.to_owned(), body), None, campaign.is_started, validity);
                }
            }
        }
    }
    promises
}

/// The numbers whose people have no name, and get no text.
fn nameless(simulation: &Simulation) -> BTreeSet<String> {
    let state = simulation.customers.state();
    let campaigns = state
        .errands
        .iter()
        .filter_map(|errand| match &errand.kind {
            Kind::Campaign(campaign) => Some(campaign.nameless()),
            Kind::Single(_) => None,
        });
    campaigns.flatten().cloned().collect()
}

/// What the node says of a message against what the provider has of it.
fn compare(
    simulation: &Simulation,
    message: &Message,
    texts: &[&Text],
    is_echoed: bool,
) -> Result<(), String> {
    if is_echoed && !simulation.plan.receipts_come {
        // Nobody can tell whose a text is.
        return Ok(());
    }
    let taken: Vec<&&Text> = texts.iter().filter(|text| text.took).collect();
    attempts(simulation, message, texts)?;
    had_space(simulation, message)?;
    let resends = count(message, "resend_planned");
    if resends > 0 {
        simulation.tally.count("an unknown text was sent again");
    }
    let valid_until = message.envelope.valid_until;
    let mut planned = message.timeline.iter();
    if planned.any(|entry| entry.event == "resend_planned" && entry.at >= valid_until) {
        return Err("it was to be sent again after its validity".to_owned());
    }
    if taken.len() > 1 {
        simulation.tally.count("both were taken");
    }
    let allowed = match message.envelope.class {
        MessageClass::Marketing => 1,
        MessageClass::Transactional => 1 + resends,
    };
    if taken.len() > allowed {
        return Err(format!(
            "{} texts were taken, {allowed} allowed",
            taken.len()
        ));
    }
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
        MessageStatus::Scheduled
        | MessageStatus::Queued
        | MessageStatus::Submitting
        | MessageStatus::Canceled
        | MessageStatus::Skipped => wrong("nothing of the kind was wanted"),
        MessageStatus::Delivered | MessageStatus::Undelivered | MessageStatus::Expired => Ok(()),
    }
}

/// What more than one asked for: the same text to the same person.
fn echoed(simulation: &Simulation) -> BTreeSet<Key> {
    let (mut once, mut again) = (BTreeSet::new(), BTreeSet::new());
    for errand in &simulation.customers.state().errands {
        if let Kind::Single(single) = &errand.kind {
            let key = (single.to.clone(), single.body.clone());
            if !once.insert(key.clone()) {
                again.insert(key);
            }
        }
    }
    again
}

fn was_unknown(message: &Message) -> bool {
    count(message, "outcome_unknown") > 0
}

/// Of the same text to the same person a search cannot tell whose it is; but no more may be
/// called delivered than were. Where two of them were unknown at once, not even that holds:
/// a search may take for the one what a receipt then tells of the other.
fn echoes(messages: &[Message], key: &Key, texts: &[Text]) -> Result<(), String> {
    let echoes: Vec<_> = messages.iter().filter(|one| key_of(one) == *key).collect();
    if echoes.iter().filter(|one| was_unknown(one)).count() > 1 {
        return Ok(());
    }
    let is_delivered = |message: &&&Message| message.status == MessageStatus::Delivered;
    let told = echoes.iter().filter(is_delivered).count();
    let same = |text: &&Text| text.to == key.0 && text.body == key.1;
    let there = texts.iter().filter(same);
    let there = there
        .filter(|text| text.outcome == Some(Status::Delivered))
        .count();
    if told <= there {
        return Ok(());
    }
    Err(format!("{told} echoes are called delivered, {there} were"))
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
    let untouched =
        [outcome::RETURNED, outcome::DEADLINE_PASSED].map(|cause| format!("not sent: {cause}"));
    let entries = message.timeline.iter();
    let handed_back = entries
        .filter(|entry| {
            entry
                .detail
                .as_ref()
                .is_some_and(|detail| untouched.contains(detail))
        })
        .count();
    count(message, "attempt_begun") - handed_back
}

/// Nothing new is taken in while the disk is nearly full.
fn had_space(simulation: &Simulation, message: &Message) -> Result<(), String> {
    let envelope = &message.envelope;
    if simulation.wall_jumped.get() || envelope.campaign.is_some() {
        return Ok(());
    }
    let at = Time::of_true_wall(envelope.created_at.0.unsigned_abs());
    let full = simulation.nearly_full.borrow();
    // What was asked for shortly before there was space again may have been taken then.
    let taken = full
        .iter()
        .any(|(from, until)| (from + 1..until.saturating_sub(SPACE_SLACK)).contains(&at));
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
    if taken.len() == 1 && resends == 0 {
        return Err("it is unknown, and the provider would have told".to_owned());
    }
    let is_transactional = message.envelope.class == MessageClass::Transactional;
    if is_transactional && resends == 0 && !may_expire(simulation, message) {
        return Err("it is unknown and was never sent again".to_owned());
    }
    Ok(())
}

fn count(message: &Message, event: &str) -> usize {
    let entries = message.timeline.iter();
    entries.filter(|entry| entry.event == event).count()
}

fn count_faults(simulation: &Simulation, texts: &[Text]) {
    for text in texts {
        if let Some(fault) = text.fault {
            simulation.tally.count(super::wire::name_of_fault(fault));
        }
        if let Some(fault) = text.receipt_fault {
            simulation
                .tally
                .count(super::wire::name_of_receipt_fault(fault));
        }
        if text.refusal == Some(Refusal::OverLimit) {
            simulation.tally.count("provider: over the limit");
        }
    }
}

/// The story of one message, for people.
fn tell_life(simulation: &Simulation, message: &Message, texts: &[&Text]) {
    let now = simulation.time.now();
    let envelope = &message.envelope;
    simulation.story.tell(now, || {
        format!(
            "{} to {} ({:?}, valid until {}):",
            envelope.id,
            envelope.to.as_str(),
            envelope.class,
            envelope.valid_until.to_rfc3339()
        )
    });
    for entry in &message.timeline {
        simulation.story.tell(now, || {
            format!(
                "    {} {:?} {} {:?} attempt {:?}",
                entry.at.to_rfc3339(),
                entry.status,
                entry.event,
                entry.detail,
                entry.attempt
            )
        });
    }
    for text in texts {
        simulation.story.tell(now, || {
            format!(
                "    at the provider {:.3} ms: took {} {:?} {:?} {:?} {:?} {:?}",
                text.at as f64 / 1_000.0,
                text.took,
                text.sid,
                text.fault,
                text.receipt_fault,
                text.outcome,
                text.attempt.as_ref().map(|attempt| attempt.1)
            )
        });
    }
}
