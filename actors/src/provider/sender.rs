//! The sender of one provider account. It asks the dispatcher for no more than what
//! falls due in the next few milliseconds, and hands what it gets to its lane.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use engine::dispatch::ready::Wanted;
use engine::journal::Journal;
use engine::pacing::Leave;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;

use super::lane::Lane;
use super::pacing::Pacing;
use crate::dispatch::demand::{Asked, Demand, Withdrawn};
use crate::dispatch::dispatcher::Dispatcher;
use crate::instruments::ProviderInstruments;
use crate::supervision::{Lifeline, Post, TaskPanicked, spawn_for};

/// How far ahead of its permits work is committed: the time of a group commit on a disk, with
/// some room. What is committed ahead is unknown after a crash. One-time codes may come on top
/// of that, as many as are due until the next look: while a campaign fills the line they would
/// otherwise wait for it.
const COMMIT_AHEAD: Duration = Duration::from_millis(20);

/// What is committed ahead at most beyond that, however slow servers are: a busy one takes some
/// 170 ms for a group.
const LATENCY_MOST: Duration = Duration::from_millis(400);

/// How far ahead of its permits work is given out. On servers a commit takes longer than what
/// may wait for its permit afterwards, so it is begun by as much earlier: else no account could
/// send faster than what a commit carries in the time that it takes.
pub fn commit_ahead(journal: &Journal) -> Duration {
    COMMIT_AHEAD + journal.latency().min(LATENCY_MOST)
}

/// How often a busy sender looks whether permits have come due.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How often an idle one looks whether there is another dispatcher. Work wakes it: what it
/// asked for is given out as soon as there is something.
const LOOK_WHEN_IDLE: Duration = Duration::from_millis(100);

/// Looks in the time that is committed ahead.
fn looks_in(ahead: Duration) -> usize {
    usize::try_from(ahead.as_millis() / LOOK_EVERY.as_millis()).unwrap_or(usize::MAX)
}

/// Work is committed ahead for this many times what left in the time before, so that a
/// lane that speeds up doubles in each such time.
const GROWTH: u64 = 2;

/// What a sender is built from.
#[derive(Clone)]
pub struct SenderParts {
    /// Time and tasks.
    pub runtime: Runtime,
    /// The provider account.
    pub account: Arc<ProviderAccount>,
    /// Its number in the routes.
    pub index: usize,
    /// Its pace and its free slots. They outlive a sender that fails, so the next one
    /// sends no more than is left of the same second and the same window.
    pub pacing: Pacing,
    /// Who has work.
    pub dispatcher: Post<Dispatcher>,
    /// Where it is committed.
    pub journal: Journal,
}

/// One provider account's sender.
pub struct ProviderSender {
    parts: SenderParts,
    lane: Arc<Lane>,
    /// What was asked for and has not come yet.
    asked: Arc<Asked>,
    dispatcher: Option<Addr<Dispatcher>>,
    /// Whether its provider seems dead, and it wants nothing but probes, or is disabled, and it
    /// wants nothing.
    is_resting: bool,
    /// What had left the lane at the last looks, the oldest first.
    left: VecDeque<u64>,
    /// The series of looks that counts. A look of an earlier one is left to pass: actix 0.13
    /// can loop for ever over a cancelled one that was just due.
    series: u64,
    lifeline: Lifeline,
}

impl ProviderSender {
    /// A sender with an empty lane.
    pub fn new(parts: SenderParts, lifeline: Lifeline) -> Self {
        let provider = Arc::clone(&parts.account.provider);
        let instruments = ProviderInstruments::of(&parts.account.name, parts.journal.range());
        // One that failed may have left another word.
        instruments.resting(false);
        let (runtime, pacing) = (parts.runtime.clone(), parts.pacing.clone());
        let lane = Lane::new(runtime, provider, pacing, instruments);
        Self {
            parts,
            lane,
            asked: Arc::default(),
            dispatcher: None,
            is_resting: false,
            left: VecDeque::new(),
            series: 0,
            lifeline,
        }
    }

    /// What can be expected to leave in the time ahead, from what left in the time before:
    /// a rate that the provider's answers do not keep up with must not fill the line. At
    /// least one text for each slot.
    fn can_leave(&mut self, ahead: Duration) -> u64 {
        let now = self.lane.left();
        self.left.push_back(now);
        while self.left.len() > looks_in(ahead) + 1 {
            self.left.pop_front();
        }
        let before = self.left.front().copied().unwrap_or(now);
        let slots = u64::from(self.parts.account.max_in_flight);
        ((now - before) * GROWTH).max(slots)
    }

