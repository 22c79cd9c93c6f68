//! Limits of campaigns: none goes faster than it may, or through others than it may, from a
//! second after a change was acknowledged until the next is asked for; none before its time, or
//! outside of its window.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use engine::pacing::Pace;
use schemas::{CampaignId, Message, ProviderId, UnixMicros};

use super::wire::{calls_of, excess, slack_of};
use super::{instant, kept_from};
use crate::simulation::Simulation;
use crate::simulation::customers::Kind;
use crate::simulation::customers::campaign::CampaignErrand;
use crate::simulation::customers::commands::{Command, id_of};
use crate::simulation::time::Time;

/// What holds for a time.
struct Rule {
    kept: Range<u64>,
    rate: Option<f64>,
    provider: Option<ProviderId>,
}

/// Judges every request of every campaign.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    let mut campaigns: BTreeMap<CampaignId, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        if let Some(campaign) = message.envelope.campaign {
            campaigns.entry(campaign).or_default().push(message);
        }
    }
    for errand in &simulation.customers.state().errands {
        if let Kind::Campaign(campaign) = &errand.kind
            && let Some(messages) = campaign.campaign.and_then(|id| campaigns.get(&id))
        {
            if let Some(wrong) = too_early(simulation, campaign, messages) {
                simulation.violated(format!("campaign {}: {wrong}", campaign.number));
            }
            for rule in rules(simulation, campaign) {
                if let Some(wrong) = too_fast(simulation, &rule, messages) {
                    simulation.violated(format!("campaign {}: {wrong}", campaign.number));
                }
                if let Some(wrong) = elsewhere(simulation, &rule, messages) {
                    simulation.violated(format!("campaign {}: {wrong}", campaign.number));
                }
            }
        }
    }
}

/// What held when.
fn rules(simulation: &Simulation, campaign: &CampaignErrand) -> Vec<Rule> {
    let changes = campaign.commands.made.iter();
    let mut changes = changes.filter_map(|made| match made.command {
        Command::Change(change) => Some((made, change)),
        Command::Pause | Command::Resume | Command::Cancel => None,
    });
    let change = changes.next();
    let until = change.map_or(u64::MAX, |(made, _)| made.asked_at);
    let mut rules = vec![Rule {
        kept: 0..until,
        rate: campaign.plan.rate,
        provider: None,
    }];
    if let Some((made, change)) = change
        && let Some(heard) = made.heard_at
    {
        rules.push(Rule {
            kept: kept_from(simulation, heard)..u64::MAX,
            rate: change.rate,
            provider: change.provider.map(id_of),
        });
    }
    rules
}

/// Whether more left in a window than the rate allows.
fn too_fast(simulation: &Simulation, rule: &Rule, messages: &[&Message]) -> Option<String> {
    let rate = rule.rate?;
    simulation.tally.count("a campaign was limited");
    let pace = Pace::new(rate, None).expect("a rate");
    let entries = simulation.world.ledger.entries();
    let ids: BTreeSet<String> = messages
        .iter()
        .map(|message| message.envelope.id.to_string())
        .collect();
    let mut calls = calls_of(simulation, &entries);
    calls.retain(|call| {
        let is_of_it = |(id, _): &(String, u32)| ids.contains(id);
        rule.kept.contains(&call.at) && call.attempt.as_ref().is_some_and(is_of_it)
    });
    let (segments, from, to) = excess(&pace, &calls, slack_of(simulation))?;
    let (from, to, most) = (from.at, to.at, pace.segments_in_window());
    Some(format!(
        "{segments} segments from {from} to {to} µs, {most} allowed by its own limit"
    ))
}

/// Whether something began before its time, or before its window opened.
fn too_early(
    simulation: &Simulation,
    campaign: &CampaignErrand,
    messages: &[&Message],
) -> Option<String> {
    if simulation.wall_jumped.get() {
        return None;
    }
    let opens_at = UnixMicros(Time::OPENS_AT as i64);
    let opens_at = campaign.plan.has_window.then_some(opens_at);
    if opens_at.is_some() {
        simulation.tally.count("a campaign waited for its window");
    }
    if campaign.send_at.is_some() {
        simulation.tally.count("a campaign waited for its time");
    }
    let not_before = opens_at.max(campaign.send_at)?;
    let entries = messages.iter().flat_map(|message| &message.timeline);
    let mut begun = entries.filter(|entry| entry.event == "attempt_begun");
    let early = begun.find(|entry| entry.at < not_before)?;
    let (at, not_before) = (instant(early.at), instant(not_before));
    Some(format!(
        "something began at {at} µs, and not before {not_before} µs it may"
    ))
}

/// Whether something began at a provider account that may not carry it.
fn elsewhere(simulation: &Simulation, rule: &Rule, messages: &[&Message]) -> Option<String> {
    let provider = rule.provider?;
    if simulation.wall_jumped.get() {
        // Nobody can tell when something was by a clock that was wrong.
        return None;
    }
    let entries = messages.iter().flat_map(|message| &message.timeline);
    let begun = entries.filter(|entry| entry.event == "attempt_begun");
    for entry in begun.filter(|entry| rule.kept.contains(&instant(entry.at))) {
        simulation.tally.count("a campaign was sent elsewhere");
        if entry.provider != Some(provider) {
            let at = instant(entry.at);
            return Some(format!(
                "something began at {at} µs where it may not go any more"
            ));
        }
    }
    None
}
