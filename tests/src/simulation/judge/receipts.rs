//! Receipts: what the node has taken from a provider it tells of in the message's life,
//! whatever else it learnt by asking.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::core::Status;
use schemas::Message;
use schemas::text::Binding;

use super::{messages, rows};
use crate::simulation::Simulation;
use crate::simulation::ledger::Text;

/// Entries that a message's life has room for.
const LIFE_ENTRIES: usize = 64;

/// Judges every receipt that was answered with success.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let by_id: BTreeMap<String, &Message> = messages
        .iter()
        .map(|message| (message.envelope.id.to_string(), message))
        .collect();
    let known = texts_known_without_our_ids(simulation);
    let entries = simulation.world.ledger.entries();
    let texts: BTreeMap<&str, &Text> = entries
        .texts
        .iter()
        .filter_map(|text| Some((text.sid.as_deref()?, text)))
        .collect();
    for receipt in &entries.receipts {
        let Some(text) = texts.get(receipt.sid.as_str()) else {
            continue;
        };
        let is_known = |known: &BTreeSet<String>| known.contains(&receipt.sid);
        let is_told = known.as_ref().is_none_or(is_known);
        let Some((id, attempt)) = text.attempt.as_ref().filter(|_| is_told) else {
            continue;
        };
        let Some(message) = by_id.get(id) else {
            simulation.violated(format!("a receipt was taken for {id}, which is not there"));
            continue;
        };
        // Which attempt's it is, a search cannot always tell.
        let attempt = known.is_none().then_some(*attempt);
        if !tells(message, attempt, receipt.status) {
            let of_it = |text: &&Text| text.attempt.as_ref().is_some_and(|of| of.0 == *id);
            let texts: Vec<&Text> = entries.texts.iter().filter(of_it).collect();
            messages::tell_life(simulation, message, &texts);
            let status = receipt.status;
            simulation.violated(format!(
                "{id}: its receipt {status:?} was taken and is lost"
            ));
        }
    }
}

/// Where receipts come without our ids: the texts whose id at the provider is known to be
/// one attempt's. The same text to the same person may be taken for another's.
fn texts_known_without_our_ids(simulation: &Simulation) -> Option<BTreeSet<String>> {
    if !simulation.plan.receipts_are_plain {
        return None;
    }
    let echoed = messages::echoed(simulation);
    let entries = simulation.world.ledger.entries();
    let echoes = entries.texts.iter().filter_map(|text| {
        let key = (text.to.clone(), text.body.clone());
        text.sid.as_ref().filter(|_| echoed.contains(&key))
    });
    let echoes: BTreeSet<&String> = echoes.collect();
    let bound = rows::<Binding>(simulation).into_iter();
    let ids = bound.map(|row| row.provider_message_id);
    Some(ids.filter(|id| !echoes.contains(id)).collect())
}

fn tells(message: &Message, attempt: Option<u32>, status: Status) -> bool {
    let told = message.timeline.iter().any(|entry| {
        let detail = entry.detail.as_deref().unwrap_or_default();
        entry.event == "receipt"
            && (attempt.is_none() || entry.attempt == attempt)
            && detail.starts_with(status.word())
    });
    told || message.timeline.len() >= LIFE_ENTRIES
}
