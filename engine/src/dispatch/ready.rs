//! What was read and waits for a provider: transactional first, then by arrival.

use std::collections::{BTreeMap, VecDeque};

use schemas::MessageClass;

use super::Ready;
use super::routing::Routes;

/// Messages that wait. Those with the same routes stand in one line, so a line whose
/// providers are busy holds up no other. Bounded by the read-ahead of the sources.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    lanes: [Lane; 2],
    arrivals: u64,
    waiting: usize,
}

type Lane = BTreeMap<Routes, VecDeque<(u64, Ready)>>;

impl ReadyQueue {
    /// Puts a message at the end of its line.
    pub fn push(&mut self, ready: Ready) {
        let lane = &mut self.lanes[lane_of(ready.envelope.class)];
        lane.entry(ready.routes)
            .or_default()
            .push_back((self.arrivals, ready));
        self.arrivals += 1;
        self.waiting += 1;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the next messages for the provider with this number, until `segments`
    /// are reached. The last one may go over: a text is never split between pulls.
    pub fn take(&mut self, provider: usize, segments: u32) -> Vec<Ready> {
        let mut taken = Vec::new();
        let mut filled = 0;
        for lane in &mut self.lanes {
            while filled < segments {
                let Some(ready) = next_in(lane, provider) else {
                    break;
                };
                filled += ready.envelope.segments.max(1);
                taken.push(ready);
            }
        }
        self.waiting -= taken.len();
        taken
    }
}

fn next_in(lane: &mut Lane, provider: usize) -> Option<Ready> {
    let routes = lane
        .iter()
        .filter(|(routes, _)| routes.contains(provider))
        .min_by_key(|(_, line)| line.front().map_or(u64::MAX, |(arrival, _)| *arrival))
        .map(|(routes, _)| *routes)?;
    let line = lane.get_mut(&routes)?;
    let (_, ready) = line.pop_front()?;
    if line.is_empty() {
        lane.remove(&routes);
    }
    Some(ready)
}

const fn lane_of(class: MessageClass) -> usize {
    match class {
        MessageClass::Transactional => 0,
        MessageClass::Marketing => 1,
    }
}
