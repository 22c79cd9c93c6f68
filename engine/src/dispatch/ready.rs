//! What was read and waits for a provider. Transactional texts go first; within a class
//! accounts take fair turns by their weights, and within an account its campaigns, with
//! what was asked for singly as one of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use schemas::{AccountId, CampaignId, MessageClass, UnixMicros};

use super::Ready;
use super::fair::Turns;
use super::routing::{Routes, Routing};
use crate::pacing::{Limited, Room};

/// How many segments a provider account wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Of whatever comes next.
    pub any: u32,
    /// Besides, of transactional texts alone: a one-time code that comes while there are
    /// permits for no more does not wait until its sender asks again.
    pub transactional: u32,
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// This and that.
    pub fn plus(self, other: Self) -> Self {
        Self {
            any: self.any.saturating_add(other.any),
            transactional: self.transactional.saturating_add(other.transactional),
        }
    }

    /// This without that.
    pub fn minus(self, other: Self) -> Self {
        Self {
            any: self.any.saturating_sub(other.any),
            transactional: self.transactional.saturating_sub(other.transactional),
        }
    }

    /// What is left when this many segments of transactional texts came: those that only they
    /// may use are used first.
    fn after_transactional(self, segments: u32) -> Self {
        let beyond = segments.saturating_sub(self.transactional);
        self.minus(Self {
            any: beyond,
            transactional: segments,
        })
    }
}

/// Messages that wait. Bounded by the read-ahead of the sources.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    routing: Arc<Routing>,
    lanes: [Lane; 2],
    weights: BTreeMap<AccountId, u32>,
    arrivals: u64,
    waiting: usize,
}

/// Messages of one class.
#[derive(Debug, Default)]
struct Lane {
    accounts: BTreeMap<AccountId, Waiting>,
    /// Whose turn it is at each provider account.
    turns: BTreeMap<usize, Turns<AccountId>>,
}

/// What waits of one account, and whose turn it is at each provider account; both are
/// forgotten when nothing waits.
#[derive(Debug, Default)]
struct Waiting {
    campaigns: BTreeMap<Option<CampaignId>, Lines>,
    turns: BTreeMap<usize, Turns<Option<CampaignId>>>,
}

