//! What a customer asks of a campaign that runs: to stand still, to go on, to end.

use std::collections::VecDeque;

use schemas::ProviderId;
use serde_json::{Value, json};

use super::Ask;
use crate::simulation::plan::{ChangePlan, CommandsPlan};

/// A command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Command {
    /// It goes at another rate, or elsewhere.
    Change(ChangePlan),
    /// Nothing more begins until it goes on.
    Pause,
    /// It goes on.
    Resume,
    /// Nothing more begins.
    Cancel,
}

impl Command {
    /// The request, the `place`th of them to campaign `number`.
    pub fn request(self, path: &str, number: usize, place: usize) -> Ask {
        if let Self::Change(change) = self {
            return Ask::patch(path.to_owned(), &body_of(change));
        }
        let word = self.word();
        let key = Some(format!("{word}-{number}-{place}"));
        Ask::post(format!("{path}/{word}"), key, &json!({}))
    }

    /// The last part of its path.
    const fn word(self) -> &'static str {
        match self {
            Self::Change(_) => "",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// A command that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Commanded {
    /// Which.
    pub command: Command,
    /// When it was asked for first, in microseconds.
    pub asked_at: u64,
    /// When it was acknowledged; `None` when it was not, or came too late.
    pub heard_at: Option<u64>,
}

/// All commands to one campaign.
#[derive(Debug)]
pub struct Commands {
    /// Those to come, each with the milliseconds that are waited before it.
    left: VecDeque<(u64, Command)>,
    /// Those that were asked for.
    pub made: Vec<Commanded>,
    /// Whether the campaign was over when one came.
    pub are_too_late: bool,
}

impl Commands {
    /// What was planned.
    pub fn new(plan: CommandsPlan, change: Option<ChangePlan>) -> Self {
        let change = change.map(|change| (change.after_ms, Command::Change(change)));
        let mut left: VecDeque<_> = change.into_iter().collect();
        for _ in 0..plan.pauses {
            left.push_back((plan.runs_ms, Command::Pause));
            left.push_back((plan.rests_ms, Command::Resume));
        }
        if plan.is_canceled {
            if plan.pauses > 0 && plan.is_canceled_at_rest {
                left.pop_back();
            }
            left.push_back((plan.runs_ms, Command::Cancel));
        }
        Self {
            left,
            made: Vec::new(),
            are_too_late: false,
        }
    }

    /// The next one, with the milliseconds before it.
    pub fn next(&self) -> Option<(u64, Command)> {
        self.left.front().copied()
    }

    /// The next one is asked for, perhaps again. Tells which, and how many were before it.
    pub fn ask(&mut self, now: u64) -> Option<(Command, usize)> {
        let (_, command) = self.next()?;
        if self.made.last().is_none_or(|last| last.heard_at.is_some()) {
            self.made.push(Commanded {
                command,
                asked_at: now,
                heard_at: None,
            });
        }
        Some((command, self.made.len()))
    }

    /// It was acknowledged.
    pub fn granted(&mut self, now: u64) {
        self.left.pop_front();
        if let Some(last) = self.made.last_mut() {
            last.heard_at = Some(now);
        }
    }

    /// The campaign is over, and takes none any more.
    pub fn came_too_late(&mut self) {
        self.left.clear();
        self.are_too_late = true;
    }

    /// Whether the campaign was, or may have been, canceled.
    pub fn is_canceled(&self) -> bool {
        let canceled = |made: &Commanded| made.command == Command::Cancel;
        !self.are_too_late && self.made.iter().any(canceled)
    }
}

fn body_of(change: ChangePlan) -> Value {
    let provider = change.provider.map(id_of);
    let providers: Vec<ProviderId> = provider.into_iter().collect();
    json!({ "rate": change.rate, "providers": providers })
}

/// The id of the provider account at this place.
pub fn id_of(place: usize) -> ProviderId {
    ProviderId::of_name(&format!("sandbox-{}", place + 1))
}
