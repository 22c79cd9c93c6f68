//! Whether all is well: customers were promised something, providers took texts, and the
//! node tells a story. The three must agree.

mod campaign_limits;
mod commands;
mod consent;
mod events;
mod limits;
mod messages;
mod orders;
mod outcome;
mod poison;
mod receipts;
mod retries;
mod stranded;
mod weak;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use engine::storage::compare_memory_with_rebuilt;
use engine::store::MemoryKv;
use engine::verify;
use schemas::campaign::{Campaign, CampaignState, CampaignTally};
use schemas::{CampaignId, Message, MessageClass, MessageStatus, PartitionCount, UnixMicros};

use super::Simulation;
use super::customers::Kind;
use super::process::journal_settings;
use super::time::Time;

/// Microseconds within which the first of a campaign is frozen, also where the disk and
/// every task are as slow as a schedule makes them.
const TAKEN_UP_WITHIN: u64 = 1_500_000;

/// Microseconds that a process takes to end in good order, at most.
const ENDS_WITHIN: u64 = 15_000_000;

/// Microseconds from the answer to a command until it is kept.
const KEPT_WITHIN: u64 = 1_000_000;

/// Steps from a command to who keeps it, each of which may be held up.
const STEPS_OF_A_COMMAND: u64 = 12;

/// From when on a command is kept that was answered at this instant.
pub fn kept_from(simulation: &Simulation, heard: u64) -> u64 {
    let held = simulation.plan.task_hold.1 * 1_000 * STEPS_OF_A_COMMAND;
    after(simulation, heard, KEPT_WITHIN + held)
}

/// When something was written down, by a clock that was never set.
fn instant(at: UnixMicros) -> u64 {
    Time::of_true_wall(at.0.unsigned_abs())
}

/// When the process has had so many microseconds since an instant. While it stands still, or its
/// servers do not answer, it can do nothing.
pub fn after(simulation: &Simulation, since: u64, micros: u64) -> u64 {
    let frozen = simulation.frozen.borrow();
    let frozen = frozen.iter().filter(|(_, until)| *until > since);
    let frozen: u64 = frozen.map(|(from, until)| until - from).sum();
    let until = since + micros + frozen;
    let fleet = simulation.fleet.as_ref();
    until + fleet.map_or(0, |fleet| fleet.takes_longer(since, until))
}

/// After each life: what is on the disk agrees with itself, and no end was taken back.
pub fn after_a_life(simulation: &Simulation, in_good_order: bool) {
    let Some(memory) = image(simulation) else {
        return;
    };
    let mut ends = simulation.ends.borrow_mut();
    let verified = verify::memory(&memory, &mut |message| {
        let (id, status) = (message.envelope.id, message.status);
        if let Some(end) = ends.get(&id).filter(|end| **end != status) {
            simulation.violated(format!("{id} was {end:?} and is {status:?}"));
        }
        if status.is_final() {
            ends.insert(id, status);
        }
    });
    match verified {
        // While servers do not answer nothing is written down, and nobody waits for ever.
        Ok(_) if in_good_order && is_cut_short(simulation) => {}
        // Others go on.
        Ok(_) if is_owned(simulation) => {}
        Ok(verified) if in_good_order && verified.open_attempts > 0 => {
            let open = verified.open_attempts;
            simulation.violated(format!("stopped in good order with {open} open attempts"));
        }
        Ok(_) => {}
        Err(error) => simulation.violated(format!("verify: {error}")),
    }
}

/// What the next process finds: what is on the disk, or what is on the servers with the rows of
/// the last group, which it writes again.
fn image(simulation: &Simulation) -> Option<MemoryKv> {
    let Some(fleet) = &simulation.fleet else {
        return Some(simulation.memory.clone());
    };
    fleet.servers.settle(simulation.time.now());
    match fleet.servers.image(journal_settings(&simulation.plan)) {
        Ok((image, missing)) => {
            let times = u64::from(missing > 0);
            simulation
                .tally
                .add("rows of the last group were missing", times);
            Some(image)
        }
        Err(error) => {
            simulation.violated(format!("the journals cannot be read: {error}"));
            None
        }
    }
}

/// Whether another node owns something beside the first, or died a moment ago.
fn is_owned(simulation: &Simulation) -> bool {
    let fleet = simulation.fleet.as_ref();
    fleet.is_some_and(|fleet| fleet.is_shared() && fleet.servers.is_owned())
}

