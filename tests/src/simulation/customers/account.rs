//! The operator lets a customer's account go faster or slower, once.

use api::in_process::{DoorAnswer, DoorRequest};
use schemas::AccountId;
use serde_json::json;

use super::operator::Ordered;
use super::{Heard, Next, again_after};

/// A change of an account's limit.
pub struct AccountErrand {
    /// Segments per second from then on; `None` is no limit.
    pub rate: Option<f64>,
    /// When it was ordered.
    pub ordered: Option<Ordered>,
}

impl AccountErrand {
    /// Nothing is ordered yet.
    pub fn new(rate: Option<f64>) -> Self {
        Self {
            rate,
            ordered: None,
        }
    }

    pub(super) fn ask(&mut self, account: AccountId, now: u64) -> DoorRequest {
        self.ordered.get_or_insert(Ordered {
            asked_at: now,
            heard_at: None,
        });
        DoorRequest {
            method: "PATCH",
            path_and_query: format!("/v1/accounts/{account}"),
            headers: vec![
                ("authorization".to_owned(), "Bearer volley_root".to_owned()),
                ("content-type".to_owned(), "application/json".to_owned()),
            ],
            body: json!({ "rate": self.rate }).to_string().into_bytes(),
        }
    }

    pub(super) fn heard(&mut self, answer: Option<&DoorAnswer>, now: u64) -> Heard {
        let again = again_after(answer);
        let Some(answer) = answer.filter(|answer| answer.status < 500) else {
            return Ok(again);
        };
        if answer.status != 200 {
            let status = answer.status;
            return Err(format!("a change of an account is answered with {status}"));
        }
        if let Some(ordered) = &mut self.ordered {
            ordered.heard_at = Some(now);
        }
        Ok(Next::Done)
    }
}