/// Those with the same routes stand in one line, so a line whose providers are busy, or whose
/// sender is slow, holds up no other; further attempts stand in one of their own, for which
/// there may be no budget.
#[derive(Debug, Default)]
struct Lines(BTreeMap<Line, VecDeque<(u64, Ready)>>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Line {
    routes: Routes,
    is_retry: bool,
}

impl Line {
    const fn of(ready: &Ready) -> Self {
        Self {
            routes: ready.routes,
            is_retry: ready.is_retry(),
        }
    }
}

impl ReadyQueue {
    /// An empty one. `routing` knows which senders have a limit.
    pub fn new(routing: Arc<Routing>) -> Self {
        Self {
            routing,
            ..Self::default()
        }
    }

    /// Puts a message at the end of its line.
    pub fn push(&mut self, ready: Ready) {
        let envelope = &ready.envelope;
        let lane = &mut self.lanes[lane_of(envelope.class)];
        let account = lane.accounts.entry(envelope.account).or_default();
        let lines = account.campaigns.entry(envelope.campaign).or_default();
        let line = lines.0.entry(Line::of(&ready)).or_default();
        line.push_back((self.arrivals, ready));
        self.arrivals += 1;
        self.waiting += 1;
    }

    /// Gives an account this weight among the others of a class; 1 unless it is given.
    pub fn weigh(&mut self, account: AccountId, weight: u32) {
        if weight == 1 {
            self.weights.remove(&account);
        } else {
            self.weights.insert(account, weight);
        }
    }

    /// Takes out everything that waits of a campaign.
    pub fn remove(&mut self, campaign: CampaignId) -> Vec<Ready> {
        let mut removed = Vec::new();
        for lane in &mut self.lanes {
            for account in lane.accounts.values_mut() {
                let lines = account
                    .campaigns
                    .remove(&Some(campaign))
                    .unwrap_or_default();
                let lines = lines.0.into_values().flatten();
                removed.extend(lines.map(|(_, ready)| ready));
            }
            lane.accounts
                .retain(|_, account| !account.campaigns.is_empty());
        }
        self.waiting -= removed.len();
        removed
    }

    /// Takes out everything that may go to these provider accounts and no others.
    pub fn remove_within(&mut self, routes: Routes) -> Vec<Ready> {
        self.remove_lines(|line| line.routes.is_within(routes))
    }

    /// Takes out all further attempts that may go to these provider accounts and no others.
    pub fn remove_retries_within(&mut self, routes: Routes) -> Vec<Ready> {
        self.remove_lines(|line| line.is_retry && line.routes.is_within(routes))
    }

    fn remove_lines(&mut self, is_wanted: impl Fn(Line) -> bool) -> Vec<Ready> {
        let mut removed = Vec::new();
        for lane in &mut self.lanes {
            for account in lane.accounts.values_mut() {
                for lines in account.campaigns.values_mut() {
                    let wanted = lines.0.extract_if(.., |line, _| is_wanted(*line));
                    removed.extend(wanted.flat_map(|(_, line)| line).map(|(_, ready)| ready));
                }
                account.campaigns.retain(|_, lines| !lines.0.is_empty());
            }
            lane.accounts
                .retain(|_, account| !account.campaigns.is_empty());
        }
        self.waiting -= removed.len();
        removed
    }

    /// Lets what waits of a campaign go to other provider accounts than it was read for; each
    /// keeps its place.
    pub fn reroute(&mut self, campaign: CampaignId, routes: Routes) {
        let accounts = self
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.accounts.values_mut());
        for account in accounts {
            if let Some(lines) = account.campaigns.get_mut(&Some(campaign)) {
                lines.reroute(routes);
            }
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// How many wait of a class, and since when the first of them could have left: since it was
    /// accepted, its campaign started, or its time came.
    pub fn waiting(&self, class: MessageClass) -> (usize, Option<UnixMicros>) {
        let accounts = self.lanes[lane_of(class)].accounts.values();
        let lines = accounts.flat_map(|account| account.campaigns.values());
        let lines = lines.flat_map(|lines| lines.0.values());
        lines.fold((0, None), |(count, first), line| {
            let since = line.front().map(|(_, ready)| {
                let envelope = &ready.envelope;
                envelope.send_at.unwrap_or(envelope.created_at)
            });
            (count + line.len(), first.into_iter().chain(since).min())
        })
    }

    /// Under whose limits what waits may come.
    pub fn limits(&self) -> BTreeSet<Limited> {
        let mut limits = BTreeSet::new();
        let accounts = self.lanes.iter().flat_map(|lane| &lane.accounts);
        for (account, waiting) in accounts {
            limits.insert(Limited::Account(*account));
            for (campaign, lines) in &waiting.campaigns {
                limits.extend(campaign.map(Limited::Campaign));
                for line in lines.0.keys() {
                    limits.extend(self.routing.limits(line.routes));
                }
            }
        }
        limits
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the next messages for the provider with this number, until what is wanted is
    /// reached, and counts it down. The last one of a class may go over: a text is never split
    /// between pulls. Of whom there is no `room` for, nothing is taken, and of further attempts
    /// no more than `retries`, which are counted down.
    pub fn take(
        &mut self,
        provider: usize,
        wanted: &mut Wanted,
        room: &mut Room,
        retries: &mut u32,
    ) -> Vec<Ready> {
        let mut taken = Vec::new();
        let [transactional, marketing] = &mut self.lanes;
        let most = wanted.any.saturating_add(wanted.transactional);
        let mut asked = Asked {
            provider,
            room,
            retries,
            weights: &self.weights,
            routing: &self.routing,
        };
        let left = transactional.take(&mut asked, most, &mut taken);
        *wanted = wanted.after_transactional(most - left);
        wanted.any = marketing.take(&mut asked, wanted.any, &mut taken);
        self.waiting -= taken.len();
        taken
    }
}

/// Who asks, and what holds for all that is taken at once.
struct Asked<'a> {
    provider: usize,
    room: &'a mut Room,
    /// Further attempts that may be taken.
    retries: &'a mut u32,
    weights: &'a BTreeMap<AccountId, u32>,
    routing: &'a Routing,
}

impl Asked<'_> {
    /// Whether something of this account may go to who asks.
    fn can_take(&self, account: AccountId, waiting: &Waiting) -> bool {
        let mut campaigns = waiting.campaigns.iter();
        let may = self.room.is_for(Limited::Account(account));
        may && campaigns.any(|(id, lines)| self.can_take_of(*id, lines))
    }

    fn can_take_of(&self, campaign: Option<CampaignId>, lines: &Lines) -> bool {
        let may = campaign.is_none_or(|id| self.room.is_for(Limited::Campaign(id)));
        may && lines.next(self).is_some()
    }

    /// The limited sender that a text with these routes would leave from.
    fn sender(&self, routes: Routes) -> Option<Limited> {
        self.routing.limited_sender(self.provider, routes)
    }

    /// Whether the texts of a line may go to who asks.
    fn can_carry(&self, line: Line) -> bool {
        let has_room = |sender| self.room.is_for(sender);
        let may = *self.retries > 0 || !line.is_retry;
        may && line.routes.contains(self.provider) && self.sender(line.routes).is_none_or(has_room)
    }
}

impl Lane {
    /// Takes until nothing is left to take, and tells how many segments are.
    fn take(&mut self, asked: &mut Asked<'_>, mut left: u32, taken: &mut Vec<Ready>) -> u32 {
        if left == 0 || self.accounts.is_empty() {
            return left;
        }
        let turns = self.turns.entry(asked.provider).or_default();
        let waiting = self.accounts.iter();
        let waiting = waiting.filter(|(id, waiting)| asked.can_take(**id, waiting));
        // Looked through once for each pull, which is some milliseconds of a provider's rate.
        let mut next: BTreeSet<_> = waiting.map(|(id, _)| (turns.due(*id), *id)).collect();
        while left > 0
            && let Some((_, id)) = next.pop_first()
            && let Some(account) = self.accounts.get_mut(&id)
        {
            let Some(ready) = account.take(asked) else {
                // Further attempts alone, for which others have used the budget up.
                continue;
            };
            let segments = ready.envelope.segments.max(1);
            let weight = asked.weights.get(&id).copied().unwrap_or(1);
            let sender = asked.sender(ready.routes);
            asked.room.take(&ready.envelope, sender);
            *asked.retries -= u32::from(ready.is_retry());
            let due = turns.serve(id, segments, weight);
            left = left.saturating_sub(segments);
            taken.push(ready);
            if account.campaigns.is_empty() {
                self.accounts.remove(&id);
            } else if asked.can_take(id, account) {
                next.insert((due, id));
            }
        }
        left
    }
}

impl Waiting {
    fn take(&mut self, asked: &Asked<'_>) -> Option<Ready> {
        let turns = self.turns.entry(asked.provider).or_default();
        let campaigns = self.campaigns.iter();
        let can = campaigns.filter(|(id, lines)| asked.can_take_of(**id, lines));
        let id = can.map(|(id, _)| (turns.due(*id), *id)).min()?.1;
        let lines = self.campaigns.get_mut(&id)?;
        let ready = lines.take(asked)?;
        turns.serve(id, ready.envelope.segments, 1);
        if lines.0.is_empty() {
            self.campaigns.remove(&id);
        }
        Some(ready)
    }
}

impl Lines {
    /// The line whose first has waited longest of those that who asks may carry now.
    fn next(&self, asked: &Asked<'_>) -> Option<Line> {
        let lines = self.0.iter();
        let can = lines.filter(|(line, _)| asked.can_carry(**line));
        can.min_by_key(|(_, waiting)| waiting.front().map(|(arrival, _)| *arrival))
            .map(|(line, _)| *line)
    }

    /// All with the same routes, in the order in which they came.
    fn reroute(&mut self, routes: Routes) {
        let lines = std::mem::take(&mut self.0);
        let mut all: Vec<_> = lines.into_values().flatten().collect();
        all.sort_unstable_by_key(|(arrival, _)| *arrival);
        for (arrival, mut ready) in all {
            ready.routes = routes;
            let line = self.0.entry(Line::of(&ready)).or_default();
            line.push_back((arrival, ready));
        }
    }

    fn take(&mut self, asked: &Asked<'_>) -> Option<Ready> {
        let next = self.next(asked)?;
        let line = self.0.get_mut(&next)?;
        let (_, ready) = line.pop_front()?;
        if line.is_empty() {
            self.0.remove(&next);
        }
        Some(ready)
    }
}

const fn lane_of(class: MessageClass) -> usize {
    match class {
        MessageClass::Transactional => 0,
        MessageClass::Marketing => 1,
    }
}
