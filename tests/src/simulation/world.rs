//! Everything outside of the process: the lines to the providers, the providers
//! themselves, and what customers mean to do. It outlives the process and knows no
//! node; what happens in it is in one queue, in the order of time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox::core::{Core, DueReceipt};
use sandbox::dialect::{self, HttpAnswer, HttpRequest, Method};
use tokio::sync::{Notify, oneshot};

use super::chance::{Chance, Stream};
use super::held_back::HeldBack;
use super::ledger::{Call, Ledger};
use super::plan::{LinePlan, Outage, Plan, ProviderPlan};
use super::request::{Fate, Reply, Request};
use super::tally::Tally;
use super::time::Time;
use super::weakness::{Weaknesses, lateness};
use crate::fixture::sandbox_account;

/// What the node calls itself in callback URLs.
pub const PUBLIC_URL: &str = "http://node.example";

/// Receipts that are taken from the providers at a time.
const RECEIPTS_AT_ONCE: usize = 256;

/// Microseconds from a last search within which a lagging provider tells what it knows.
const TOLD_WITHIN: u64 = 600_000;

/// Microseconds for which it holds back what it knows, at most.
const HELD_BACK_AT_MOST: u64 = 100_000_000;

/// The world around one simulated process.
pub struct World {
    /// The time.
    pub time: Arc<Time>,
    /// The providers.
    pub core: Core,
    /// What they wrote down.
    pub ledger: Arc<Ledger>,
    /// What has come about.
    pub tally: Arc<Tally>,
    /// Told when something was planned that may be the next to happen.
    pub changed: Arc<Notify>,
    providers: Vec<ProviderPlan>,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    queue: BTreeMap<(u64, u64), Event>,
    planned: u64,
    requests: BTreeMap<u64, Request>,
    life: usize,
    /// Requests that create a text and have not ended, by provider account.
    open: Vec<u32>,
    most_open: Vec<u32>,
    /// Requests of any kind whose end the process waits for.
    waited_for: u32,
    /// When a request last left, an answer last came, or a pause ends that one asked for:
    /// what was begun waits until then.
    last_wire: u64,
    is_calm: bool,
    held_back: HeldBack,
    weaknesses: Weaknesses,
}

enum Event {
    /// A request arrives at its provider.
    Arrive(u64),
    /// Its answer comes back, or the line is cut.
    Answer(u64, Option<HttpAnswer>),
    /// A customer acts.
    Errand(usize),
    /// A provider tells what it held back of a number.
    Told(String),
}

/// What is left to those who drive the world.
pub enum Action {
    /// A provider tells of a text.
    Receipt(DueReceipt),
    /// A customer acts.
    Errand(usize),
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(seed: u64, plan: &mut Plan, time: &Arc<Time>, tally: &Arc<Tally>) -> Arc<Self> {
        let accounts: Vec<_> = (1..).zip(&plan.providers).map(sandbox_of).collect();
        let ledger = Arc::new(Ledger::default());
        let sink = Arc::clone(&ledger) as Arc<dyn sandbox::book::BookSink>;
        let core = Core::new(seed, &accounts, &sandbox::FaultPlan::none(), sink);
        let places = plan.providers.len();
        Arc::new(Self {
            time: Arc::clone(time),
            core: core.expect("the plan is possible"),
            ledger,
            tally: Arc::clone(tally),
            changed: Arc::default(),
            providers: std::mem::take(&mut plan.providers),
            state: Mutex::new(State {
                chance: Chance::new(seed, Stream::Wire),
                queue: BTreeMap::new(),
                planned: 0,
                requests: BTreeMap::new(),
                life: 0,
                open: vec![0; places],
                most_open: vec![0; places],
                waited_for: 0,
                last_wire: 0,
                is_calm: false,
                held_back: HeldBack::default(),
                weaknesses: Weaknesses::new(places),
            }),
        })
    }

    /// The plans of the provider accounts.
    pub fn providers(&self) -> &[ProviderPlan] {
        &self.providers
    }

    /// A process begins: requests of earlier ones have nobody who waits for them.
    pub fn life_begins(&self, life: usize) {
        let mut state = self.state();
        state.life = life;
        state.open.fill(0);
        state.waited_for = 0;
    }

