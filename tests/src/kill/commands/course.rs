//! The run: campaigns, commands and kills, as the cards fall.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemas::http::providers::ProviderBody;
use schemas::{CampaignId, ListId};

use super::desk::Commanded;
use super::history::{HOLDS_AFTER, History};
use super::verdict::Over;
use super::watcher::Watcher;
use super::{Card, Crash, List};
use crate::fixture;
use crate::kill::figures::{Figures, Kind};
use crate::kill::running::Running;
use crate::world::{Plan, say};

/// The cards are played while so much of the long campaign is sent.
const PLAYED: (f64, f64) = (0.03, 0.80);

/// The longest wait for so much, in microseconds: it may be slow.
const LONGEST_WAIT: u64 = 15_000_000;

/// While it is paused, the next card is played after so long, in microseconds.
const WHILE_PAUSED: (u64, u64) = (200_000, 1_000_000);

/// What is taken back has lasted so long, beyond what it takes to hold.
const LASTS: (u64, u64) = (500_000, 1_500_000);

/// A short campaign is canceled when so much of it is sent.
const CANCELED_AT: (f64, f64) = (0.05, 0.50);

/// How long a node is watched that has nothing to do, in microseconds.
const AFTERWARDS: u64 = 2_000_000;

/// A run.
pub struct Course<'a> {
    pub(super) running: Running,
    pub(super) random: ChaCha8Rng,
    pub(super) figures: &'a mut Figures,
    pub(super) watcher: Arc<Watcher>,
    pub(super) history: History,
    lists: Vec<List>,
    pub(super) imported: Vec<ListId>,
    /// Those that were started: the long one, then short ones.
    pub(super) campaigns: Vec<CampaignId>,
    /// Since when the long one is paused, by the boot clock.
    pub(super) paused: Option<u64>,
    /// As they were ordered to be, and when, by the boot clock.
    pub(super) providers: Vec<(ProviderBody, u64)>,
    pub(super) commands: Vec<Commanded>,
    begun: u64,
}

impl<'a> Course<'a> {
    /// Imports all lists and starts the long campaign.
    pub fn start(
        plan: Plan,
        lists: Vec<List>,
        random: ChaCha8Rng,
        figures: &'a mut Figures,
    ) -> Self {
        let history = History::new(plan.providers, plan.rate as u64);
        let running = Running::begin(plan);
        let runtime = running.world.runtime.clone();
        let watcher = Watcher::start(&runtime, Arc::clone(&running.user));
        let mut course = Self {
            running,
            random,
            figures,
            watcher,
            history,
            lists,
            imported: Vec::new(),
            campaigns: Vec::new(),
            paused: None,
            providers: Vec::new(),
            commands: Vec::new(),
            begun: runtime.boot(),
        };
        let providers = course.look_at_providers().into_iter();
        course.providers = providers.map(|account| (account, 0)).collect();
        for list in course.lists.clone() {
            let user = Arc::clone(&course.running.user);
            let (csv, _) = fixture::contacts_of(list);
            let imported = course.ask(Crash::None, async move { user.import(csv).await });
            course.imported.push(imported.0);
        }
        course.launch();
        course
    }

    /// Plays all cards, and takes back what they have left.
    pub fn play(&mut self, cards: &[(Card, Crash)]) {
        for (number, (card, crash)) in cards.iter().enumerate() {
            let part = (number as f64 + self.random.random::<f64>()) / cards.len() as f64;
            self.wait_for(PLAYED.0 + (PLAYED.1 - PLAYED.0) * part);
            if self.watcher.is_over(self.campaigns[0]) {
                let late = cards.len() - number;
                self.figures.wrong(&format!("{late} cards came too late"));
                break;
            }
            self.play_one(*card, *crash);
        }
        if self.paused.is_some() {
            self.play_one(Card::Hold, Crash::None);
        }
        for place in 0..self.providers.len() {
            if self.is_changed(place) {
                self.order(place, Crash::None);
            }
        }
    }

