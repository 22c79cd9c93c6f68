//! One text to one person: asked for until there is an answer, where there is a key.

use api::in_process::DoorAnswer;
use schemas::http::messages::MessageBody;
use schemas::{MessageClass, MessageId, MessageStatus, ProviderId, UnixMicros};
use serde_json::json;

use super::audience::number_of;
use super::{Ask, Asked, Heard, Next, again_after, is_for_later, json};
use crate::simulation::chance::Chance;
use crate::simulation::plan::{Poison, SinglePlan};
use crate::simulation::world::second_sender;

/// Numbers of single messages begin here, behind those of all campaigns.
pub(super) const FIRST_NUMBER: u64 = 700_000;

/// Numbers of those over which attempts panic, and of those over which look-ups do too.
const FIRST_POISON: u64 = 710_000;
const FIRST_WORST: u64 = 720_000;

/// What the text of a message begins with over which attempts panic.
pub const POISON: &str = "Poison";

/// Whether a look-up is for texts to somebody over whose messages look-ups panic: the digits of
/// all their numbers begin alike.
pub fn is_worst(query: &str) -> bool {
    let number = number_of(FIRST_WORST);
    query.contains(&number[1..number.len() - 4])
}

/// Milliseconds between two looks at a message that has not left.
const LOOK_EVERY_MS: u64 = 2_600;

/// A customer's wish to have one text sent.
pub struct SingleErrand {
    /// What was planned.
    pub plan: SinglePlan,
    /// The recipient.
    pub to: String,
    /// The text, which nobody else has but for echoes.
    pub body: String,
    /// What is asked, always the same: fixed when it is asked first.
    request: Option<serde_json::Value>,
    /// What `send_at` it asks for.
    pub send_at: Option<UnixMicros>,
    key: Option<String>,
    stage: Stage,
    /// The id under which it was accepted.
    pub accepted: Option<MessageId>,
    /// Where it was seen last.
    pub seen: Option<MessageStatus>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ask,
    Look,
    /// The same once more.
    Repeat,
    /// The same key with another text.
    Reuse,
    Watch,
    /// It was refused for good, and nothing may come of it.
    Refused,
    /// Nobody knows whether it was taken.
    Unsure,
}

impl SingleErrand {
    /// A wish.
    pub fn new(number: usize, plan: SinglePlan, chance: &mut Chance) -> Self {
        // Some people get several texts.
        let person = chance.between(0, 40);
        let (first, body) = match plan.poison {
            None => (FIRST_NUMBER + person, "Your code is"),
            Some(Poison::Attempts) => (FIRST_POISON + number as u64, POISON),
            Some(Poison::Everything) => (FIRST_WORST + number as u64, POISON),
        };
        Self {
            plan,
            to: number_of(first),
            body: format!("{body} {number}"),
            request: None,
            send_at: None,
            key: plan.has_key.then(|| format!("single-{number}")),
            stage: Stage::Ask,
            accepted: None,
            seen: None,
        }
    }

    /// Whether it was refused for good.
    pub fn is_refused(&self) -> bool {
        self.stage == Stage::Refused
    }

    /// Whether nobody knows if it was taken.
    pub fn is_unsure(&self) -> bool {
        self.stage == Stage::Unsure
    }

    pub(super) fn ask(&mut self, wall: UnixMicros) -> Asked {
        let request = match &self.request {
            Some(request) => request.clone(),
            None => self.first_request(wall),
        };
        let post = |body| Ask::post("/v1/messages".to_owned(), self.key.clone(), body);
        let (request, has_twin) = match (self.stage, self.accepted) {
            (Stage::Reuse, _) => {
                let mut other = request;
                other["body"] = json!("another text");
                (post(&other), false)
            }
            (Stage::Look | Stage::Watch, Some(id)) => {
                (Ask::get(format!("/v1/messages/{id}")), false)
            }
            (_, _) => (
                post(&request),
                self.plan.has_twin && self.stage == Stage::Ask,
            ),
        };
        Asked { request, has_twin }
    }

