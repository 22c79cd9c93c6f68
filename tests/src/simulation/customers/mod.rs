//! The customers: what they ask for, how often they ask again, and what they were told.
//! What was accepted is what the node owes; it is kept here, outside of the node.

pub mod account;
mod audience;
pub mod campaign;
pub mod commands;
pub mod operator;
pub mod person;
pub mod single;

use std::sync::{Mutex, MutexGuard, PoisonError};

use api::in_process::{DoorAnswer, DoorRequest};
use schemas::{AccountId, UnixMicros};

use super::chance::{Chance, Stream};
use super::plan::Plan;
use super::time::Time;
use account::AccountErrand;
use audience::number_of;
use campaign::CampaignErrand;
use operator::OperatorErrand;
use person::PersonErrand;
use single::FIRST_NUMBER;
use single::SingleErrand;

/// All customers.
pub struct Customers(Mutex<State>);

/// What customers have in mind and have heard.
pub struct State {
    /// What they want done.
    pub errands: Vec<Errand>,
    /// Their accounts and keys, once they have signed up.
    pub accounts: Vec<(AccountId, String)>,
    chance: Chance,
}

/// One thing that a customer wants done.
pub struct Errand {
    /// Whose.
    pub account: usize,
    /// What.
    pub kind: Kind,
    /// When it begins, in microseconds.
    pub begins_at: u64,
    /// Whether a request is under way.
    pub is_busy: bool,
    /// Whether there is nothing left to ask.
    pub is_done: bool,
}

/// What is wanted.
pub enum Kind {
    /// One text to one person.
    Single(SingleErrand),
    /// A text to many.
    Campaign(Box<CampaignErrand>),
    /// No more texts.
    Person(PersonErrand),
    /// A provider account is to be treated otherwise.
    Operator(OperatorErrand),
    /// An account is to go at another rate.
    Account(AccountErrand),
}

/// What a customer does after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Asks again, or on, after so many milliseconds.
    After(u64),
    /// Asks on at the next half second, as others do.
    Together,
    /// Nothing more.
    Done,
}

/// What a customer makes of an answer, or what is wrong with it.
pub type Heard = Result<Next, String>;

/// A request, and whether it goes out twice.
pub struct Asked {
    /// The request.
    pub request: Ask,
    /// Whether a twin goes out beside it.
    pub has_twin: bool,
}

/// A request before it has its key of an account.
#[derive(Clone)]
pub struct Ask {
    /// The method in capitals.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Ask {
    /// A GET.
    pub fn get(path: String) -> Self {
        Self {
            method: "GET",
            path,
            key: None,
            body: Vec::new(),
        }
    }

    /// A POST of JSON.
    pub fn post(path: String, key: Option<String>, body: &serde_json::Value) -> Self {
        Self {
            method: "POST",
            path,
            key,
            body: body.to_string().into_bytes(),
        }
    }

    /// A PATCH of JSON.
    pub fn patch(path: String, body: &serde_json::Value) -> Self {
        Self {
            method: "PATCH",
            path,
            key: None,
            body: body.to_string().into_bytes(),
        }
    }

    fn with_secret(self, secret: &str) -> DoorRequest {
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {secret}")),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        headers.extend(self.key.map(|key| ("idempotency-key".to_owned(), key)));
        DoorRequest {
            method: self.method,
            path_and_query: self.path,
            headers,
            body: self.body,
        }
    }
}

/// Whether the node could not do it now, and says so: the same is asked again.
pub fn is_for_later(answer: &DoorAnswer) -> bool {
    matches!(answer.status, 409 | 429 | 500 | 503 | 507)
}

/// When a customer asks again after such an answer, or none: mostly before a process that
/// is about to end has ended.
pub fn again_after(answer: Option<&DoorAnswer>) -> Next {
    Next::After(match answer {
        Some(answer) if answer.status != 507 => 3,
        Some(_) | None => 50,
    })
}

/// A customer's JSON.
///
/// # Errors
/// When the answer is none.
pub fn json<T: serde::de::DeserializeOwned>(answer: &DoorAnswer) -> Result<T, String> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("an answer of {} cannot be read: {error}", answer.status))
}

impl Customers {
    /// The customers of a plan.
    pub fn new(seed: u64, plan: &Plan) -> Self {
        let mut chance = Chance::new(seed, Stream::Customers);
        let mut errands = Vec::new();
        for (number, campaign) in plan.campaigns.iter().enumerate() {
            let wish = CampaignErrand::new(number, *campaign, &mut chance);
            errands.push(Errand {
                account: campaign.account,
                kind: Kind::Campaign(Box::new(wish)),
                begins_at: campaign.at_ms * 1_000,
                is_busy: false,
                is_done: false,
            });
        }
        let mut before: Option<(String, String)> = None;
        for (number, single) in plan.singles.iter().enumerate() {
            let mut wish = SingleErrand::new(number, *single, &mut chance);
            if let Some((to, body)) = before.filter(|_| single.is_echo) {
                (wish.to, wish.body) = (to, body);
            }
            before = Some((wish.to.clone(), wish.body.clone()));
            errands.push(Errand {
                account: single.account,
                kind: Kind::Single(wish),
                begins_at: single.at_ms * 1_000,
                is_busy: false,
                is_done: false,
            });
        }
        for stop in &plan.stops {
            let first = if stop.is_of_singles { FIRST_NUMBER } else { 0 };
            let number = number_of(first + stop.person);
            errands.push(Errand {
                account: 0,
                kind: Kind::Person(PersonErrand::new(number, *stop)),
                begins_at: stop.at_ms * 1_000,
                is_busy: false,
                is_done: false,
            });
        }
        for order in &plan.orders {
            errands.push(Errand {
                account: 0,
                kind: Kind::Operator(OperatorErrand::new(*order)),
                begins_at: order.at_ms * 1_000,
                is_busy: false,
                is_done: false,
            });
        }
        for (account, plan) in plan.accounts.iter().enumerate() {
            if let Some((at_ms, rate)) = plan.change {
                errands.push(Errand {
                    account,
                    kind: Kind::Account(AccountErrand::new(rate)),
                    begins_at: at_ms * 1_000,
                    is_busy: false,
                    is_done: false,
                });
            }
        }
        Self(Mutex::new(State {
            errands,
            accounts: Vec::new(),
            chance,
        }))
    }