/// Whether servers did not answer as a process ended.
fn is_cut_short(simulation: &Simulation) -> bool {
    let now = simulation.time.now();
    let fleet = simulation.fleet.as_ref();
    fleet.is_some_and(|fleet| fleet.was_troubled(now.saturating_sub(ENDS_WITHIN), now))
}

/// In a life in which nothing went wrong, a campaign that was started to run at once is taken
/// up soon.
pub fn starts_were_heard(simulation: &Simulation, begun: u64, ended: u64) {
    let state = simulation.customers.state();
    let is_in_time = |at: u64| at >= begun && after(simulation, at, TAKEN_UP_WITHIN) <= ended;
    let started = state
        .errands
        .iter()
        .filter_map(|errand| match &errand.kind {
            Kind::Campaign(wanted) if wanted.started_at.is_some_and(is_in_time) => {
                Some(wanted).filter(|wanted| wanted.plan.send_after_ms.is_none())
            }
            Kind::Campaign(_)
            | Kind::Single(_)
            | Kind::Person(_)
            | Kind::Operator(_)
            | Kind::Account(_) => None,
        });
    let mut started = started.peekable();
    if started.peek().is_none() {
        return;
    }
    let tallies = rows::<CampaignTally>(simulation).into_iter();
    let taken_up: BTreeSet<CampaignId> = tallies.map(|tally| tally.campaign).collect();
    for wanted in started {
        if wanted.campaign.is_none_or(|id| !taken_up.contains(&id)) {
            let number = wanted.number;
            simulation.violated(format!("campaign {number} was started and stands still"));
        }
    }
}

/// Whether any message waits for something that is sure to come.
pub fn is_waiting(simulation: &Simulation) -> bool {
    let messages = rows::<Message>(simulation);
    messages.iter().any(|message| {
        let is_over = message.status.is_final() || message.status == MessageStatus::Unknown;
        !is_over
    })
}

/// Whether any campaign is not over: what is unknown and is not searched for any more keeps
/// one until its validity ends.
pub fn is_under_way(simulation: &Simulation) -> bool {
    let campaigns = rows::<Campaign>(simulation);
    campaigns.iter().any(Campaign::is_under_way)
}

/// At the end: the three books.
pub fn everything(simulation: &Simulation) {
    let messages = rows::<Message>(simulation);
    mark(simulation, &messages);
    messages::judge(simulation, &messages);
    receipts::judge(simulation, &messages);
    wire::judge(simulation, &messages);
    retries::judge(simulation, &messages);
    weak::judge(simulation);
    commands::judge(simulation, &messages);
    campaign_limits::judge(simulation, &messages);
    limits::judge(simulation, &messages);
    consent::judge(simulation, &messages);
    stranded::judge(simulation, &messages);
    poison::judge(simulation, &messages);
    events::judge(simulation, &messages);
    campaigns(simulation, &messages);
    if !simulation.plan.trim {
        rebuilt(simulation);
    }
}

/// What came of everything goes into the hash of the story.
fn mark(simulation: &Simulation, messages: &[Message]) {
    for message in messages {
        let id = u128::from_be_bytes(*message.envelope.id.as_bytes());
        let halves = [(id >> 64) as u64, id as u64];
        let rest = [message.status as u64, message.timeline.len() as u64];
        simulation.story.mark(&halves);
        simulation.story.mark(&rest);
    }
    let entries = simulation.world.ledger.entries();
    for call in &entries.calls {
        simulation.story.mark(&[call.provider as u64, call.at]);
    }
    for text in &entries.texts {
        simulation.story.mark(&[text.at, u64::from(text.took)]);
    }
}

/// Every row of a kind, as the disk has it.
pub fn rows<R: schemas::record::Record>(simulation: &Simulation) -> Vec<R> {
    match verify::rows_in_memory::<R>(&simulation.memory) {
        Ok(rows) => rows,
        Err(error) => {
            simulation.violated(format!("rows cannot be read: {error}"));
            Vec::new()
        }
    }
}

