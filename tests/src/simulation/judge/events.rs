//! What other systems were told of messages: each thing that happened to one, once and in order,
//! whoever owned meanwhile.

use std::collections::BTreeMap;

use schemas::event::MessageEvent;
use schemas::{Message, PartitionCount};

use crate::simulation::Simulation;

/// Judges every event, where there are nodes that tell of any.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let Some(fleet) = &simulation.fleet else {
        return;
    };
    let partitions = PartitionCount::new(simulation.plan.partitions).expect("a power of two");
    let mut told: BTreeMap<String, Vec<MessageEvent>> = BTreeMap::new();
    for (partition, message, payload) in fleet.servers.events() {
        let Ok(event) = serde_json::from_slice::<MessageEvent>(&payload) else {
            simulation.violated(format!("an event of {message} cannot be read"));
            continue;
        };
        if event.message.to_string() != message || partitions.of(event.message.slice()) != partition
        {
            simulation.violated(format!(
                "an event of {message} lies where it does not belong"
            ));
        }
        told.entry(message).or_default().push(event);
    }
    for message in messages {
        let id = message.envelope.id.to_string();
        let events = told.remove(&id).unwrap_or_default();
        let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
        let all = u32::try_from(message.timeline.len()).unwrap_or(u32::MAX);
        if !numbers.iter().copied().eq(0..all) {
            simulation.violated(format!(
                "{id} has {all} entries, and events tell {numbers:?}"
            ));
            continue;
        }
        let mut both = events.iter().zip(&message.timeline);
        if !both.all(|(event, entry)| event.entry.event == entry.event) {
            simulation.violated(format!("events of {id} tell another life"));
        }
    }
    if let Some(id) = told.keys().next() {
        simulation.violated(format!("events tell of {id}, and it is not there"));
    }
}
