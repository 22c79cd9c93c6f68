//! How commands are asked for: with kills around them, and again after these.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;
use schemas::campaign::CampaignState;
use schemas::http::providers::{ProviderBody, ProviderPatch};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::Crash;
use super::course::Course;
use super::history::Times;
use crate::kill::figures::Kind;
use crate::world::TEMPLATE;

/// The latest moment of a kill after a command was asked for, in microseconds: an answer
/// takes a few milliseconds.
const ON_THE_WAY: u64 = 3_000;

/// A rate is cut to so much of it, in per cent.
const CUT_TO: (u64, u64) = (10, 50);

/// A command to the campaign with this number that was answered, and its key.
#[derive(Clone, Debug)]
pub struct Commanded {
    campaign: usize,
    word: &'static str,
    key: String,
}

impl Course<'_> {
    /// Starts the next campaign and tells its number.
    pub(super) fn launch(&mut self) -> usize {
        let (number, user) = (self.campaigns.len(), Arc::clone(&self.running.user));
        let list = self.imported[number];
        let launch = async move {
            let campaign = user.draft(list, TEMPLATE).await;
            user.begin(campaign).await;
            campaign
        };
        let campaign = self.ask(Crash::None, launch).0;
        self.campaigns.push(campaign);
        self.watcher.add(campaign);
        number
    }

    /// Commands a campaign.
    pub(super) fn command(&mut self, campaign: usize, word: &'static str, crash: Crash) -> Times {
        self.tell(&format!("{word} {campaign}, crash: {crash:?}"));
        let (user, id) = (Arc::clone(&self.running.user), self.campaigns[campaign]);
        let key = user.new_key();
        self.commands.push(Commanded {
            campaign,
            word,
            key: key.clone(),
        });
        let asking = async move { user.command(id, word, &key).await };
        self.ask(crash, asking).1
    }

    /// Whether a provider account is not as the settings have it.
    pub(super) fn is_changed(&self, place: usize) -> bool {
        let (account, _) = &self.providers[place];
        !account.enabled || account.rate < account.rate_limit
    }

    /// Slows a provider account down or disables it, or takes that back.
    pub(super) fn order(&mut self, place: usize, crash: Crash) {
        if self.is_changed(place) {
            self.let_it_last(self.providers[place].1);
        }
        let patch = self.draw_order(place);
        self.tell(&format!("account {place}: {patch:?}, crash: {crash:?}"));
        let (id, user) = (self.providers[place].0.id, Arc::clone(&self.running.user));
        let asking = async move { user.order(id, &patch).await };
        let (body, times) = self.ask(crash, asking);
        let rate = if body.enabled { body.rate as u64 } else { 0 };
        self.history.rates[place].change(times, rate);
        self.providers[place] = (body, self.boot());
        self.figures.count(Kind::Order);
    }

    fn draw_order(&mut self, place: usize) -> ProviderPatch {
        let account = &self.providers[place].0;
        let mut others = (0..self.providers.len()).filter(|other| *other != place);
        // Somebody must carry the rest.
        let may_disable = others.any(|other| self.providers[other].0.enabled);
        let cut = self.random.random_range(CUT_TO.0..=CUT_TO.1) as f64 / 100.0;
        let (rate, enabled) = if self.is_changed(place) {
            (Some(account.rate_limit), Some(true))
        } else if may_disable && self.random.random() {
            (None, Some(false))
        } else {
            (Some((account.rate_limit * cut).ceil()), None)
        };
        ProviderPatch { rate, enabled }
    }

    /// The provider accounts as the node has them.
    pub(super) fn look_at_providers(&mut self) -> Vec<ProviderBody> {
        let user = Arc::clone(&self.running.user);
        let look = async move { user.providers().await };
        self.ask(Crash::None, look).0
    }

    /// Asks for something and waits for the answer, with a kill where one is wanted.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        crash: Crash,
        asking: impl Future<Output = T> + Send + 'static,
    ) -> (T, Times) {
        let clock = self.running.world.runtime.clone();
        let (done, mut answer) = oneshot::channel();
        self.running.world.runtime.spawn(async move {
            let asked = clock.now().0.unsigned_abs();
            let answer = asking.await;
            let answered = clock.now().0.unsigned_abs();
            // Nobody waits only when the run has failed already.
            let _ = done.send((answer, Times { asked, answered }));
        });
        let mut answered = None;
        if crash == Crash::OnTheWay {
            let drawn = self.random.random_range(0..ON_THE_WAY);
            sleep(Duration::from_micros(drawn));
            answered = answer.try_recv().ok();
            // The answer may be there all the same.
            self.crash(match answered {
                None => Kind::KillCommanding,
                Some(_) => Kind::KillAnswered,
            });
        }
        self.running.wait("an answer", |_| {
            if answered.is_none() {
                answered = match answer.try_recv() {
                    Ok(answer) => Some(answer),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Closed) => panic!("who asked has failed"),
                };
            }
            answered.is_some()
        });
        if crash == Crash::AfterAnswer {
            self.crash(Kind::KillAnswered);
        }
        answered.expect("it was waited for")
    }

    /// Kills the node and starts the next one.
    pub(super) fn crash(&mut self, kind: Kind) {
        self.running.kill(kind, self.figures);
        self.running.restart();
    }

    /// What was answered is asked for once more, under its key: the last command, and any
    /// other. Nothing may come of that, and orders are as they were given.
    pub(super) fn ask_again(&mut self) {
        let mut again: Vec<Commanded> = self.commands.last().cloned().into_iter().collect();
        if !again.is_empty() {
            let drawn = self.random.random_range(0..self.commands.len());
            again.insert(0, self.commands[drawn].clone());
        }
        for Commanded {
            campaign,
            word,
            key,
        } in again
        {
            let (user, id) = (Arc::clone(&self.running.user), self.campaigns[campaign]);
            let told = format!("{word} of {id} once more under {key}");
            let asking = async move { user.command(id, word, &key).await };
            let body = self.ask(Crash::None, asking).0;
            let is_right = match body.state {
                _ if campaign > 0 => body.state == CampaignState::Canceled,
                CampaignState::Paused => self.paused.is_some(),
                CampaignState::Running | CampaignState::Finished => self.paused.is_none(),
                CampaignState::Draft | CampaignState::Scheduled | CampaignState::Canceled => false,
            };
            if !is_right || body.id != id {
                self.figures.wrong(&format!("{told}: {body:?}"));
            }
        }
        let state = |account: &ProviderBody| (account.rate, account.enabled);
        let now: Vec<_> = self.look_at_providers().iter().map(state).collect();
        let ordered = self.providers.iter().map(|(account, _)| state(account));
        let ordered: Vec<_> = ordered.collect();
        if now != ordered {
            let told = format!("accounts are {now:?}, ordered was {ordered:?}");
            self.figures.wrong(&told);
        }
    }
}