/// A campaign's numbers are those of its messages, and everybody on its list is counted.
fn campaigns(simulation: &Simulation, messages: &[Message]) {
    let mut counted: BTreeMap<CampaignId, BTreeMap<MessageStatus, u64>> = BTreeMap::new();
    for message in messages {
        if let Some(campaign) = message.envelope.campaign {
            let counts = counted.entry(campaign).or_default();
            *counts.entry(message.status).or_default() += 1;
        }
    }
    let mut told: BTreeMap<CampaignId, CampaignTally> = BTreeMap::new();
    for tally in rows::<CampaignTally>(simulation) {
        let sum = told
            .entry(tally.campaign)
            .or_insert_with(|| CampaignTally::empty(tally.campaign, tally.partition));
        sum.add(&tally);
    }
    let known: BTreeMap<CampaignId, Campaign> = rows::<Campaign>(simulation)
        .into_iter()
        .map(|campaign| (campaign.id, campaign))
        .collect();
    finished_for_good(simulation, &known, messages);
    for errand in &simulation.customers.state().errands {
        let Kind::Campaign(wanted) = &errand.kind else {
            continue;
        };
        let Some(id) = wanted.campaign.filter(|_| wanted.started_at.is_some()) else {
            simulation.violated(format!("campaign {} was never started", wanted.number));
            continue;
        };
        let people = wanted.people();
        let has_begun = known.get(&id).is_none_or(|row| row.started_at.is_some());
        if !has_begun && wanted.commands.is_canceled() {
            simulation
                .tally
                .count("a campaign was canceled before its time");
            continue;
        }
        let (counts, told) = (counted.remove(&id).unwrap_or_default(), told.remove(&id));
        let Some(told) = told else {
            simulation.violated(format!("{id} has no numbers"));
            continue;
        };
        let is_canceled = wanted.commands.is_canceled();
        let with_rows: u64 = counts.values().sum();
        // Of whoever was counted off, nothing is written.
        let counted_off = told.total_recipients.saturating_sub(with_rows);
        if is_canceled {
            simulation
                .tally
                .add("recipients were counted off", counted_off);
        }
        let agrees = MessageStatus::ALL.into_iter().all(|status| {
            let rows = counts.get(&status).copied().unwrap_or(0);
            let is_off = is_canceled && status == MessageStatus::Canceled;
            told.count(status) == rows + if is_off { counted_off } else { 0 }
        });
        let nameless = wanted.nameless().len() as u64;
        let skipped = told.skipped.get("missing_field").copied().unwrap_or(0);
        let is_whole = told.total_recipients == people && skipped == nameless;
        let is_part = told.total_recipients <= people && skipped <= nameless;
        if !agrees || !(is_whole || is_canceled && is_part) {
            simulation.violated(format!(
                "{id}: {people} people, {told:?} told, {counts:?} counted"
            ));
        }
        // By a clock that was wrong it may take days until nothing may be sent again.
        let waits = simulation.wall_jumped.get() && told.count(MessageStatus::Unknown) > 0;
        let may_run = waits && wanted.plan.class == MessageClass::Transactional;
        let row = known.get(&id);
        let state = row.map(|row| row.state);
        let is_right = if is_canceled {
            state == Some(CampaignState::Canceled)
                && row.is_some_and(|row| row.finished_at.is_some())
        } else {
            state == Some(CampaignState::Finished) || may_run
        };
        if !is_right {
            simulation.violated(format!("{id} is {state:?}"));
        }
    }
    if let Some(id) = counted.keys().next() {
        simulation.violated(format!("{id} has messages and nobody started it"));
    }
}

/// Nothing of a campaign begins after its end.
fn finished_for_good(
    simulation: &Simulation,
    campaigns: &BTreeMap<CampaignId, Campaign>,
    messages: &[Message],
) {
    for message in messages {
        let campaign = message.envelope.campaign.and_then(|id| campaigns.get(&id));
        let Some(finished_at) = campaign.and_then(|campaign| campaign.finished_at) else {
            continue;
        };
        let mut begun = message
            .timeline
            .iter()
            .filter(|entry| entry.event == "attempt_begun");
        if begun.any(|entry| entry.at > finished_at) {
            let id = message.envelope.id;
            simulation.violated(format!("{id} was sent after its campaign had finished"));
        }
    }
}

/// Every projection made again from the journal is the one that is there.
fn rebuilt(simulation: &Simulation) {
    let partitions = PartitionCount::new(simulation.plan.partitions).expect("a power of two");
    simulation.tally.count("all projections made again");
    let Some(memory) = image(simulation) else {
        return;
    };
    match compare_memory_with_rebuilt(&memory, partitions) {
        Ok(Ok(_)) => {}
        Ok(Err(difference)) => simulation.violated(format!("made again: {difference:?}")),
        Err(error) => simulation.violated(format!("cannot be made again: {error}")),
    }
}
