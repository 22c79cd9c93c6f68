//! Receipts: what the node has taken from a provider it tells of in the message's life,
//! whatever else it learnt by asking.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::core::Status;
use schemas::Message;
use schemas::message::Binding;

use super::rows;
use crate::simulation::Simulation;
use crate::simulation::ledger::Text;

/// Entries that a message's life has room for.
const LIFE_ENTRIES: usize = 64;

/// Judges every receipt that was answered with success.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let messages: BTreeMap<String, &Message> = messages
        .iter()
        .map(|message| (message.envelope.id.to_string(), message))
        .collect();
    let entries = simulation.world.ledger.entries();
    let texts: BTreeMap<&str, &Text> = entries
        .texts
        .iter()
        .filter_map(|text| Some((text.sid.as_deref()?, text)))
        .collect();
    // One without our ids is known by the provider's id, once that is known.
    let bound: Option<BTreeSet<String>> = simulation.plan.receipts_are_plain.then(|| {
        let bindings = rows::<Binding>(simulation).into_iter();
        bindings.map(|row| row.provider_message_id).collect()
    });
    for receipt in &entries.receipts {
        if bound
            .as_ref()
            .is_some_and(|bound| !bound.contains(&receipt.sid))
        {
            continue;
        }
        let attempt = texts
            .get(receipt.sid.as_str())
            .and_then(|text| text.attempt.as_ref());
        let Some((id, attempt)) = attempt else {
            continue;
        };
        let Some(message) = messages.get(id) else {
            simulation.violated(format!("a receipt was taken for {id}, which is not there"));
            continue;
        };
        if !tells(message, *attempt, receipt.status) {
            let status = receipt.status;
            simulation.violated(format!(
                "{id}: its receipt {status:?} was taken and is lost"
            ));
        }
    }
}

fn tells(message: &Message, attempt: u32, status: Status) -> bool {
    let told = message.timeline.iter().any(|entry| {
        let detail = entry.detail.as_deref().unwrap_or_default();
        entry.event == "receipt"
            && entry.attempt == Some(attempt)
            && detail.starts_with(status.word())
    });
    told || message.timeline.len() >= LIFE_ENTRIES
}