    /// Waits until so much of the long campaign is sent, or for long enough.
    fn wait_for(&mut self, part: f64) {
        let until = match self.paused {
            Some(_) => self.random.random_range(WHILE_PAUSED.0..WHILE_PAUSED.1),
            None => LONGEST_WAIT,
        };
        let until = self.boot() + until;
        let at = (part * self.lists[0].len() as f64) as u64;
        let (watcher, first) = (Arc::clone(&self.watcher), self.campaigns[0]);
        self.running.wait("the next card's moment", |running| {
            running.world.runtime.boot() >= until || watcher.reached(first) >= at
        });
    }

    fn play_one(&mut self, card: Card, crash: Crash) {
        match card {
            Card::Hold => self.hold(crash),
            Card::Order => {
                let place = self.random.random_range(0..self.providers.len());
                self.order(place, crash);
            }
            Card::Cancel => self.cancel(crash),
            Card::Kill => {
                self.tell("kill");
                self.crash(Kind::KillSending);
            }
        }
        if crash != Crash::None || card == Card::Kill {
            self.ask_again();
        }
    }

    fn hold(&mut self, crash: Crash) {
        if let Some(since) = self.paused {
            self.let_it_last(since);
            let times = self.command(0, "resume", crash);
            self.history.goes_on(0, times);
            self.paused = None;
            self.figures.count(Kind::Resume);
        } else {
            let times = self.command(0, "pause", crash);
            self.history.rests(0, times);
            self.paused = Some(self.boot());
            self.figures.count(Kind::Pause);
        }
    }

    /// Starts a short campaign, and cancels it when some of it was sent.
    fn cancel(&mut self, crash: Crash) {
        let number = self.launch();
        let share = self.random.random_range(CANCELED_AT.0..CANCELED_AT.1);
        let at = (share * self.lists[number].len() as f64) as u64;
        let (watcher, campaign) = (Arc::clone(&self.watcher), self.campaigns[number]);
        let until = self.boot() + LONGEST_WAIT;
        self.running.wait("texts of a short campaign", |running| {
            let reached = watcher.reached(campaign);
            reached > at || (reached > 0 && running.world.runtime.boot() >= until)
        });
        let times = self.command(number, "cancel", crash);
        self.history.rests(number, times);
        self.figures.count(Kind::Cancel);
    }

    /// Lets everything go to its end, and judges it.
    pub fn finish(mut self) {
        for campaign in self.campaigns.clone() {
            let watcher = Arc::clone(&self.watcher);
            while !watcher.is_over(campaign) {
                let before = watcher.reached(campaign);
                self.running.wait("the end of a campaign", |_| {
                    watcher.is_over(campaign) || watcher.reached(campaign) > before
                });
            }
        }
        // Nothing is left to do, and so the next node is to do nothing.
        self.running.stop(self.figures);
        self.running.restart();
        self.wait_until(self.boot() + AFTERWARDS);
        let mut campaigns = Vec::new();
        for id in self.campaigns.clone() {
            let user = Arc::clone(&self.running.user);
            let look = async move { user.campaign(id).await };
            campaigns.push(self.ask(Crash::None, look).0);
        }
        self.watcher.stop();
        self.running.stop(self.figures);
        self.watcher.tell(self.figures);
        let providers: Vec<_> = self.providers.iter().map(|(body, _)| body.id).collect();
        let over = Over {
            lists: &self.lists,
            campaigns: &campaigns,
            providers: &providers,
            history: self.history,
            disturbances: self.running.disturbances(),
        };
        let (runtime, begun) = (self.running.world.runtime.clone(), self.begun);
        over.judge(&self.running.close(), self.figures);
        let took = (runtime.boot() - begun) as f64 / 1e6;
        self.figures.seconds.insert("commands", took);
    }

    /// Waits until what holds since then has held for long enough to be seen.
    pub(super) fn let_it_last(&mut self, since: u64) {
        let lasts = self.random.random_range(LASTS.0..LASTS.1);
        self.wait_until(since + HOLDS_AFTER + lasts);
    }

    fn wait_until(&mut self, until: u64) {
        let is_then = |running: &Running| running.world.runtime.boot() >= until;
        self.running.wait("time", is_then);
    }

    /// Tells when what is done.
    pub(super) fn tell(&self, what: &str) {
        let second = (self.boot() - self.begun) as f64 / 1e6;
        say(&format!("  {second:6.1} s: {what}"));
    }

    pub(super) fn boot(&self) -> u64 {
        self.running.world.runtime.boot()
    }
}