    /// Requests that were open when the process ended: those that the provider has not
    /// seen yet, and those that it has.
    pub fn cut_off(&self) -> (u64, u64) {
        let state = self.state();
        let submits = state.requests.values().filter(|one| one.call.is_some());
        let open = submits.filter(|one| one.reply.as_ref().is_some_and(|reply| !reply.is_closed()));
        open.fold((0, 0), |(before, after), request| {
            if request.arrived {
                (before, after + 1)
            } else {
                (before + 1, after)
            }
        })
    }

    /// The most requests that were open at once, by provider account.
    pub fn most_open(&self) -> Vec<u32> {
        self.state().most_open.clone()
    }

    /// When something last went over a line, or might have.
    pub fn last_wire(&self) -> u64 {
        self.state().last_wire
    }

    /// A customer will act.
    pub fn plan_errand(&self, at: u64, errand: usize) {
        self.state().plan(at, Event::Errand(errand));
        self.changed.notify_one();
    }

    /// A request leaves the process. `None` when no connection comes about.
    pub fn send(
        &self,
        mut request: Request,
        call: Option<Call>,
    ) -> Option<oneshot::Receiver<Reply>> {
        let now = self.time.now();
        let plan = &self.providers[request.provider];
        let outage = plan
            .outage
            .filter(|(from, until, _)| (from * 1_000..until * 1_000).contains(&now));
        let mut state = self.state();
        let state = &mut *state;
        state.last_wire = state.last_wire.max(now);
        if let Some(call) = call {
            let is_owners = call.life == state.life;
            let mut entries = self.ledger.entries();
            request.call = Some(entries.calls.len());
            entries.calls.push(call);
            let open = &mut state.open[request.provider];
            *open += u32::from(is_owners);
            let most = &mut state.most_open[request.provider];
            *most = (*most).max(*open);
        }
        let line = if state.is_calm {
            &LinePlan::CALM
        } else {
            &plan.line
        };
        let (refused, lost) = (
            state.chance.hits(line.refused),
            state.chance.hits(line.request_lost),
        );
        let (unanswered, half) = (
            state.chance.hits(line.answer_lost),
            state.chance.hits(line.half_body),
        );
        let delay = state.chance.between(0, line.delay_ms * 1_000);
        let swallows = outage.is_some_and(|(.., kind)| kind == Outage::Swallows);
        let is_weak =
            request.call.is_some() && state.weaknesses.refuses(request.provider, plan, now);
        if refused || is_weak || outage.is_some_and(|(.., kind)| kind == Outage::Refuses) {
            self.tally.count("line: connection refused");
            return None;
        }
        let (reply, answer) = oneshot::channel();
        request.reply = Some(reply);
        if unanswered {
            self.tally.count("line: answer lost");
            request.fate = Fate::AnswerLost;
        } else if half {
            self.tally.count("line: half an answer");
            request.fate = Fate::HalfBody;
        }
        let id = state.planned;
        state.requests.insert(id, request);
        if lost || swallows {
            self.tally.count("line: request lost");
            state.planned += 1;
        } else {
            state.plan(now + delay, Event::Arrive(id));
        }
        self.changed.notify_one();
        Some(answer)
    }

    /// From now on the lines do nothing wrong.
    pub fn calm_down(&self) {
        self.state().is_calm = true;
    }

    /// A request begins in the process of a life.
    pub fn begun(&self, life: usize) {
        let mut state = self.state();
        state.waited_for += u32::from(life == state.life);
    }

    /// A request has ended in the process of a life; one that creates a text names its provider.
    /// Of who is not the owner any more nothing is counted.
    pub fn ended(&self, life: usize, provider: Option<usize>) {
        let now = self.time.now();
        let mut state = self.state();
        if life != state.life {
            return;
        }
        state.waited_for = state.waited_for.saturating_sub(1);
        state.last_wire = state.last_wire.max(now);
        if let Some(provider) = provider {
            state.open[provider] = state.open[provider].saturating_sub(1);
        }
    }

    /// Whether the process waits for an answer, be it one that never comes.
    pub fn is_waited_for(&self) -> bool {
        self.state().waited_for > 0
    }

    /// When the next thing happens, if anything is planned.
    pub fn next_at(&self) -> Option<u64> {
        let planned = self.state().queue.first_key_value().map(|((at, _), _)| *at);
        let receipt = self.core.next_due().map(Time::of_true_wall);
        planned.into_iter().chain(receipt).min()
    }