    fn first_request(&mut self, wall: UnixMicros) -> serde_json::Value {
        let plan = &self.plan;
        let mut request = json!({
            "to": self.to,
            "body": self.body,
            "class": plan.class.as_str(),
            "validity_period": plan.validity_seconds,
        });
        if let Some(after) = plan.send_after_ms {
            let at = wall.plus_micros(after as i64 * 1_000);
            request["send_at"] = json!(at.to_rfc3339());
            self.send_at = Some(at);
        }
        if let Some(provider) = plan.provider {
            let id = ProviderId::of_name(&format!("sandbox-{}", provider + 1));
            request["provider"] = json!(id.to_string());
        }
        if let Some(place) = plan.from_second_of {
            request["from"] = json!(second_sender(place + 1));
        }
        self.request = Some(request.clone());
        request
    }

    pub(super) fn heard(&mut self, answer: Option<&DoorAnswer>) -> Heard {
        let again = again_after(answer);
        if answer.is_some_and(|answer| answer.status == 429) {
            // It was certainly not taken, so whoever has no key asks again too.
            return Ok(again);
        }
        let Some(answer) = answer.filter(|answer| !is_for_later(answer)) else {
            if self.key.is_none() && self.stage == Stage::Ask {
                // Asking again without a key could make a second one.
                self.stage = Stage::Unsure;
                return Ok(Next::Done);
            }
            return Ok(again);
        };
        match self.stage {
            Stage::Ask | Stage::Repeat => {
                if answer.status == 422 && self.send_at.is_some() && self.accepted.is_none() {
                    self.stage = Stage::Refused;
                    return Ok(Next::Done);
                }
                self.note_answer(answer)?;
                self.stage = if self.stage == Stage::Ask {
                    Stage::Look
                } else {
                    Stage::Reuse
                };
                Ok(Next::After(0))
            }
            Stage::Reuse => {
                if answer.status != 422 {
                    let status = answer.status;
                    return Err(format!("a key was used for another text: {status}"));
                }
                self.stage = Stage::Watch;
                Ok(Next::After(LOOK_EVERY_MS))
            }
            Stage::Look | Stage::Watch => self.look(answer),
            Stage::Refused | Stage::Unsure => Ok(Next::Done),
        }
    }

    /// Notes under which id it was accepted: always the same one.
    pub(super) fn note_answer(&mut self, answer: &DoorAnswer) -> Result<(), String> {
        // Asked for too late: the first of two twins was not taken for another reason.
        let is_late = answer.status == 422 && self.send_at.is_some() && self.accepted.is_none();
        if is_for_later(answer) || is_late {
            return Ok(());
        }
        if answer.status != 202 {
            return Err(format!("a message was refused with {}", answer.status));
        }
        let body: MessageBody = json(answer)?;
        if self.accepted.is_some_and(|earlier| earlier != body.id) {
            return Err(format!("one key made two messages, {} too", body.id));
        }
        self.accepted = Some(body.id);
        Ok(())
    }

    fn look(&mut self, answer: &DoorAnswer) -> Heard {
        if answer.status != 200 {
            return Err(format!(
                "an accepted message is answered with {}",
                answer.status
            ));
        }
        let body: MessageBody = json(answer)?;
        if let Some(seen) = self
            .seen
            .filter(|seen| seen.is_final() && *seen != body.status)
        {
            return Err(format!(
                "{} went from {seen:?} to {:?}",
                body.id, body.status
            ));
        }
        self.seen = Some(body.status);
        if self.stage == Stage::Look {
            self.stage = if self.plan.is_repeated {
                Stage::Repeat
            } else {
                Stage::Watch
            };
            return Ok(Next::After(if self.plan.is_repeated {
                0
            } else {
                LOOK_EVERY_MS
            }));
        }
        // A transactional one that is unknown may still be sent again.
        let waits = body.status.is_pending()
            || (body.status == MessageStatus::Unknown && body.class == MessageClass::Transactional);
        Ok(
            if waits && self.seen.is_some_and(MessageStatus::is_pending) {
                Next::After(LOOK_EVERY_MS)
            } else {
                Next::Done
            },
        )
    }
}
