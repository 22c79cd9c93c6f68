//! Message by message: promised once, told once, and told as it was.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::core::{Refusal, Status};
use schemas::{AccountId, Message, MessageId, MessageStatus};

use super::outcome;
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::ledger::Text;

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
        let is_unwritable = message.reason.as_deref() != Some("opted_out");
        if message.status == MessageStatus::Skipped && is_unwritable {
            simulation.tally.count("skipped");
            if !nameless.contains(&key.0) || entries.texts.iter().any(|text| text.to == key.0) {
                simulation.violated(format!("{id} was skipped without a reason, or was sent"));
            }
            continue;
        }
        let open = promises.get_mut(&key).and_then(|open| {
            let valid_for = validity_seconds(message);
            let fits = |promise: &Promise| {
                promise.account == envelope.account && promise.validity_seconds == valid_for
            };
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
                let validity = validity_seconds(message);
                if validity != promise.validity_seconds {
                    simulation.violated(format!("{id} is valid for {validity} s"));
                }
            }
        }
        let texts = at_providers.texts_of(message, &key);
        let is_echoed = echoed.contains(&key);
        let compared = if is_echoed && !simulation.plan.receipts_come {
            echoes(messages, &key, &entries.texts)
        } else {
            outcome::judge(simulation, message, texts, is_echoed)
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

/// Seconds for which it may be sent.
fn validity_seconds(message: &Message) -> u64 {
    let envelope = &message.envelope;
    let from = envelope.send_at.unwrap_or(envelope.created_at);
    (envelope.valid_until.0 - from.0).unsigned_abs() / 1_000_000
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
            Kind::Person(_) | Kind::Operator(_) | Kind::Account(_) => {}
            // A node that slept may take in on waking what another refused meanwhile as too late.
            Kind::Single(single)
                if single.is_refused() && !single.plan.has_twin && simulation.fleet.is_none() => {}
            Kind::Single(single) => {
                let is_owed = single.accepted.is_some() && !single.is_unsure();
                let key = (single.to.clone(), single.body.clone());
                promise(key, single.accepted, is_owed, single.plan.validity_seconds);
            }
            Kind::Campaign(campaign) => {
                for (to, body) in campaign.expected() {
                    let validity = campaign.plan.validity_seconds;
                    // Who was not touched when it was canceled gets nothing.
                    let is_owed = campaign.started_at.is_some() && !campaign.commands.is_canceled();
                    promise((to.to_owned(), body), None, is_owed, validity);
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
            Kind::Single(_) | Kind::Person(_) | Kind::Operator(_) | Kind::Account(_) => None,
        });
    campaigns.flatten().cloned().collect()
}

/// What more than one asked for: the same text to the same person.
pub(super) fn echoed(simulation: &Simulation) -> BTreeSet<Key> {
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

/// Without a callback nobody can tell whose text it is, of the same words to the same
/// person; but no more may be called delivered than were.
fn echoes(messages: &[Message], key: &Key, texts: &[Text]) -> Result<(), String> {
    let echoes = messages.iter().filter(|one| key_of(one) == *key);
    let is_delivered = |message: &&Message| message.status == MessageStatus::Delivered;
    let told = echoes.filter(is_delivered).count();
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
pub(super) fn tell_life(simulation: &Simulation, message: &Message, texts: &[&Text]) {
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
