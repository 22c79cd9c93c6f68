//! Commands to campaigns: nothing begins while one is paused, or once it is canceled.

use std::collections::BTreeMap;

use schemas::{CampaignId, Message};

use super::{instant, kept_from};
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::customers::commands::{Command, Commands};

/// Judges when every message of a campaign began.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let mut rests: BTreeMap<CampaignId, Vec<(u64, u64)>> = BTreeMap::new();
    for errand in &simulation.customers.state().errands {
        if let Kind::Campaign(campaign) = &errand.kind
            && let Some(id) = campaign.campaign
        {
            count(simulation, &campaign.commands);
            rests.insert(id, rests_of(simulation, &campaign.commands));
        }
    }
    for message in messages {
        let campaign = message.envelope.campaign;
        let Some(rests) = campaign.and_then(|id| rests.get(&id)) else {
            continue;
        };
        let mut held = message
            .timeline
            .iter()
            .filter(|entry| entry.event == "held");
        if held.next().is_some() {
            simulation.tally.count("a message was put aside");
        }
        if simulation.wall_jumped.get() {
            // Nobody can tell when something was by a clock that was wrong.
            continue;
        }
        let begun = message.timeline.iter();
        let begun = begun.filter(|entry| entry.event == "attempt_begun");
        for at in begun.map(|entry| instant(entry.at)) {
            if let Some((from, until)) = rests.iter().find(|rest| (rest.0..rest.1).contains(&at)) {
                let id = message.envelope.id;
                simulation.violated(format!(
                    "{id} began at {at} µs while its campaign was held, from {from} to {until}"
                ));
            }
        }
    }
}

/// When nothing may begin.
fn rests_of(simulation: &Simulation, commands: &Commands) -> Vec<(u64, u64)> {
    let mut rests = Vec::new();
    for (place, made) in commands.made.iter().enumerate() {
        let (Some(heard), Command::Pause | Command::Cancel) = (made.heard_at, made.command) else {
            continue;
        };
        let ends = commands.made.get(place + 1);
        let from = kept_from(simulation, heard);
        rests.push((from, ends.map_or(u64::MAX, |next| next.asked_at)));
    }
    rests
}

fn count(simulation: &Simulation, commands: &Commands) {
    for made in commands.made.iter().filter(|made| made.heard_at.is_some()) {
        simulation.tally.count(match made.command {
            Command::Change(_) => "a campaign was changed",
            Command::Pause => "a campaign was paused",
            Command::Resume => "a campaign went on",
            Command::Cancel => "a campaign was canceled",
        });
    }
    if commands.are_too_late {
        simulation.tally.count("a command came too late");
    }
}