    /// Asks, and looks again.
    fn look(&mut self, series: u64, context: &mut Context<Self>) {
        if series != self.series {
            return;
        }
        self.lane.tell_rates();
        let leave = self.lane.leave();
        self.rest(leave != Leave::All);
        if leave != Leave::Nothing {
            self.ask();
        }
        let wait = if leave == Leave::Nothing || self.is_idle() {
            LOOK_WHEN_IDLE
        } else {
            LOOK_EVERY
        };
        context.run_later(wait, move |sender, context| sender.look(series, context));
    }

    /// Nothing waits, nothing left lately, and the dispatcher knows what is wanted.
    fn is_idle(&self) -> bool {
        let has_left = self.left.front() != self.left.back();
        let asks = self.asked.wanted().any > 0;
        let is_idle = asks && !has_left && self.left.len() > looks_in(COMMIT_AHEAD);
        // Told first: what comes from now on wakes.
        self.lane.set_idle(is_idle);
        is_idle && self.lane.waiting().all == 0
    }

    /// Begins or ends a rest. What was asked for is not wanted any more, and what waits
    /// goes to whom it can.
    fn rest(&mut self, is_resting: bool) {
        if self.is_resting == is_resting {
            return;
        }
        let name = &self.parts.account.name;
        if is_resting {
            let withdrawn = Withdrawn(self.parts.index);
            if let Some(dispatcher) = &self.dispatcher
                && dispatcher.try_send(withdrawn).is_err()
                && dispatcher.connected()
            {
                // Its mailbox is full: at the next look.
                return;
            }
            self.asked = Arc::default();
            self.lane.hand_back();
        }
        self.is_resting = is_resting;
        if is_resting && self.lane.has_no_share() {
            // Nothing is wrong with it.
            return;
        }
        if is_resting {
            tracing::warn!(
                provider = name,
                "it is disabled, or does not answer and is probed"
            );
        } else {
            tracing::info!(provider = name, "it is sent texts again");
        }
        self.lane.instruments().resting(is_resting);
    }

    fn ask(&mut self) {
        let Some(dispatcher) = self.parts.dispatcher.address() else {
            return;
        };
        if self.dispatcher.as_ref() != Some(&dispatcher) {
            // A new dispatcher knows nothing of what the old one was asked for.
            self.asked = Arc::default();
            self.dispatcher = Some(dispatcher.clone());
        }
        let wanted = self.wanted();
        if wanted.is_nothing() {
            return;
        }
        self.asked.add(wanted);
        let demand = Demand {
            provider: self.parts.index,
            wanted,
            lane: Arc::clone(&self.lane),
            asked: Arc::clone(&self.asked),
        };
        if dispatcher.try_send(demand).is_err() {
            self.asked.remove(wanted);
        }
    }

    /// What is wanted beyond what waits in the lane and what was asked for already.
    fn wanted(&mut self) -> Wanted {
        let ahead = commit_ahead(&self.parts.journal);
        self.lane.expect(ahead);
        let can_leave = self.can_leave(ahead);
        let due = |ahead| self.lane.due_within(ahead).min(can_leave).max(1);
        let (any, transactional) = if self.is_resting {
            (1, 0)
        } else {
            (due(ahead), due(LOOK_EVERY))
        };
        let (waiting, asked) = (self.lane.waiting(), self.asked.wanted());
        let missing = |wanted: u64, waiting: u64, asked: u32| {
            let missing = wanted.saturating_sub(waiting + u64::from(asked));
            u32::try_from(missing).unwrap_or(u32::MAX)
        };
        Wanted {
            any: missing(any, waiting.all, asked.any),
            transactional: missing(transactional, waiting.transactional, asked.transactional),
        }
    }
}

impl Actor for ProviderSender {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let lane = Arc::clone(&self.lane).run();
        spawn_for(&self.parts.runtime, context.address(), lane);
        self.lane
            .wake_when_needed(context.address().downgrade().recipient());
        self.look(self.series, context);
    }
}

impl Drop for ProviderSender {
    fn drop(&mut self) {
        self.lane.close();
        self.lane.instruments().rates(0.0, 0.0);
    }
}

/// Lets nothing more go, for a graceful end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for ProviderSender {
    type Result = ();

    fn handle(&mut self, _: Close, context: &mut Self::Context) {
        self.lane.close();
        self.lifeline.finish();
        context.stop();
    }
}

impl Handler<TaskPanicked> for ProviderSender {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}

/// Work has come to an idle sender.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake;

impl Handler<Wake> for ProviderSender {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        self.series += 1;
        self.look(self.series, context);
    }
}