    /// What they have in mind and have heard.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a customer asks now; twice the same where there is a twin.
    pub fn ask(&self, errand: usize, wall: UnixMicros) -> Vec<DoorRequest> {
        let mut state = self.state();
        let State {
            errands, accounts, ..
        } = &mut *state;
        let errand = &mut errands[errand];
        if errand.is_busy || errand.is_done {
            return Vec::new();
        }
        let Some((account, secret)) = accounts.get(errand.account) else {
            return Vec::new();
        };
        let now = Time::of_true_wall(wall.0.unsigned_abs());
        errand.is_busy = true;
        let asked = match &mut errand.kind {
            Kind::Person(person) => return vec![person.ask(now)],
            Kind::Operator(operator) => return vec![operator.ask(now)],
            Kind::Account(errand) => return vec![errand.ask(*account, now)],
            Kind::Single(single) => single.ask(wall),
            Kind::Campaign(campaign) => campaign.ask(now, wall),
        };
        let twin = asked.has_twin.then(|| asked.request.clone());
        let requests = [Some(asked.request), twin].into_iter().flatten();
        requests.map(|ask| ask.with_secret(secret)).collect()
    }

    /// What a customer heard, or nothing when the connection broke. Tells when it acts
    /// again, in milliseconds. `now` is in microseconds.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub fn heard(
        &self,
        errand: usize,
        answer: Option<&DoorAnswer>,
        now: u64,
    ) -> Result<Option<u64>, String> {
        let mut state = self.state();
        let is_eager = state.chance.hits(0.3);
        let patience = if is_eager {
            // Time passes between an answer and the next request.
            state.chance.between(1, 3)
        } else {
            state.chance.between(20, 400)
        };
        let errand = &mut state.errands[errand];
        errand.is_busy = false;
        let heard = match &mut errand.kind {
            Kind::Single(single) => single.heard(answer),
            Kind::Campaign(campaign) => campaign.heard(answer, now),
            Kind::Person(person) => person.heard(answer, now),
            Kind::Operator(operator) => operator.heard(answer, now),
            Kind::Account(errand) => errand.heard(answer, now),
        };
        Ok(match heard? {
            Next::After(wait) => Some(wait + patience),
            Next::Together => Some(500 - now / 1_000 % 500 + patience % 3),
            Next::Done => {
                errand.is_done = true;
                None
            }
        })
    }

    /// Whether a customer heard at this instant that its campaign was started.
    pub fn has_started(&self, errand: usize, now: u64) -> bool {
        match &self.state().errands[errand].kind {
            Kind::Single(_) | Kind::Person(_) | Kind::Operator(_) | Kind::Account(_) => false,
            Kind::Campaign(campaign) => campaign.started_at == Some(now),
        }
    }

    /// What the sender of a twin heard.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub fn twin_heard(&self, errand: usize, answer: &DoorAnswer) -> Result<(), String> {
        match &mut self.state().errands[errand].kind {
            Kind::Single(single) => single.note_answer(answer),
            Kind::Campaign(_) | Kind::Person(_) | Kind::Operator(_) | Kind::Account(_) => Ok(()),
        }
    }

    /// Microseconds until somebody who waits for the doors to open finds them open.
    pub fn soon(&self) -> u64 {
        let mut state = self.state();
        let longest = state.chance.pick(&[3_000, 60_000]);
        state.chance.between(0, longest)
    }

    /// The process has ended: whoever waited asks again after some time, in milliseconds.
    pub fn connections_broke(&self) -> Vec<(usize, u64)> {
        let mut state = self.state();
        let State {
            errands, chance, ..
        } = &mut *state;
        let mut again = Vec::new();
        for (place, errand) in errands.iter_mut().enumerate() {
            if std::mem::take(&mut errand.is_busy) {
                let heard = match &mut errand.kind {
                    Kind::Single(single) => single.heard(None),
                    Kind::Campaign(campaign) => campaign.heard(None, 0),
                    Kind::Person(person) => person.heard(None, 0),
                    Kind::Operator(operator) => operator.heard(None, 0),
                    Kind::Account(errand) => errand.heard(None, 0),
                };
                errand.is_done = heard == Ok(Next::Done);
                if !errand.is_done {
                    again.push((place, chance.between(20, 600)));
                }
            }
        }
        again
    }

    /// Whether everybody has what they wanted.
    pub fn are_done(&self) -> bool {
        self.state().errands.iter().all(|errand| errand.is_done)
    }
}
