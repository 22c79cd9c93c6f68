//! Somebody who gets texts and says STOP, and perhaps START later. The provider brings what
//! was said until it was heard, and sometimes the first of it once more in the end.

use api::in_process::{DoorAnswer, DoorRequest};
use sandbox::dialect::{Dialect, PersonText};
use schemas::ProviderId;

use super::{Heard, Next, again_after};
use crate::fixture::sandbox_account;
use crate::simulation::doors::brought;
use crate::simulation::plan::StopPlan;
use crate::simulation::world::PUBLIC_URL;

/// A person who does not want more texts.
pub struct PersonErrand {
    /// What was planned.
    pub plan: StopPlan,
    /// The number.
    pub number: String,
    /// What was said, in order.
    pub said: Vec<Said>,
    /// Whether the provider brings the STOP once more.
    is_repeating: bool,
}

/// One text of a person.
#[derive(Clone, Copy)]
pub struct Said {
    /// When it first went off, in microseconds.
    pub asked_at: u64,
    /// When the node had it.
    pub heard_at: Option<u64>,
}

impl PersonErrand {
    /// Nothing is said yet.
    pub fn new(number: String, plan: StopPlan) -> Self {
        Self {
            plan,
            number,
            said: Vec::new(),
            is_repeating: false,
        }
    }

    pub(super) fn ask(&mut self, now: u64) -> DoorRequest {
        let is_heard = self.said.last().is_none_or(|last| last.heard_at.is_some());
        if is_heard && !self.is_repeating {
            self.said.push(Said {
                asked_at: now,
                heard_at: None,
            });
        }
        let place = self.plan.provider + 1;
        let account = sandbox_account(place, 1.0);
        let provider = ProviderId::of_name(&format!("sandbox-{place}"));
        let is_stop = self.said.len() == 1 || self.is_repeating;
        let request = Dialect::Twilio.inbound(
            &account,
            &PersonText {
                url: &format!("{PUBLIC_URL}/v1/webhooks/{provider}/inbound"),
                id: &format!("SM{:0>31}{}", &self.number[1..], u8::from(is_stop)),
                from: &self.number,
                to: &account.senders[0],
                body: if is_stop { " Stop." } else { "START" },
            },
        );
        brought(request.expect("a form"))
    }

    pub(super) fn heard(&mut self, answer: Option<&DoorAnswer>, now: u64) -> Heard {
        let again = again_after(answer);
        let Some(answer) = answer.filter(|answer| answer.status < 500) else {
            return Ok(again);
        };
        if answer.status != 200 {
            return Err(format!("a STOP is answered with {}", answer.status));
        }
        if self.is_repeating {
            return Ok(Next::Done);
        }
        if let Some(last) = self.said.last_mut() {
            last.heard_at = Some(now);
        }
        Ok(match self.plan.takes_back_after_ms {
            Some(wait) if self.said.len() == 1 => Next::After(wait),
            Some(_) => {
                self.is_repeating = true;
                Next::After(1)
            }
            None => Next::Done,
        })
    }
}
