//! The operator: slows a provider account down, or lets nothing more go through it, and takes
//! that back.

use api::in_process::{DoorAnswer, DoorRequest};
use serde_json::{Value, json};

use super::commands::id_of;
use super::{Heard, Next, again_after};
use crate::simulation::plan::OrderPlan;

/// Orders to one provider account.
pub struct OperatorErrand {
    /// What was planned.
    pub plan: OrderPlan,
    /// What was ordered, in order: first the change, then that it is taken back.
    pub ordered: Vec<Ordered>,
}

/// One order.
#[derive(Clone, Copy)]
pub struct Ordered {
    /// When it first went off, in microseconds.
    pub asked_at: u64,
    /// When it was acknowledged.
    pub heard_at: Option<u64>,
}

impl OperatorErrand {
    /// Nothing is ordered yet.
    pub fn new(plan: OrderPlan) -> Self {
        Self {
            plan,
            ordered: Vec::new(),
        }
    }

    fn body(&self) -> Value {
        match (self.ordered.len(), self.plan.rate) {
            (1, Some(rate)) => json!({ "rate": rate }),
            (1, None) => json!({ "enabled": false }),
            (_, Some(_)) => json!({ "rate": self.plan.whole_rate }),
            (_, None) => json!({ "enabled": true }),
        }
    }

    pub(super) fn ask(&mut self, now: u64) -> DoorRequest {
        let is_new = self
            .ordered
            .last()
            .is_none_or(|last| last.heard_at.is_some());
        if is_new {
            self.ordered.push(Ordered {
                asked_at: now,
                heard_at: None,
            });
        }
        let provider = id_of(self.plan.provider);
        DoorRequest {
            method: "PATCH",
            path_and_query: format!("/v1/providers/{provider}"),
            headers: vec![
                ("authorization".to_owned(), "Bearer volley_root".to_owned()),
                ("content-type".to_owned(), "application/json".to_owned()),
            ],
            body: self.body().to_string().into_bytes(),
        }
    }

    pub(super) fn heard(&mut self, answer: Option<&DoorAnswer>, now: u64) -> Heard {
        let again = again_after(answer);
        let Some(answer) = answer.filter(|answer| answer.status < 500) else {
            return Ok(again);
        };
        if answer.status != 200 {
            return Err(format!("an order is answered with {}", answer.status));
        }
        if let Some(last) = self.ordered.last_mut() {
            last.heard_at = Some(now);
        }
        Ok(if self.ordered.len() == 1 {
            Next::After(self.plan.lasts_ms)
        } else {
            Next::Done
        })
    }
}