    /// Lets everything happen that is due, but for what needs the node.
    pub fn happen(&self) -> Vec<Action> {
        let now = self.time.now();
        let mut actions = Vec::new();
        loop {
            let event = {
                let mut state = self.state();
                match state.queue.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    Some(_) | None => break,
                }
            };
            match event {
                Event::Arrive(id) => self.arrive(id),
                Event::Answer(id, answer) => self.answer(id, answer),
                Event::Errand(errand) => actions.push(Action::Errand(errand)),
                Event::Told(to) => {
                    let told = self.state().held_back.release(&to);
                    actions.extend(told.into_iter().map(Action::Receipt));
                }
            }
        }
        let wall = self.time.true_wall();
        for (authority, _) in self.core.receipt_authorities() {
            let due = self.core.due(wall, &authority, RECEIPTS_AT_ONCE);
            let due = due.into_iter().filter_map(|receipt| self.pass(receipt));
            actions.extend(due.map(Action::Receipt));
        }
        actions
    }

    /// Gives a receipt back, unless it is held back.
    fn pass(&self, receipt: DueReceipt) -> Option<DueReceipt> {
        let mut state = self.state();
        match state.held_back.pass(receipt) {
            Ok(receipt) => Some(receipt),
            Err(to) => {
                state.plan(self.time.now() + HELD_BACK_AT_MOST, Event::Told(to));
                None
            }
        }
    }

    fn arrive(&self, id: u64) {
        let (wall, now) = (self.time.true_wall(), self.time.now());
        let mut state = self.state();
        let state = &mut *state;
        let Some(request) = state.requests.get_mut(&id) else {
            return;
        };
        request.arrived = true;
        let provider = &self.providers[request.provider];
        if let Some(call) = request.call
            && let Some(answer) = state.weaknesses.throttles(request.provider, provider, now)
        {
            self.ledger.entries().calls[call].is_throttled = true;
            let at = now + provider.latency_ms * 1_000;
            return state.plan(at, Event::Answer(id, Some(answer)));
        }
        let http = HttpRequest {
            method: request.method,
            path: &request.path,
            query: &request.query,
            authorization: Some(&request.authorization),
            body: &request.body,
        };
        let reply = dialect::respond(&self.core, wall, &http);
        let is_list = request.method == Method::Get && provider.lags();
        let query = is_list.then(|| request.query.clone());
        if let Some(to) = query.and_then(|query| state.held_back.searched(&query)) {
            let soon = state.chance.between(0, TOLD_WITHIN);
            state.plan(now + soon, Event::Told(to));
        }
        let line = provider.line;
        let delay = state.chance.between(0, line.delay_ms * 1_000);
        let at = Time::of_true_wall(reply.at).max(now) + delay + lateness(provider, now);
        state.plan(at, Event::Answer(id, reply.answer));
    }

    fn answer(&self, id: u64, answer: Option<HttpAnswer>) {
        let now = self.time.now();
        let mut state = self.state();
        state.last_wire = state.last_wire.max(now);
        let Some(mut request) = state.requests.remove(&id) else {
            return;
        };
        let pause = answer.as_ref().and_then(|answer| answer.retry_after);
        let reply = match (request.fate, answer) {
            (Fate::Passes, Some(answer)) => Reply::Answer(answer, false),
            (Fate::HalfBody, Some(answer)) => Reply::Answer(answer, true),
            (Fate::AnswerLost, _) | (_, None) => Reply::Cut,
        };
        let is_cut = matches!(reply, Reply::Cut);
        let heard = request
            .reply
            .take()
            .is_some_and(|waiting| waiting.send(reply).is_ok());
        if let (Some(call), Some(pause), true, false) = (request.call, pause, heard, is_cut) {
            let until = now + pause * 1_000_000;
            state.last_wire = state.last_wire.max(until);
            self.ledger.entries().calls[call].pause = Some((now, until));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn plan(&mut self, at: u64, event: Event) {
        self.queue.insert((at, self.planned), event);
        self.planned += 1;
    }
}

/// The second sender of the provider account with this number.
pub fn second_sender(number: usize) -> String {
    format!("+1500556{number:04}")
}

/// The sandbox's account of a provider.
fn sandbox_of((number, plan): (usize, &ProviderPlan)) -> sandbox::AccountConfig {
    let mut account = sandbox_account(number, plan.rate);
    account.senders.push(second_sender(number));
    account.latency_ms = plan.latency_ms;
    account.faults = Some(plan.faults.clone());
    account.sent_after_ms = (5, 300);
    account.final_after_ms = (50, 3_000);
    account
}
