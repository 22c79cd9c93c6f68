//! A message over which whoever sends it panics is attempted three times at most, and then says
//! why it is not any more.

use engine::journal::POISON;
use schemas::{Message, MessageClass, MessageStatus};

use super::outcome::count;
use crate::simulation::Simulation;
use crate::simulation::customers::single;

/// Attempts that may panic.
const MOST_ATTEMPTS: usize = 3;

/// Judges every message that is one.
pub fn judge(simulation: &Simulation, messages: &[Message]) {
    for message in messages {
        if !message.envelope.body.as_str().starts_with(single::POISON) {
            continue;
        }
        simulation.tally.count("poison");
        let panicked = message.timeline.iter().filter(|entry| {
            let detail = entry.detail.as_deref();
            entry.event == "outcome_unknown" && detail == Some("panicked")
        });
        let panicked = panicked.count();
        let resent = count(message, "resend_planned");
        let is_put_aside = message.reason.as_deref() == Some(POISON);
        if is_put_aside {
            simulation.tally.count("poison was put aside");
        }
        let (status, class) = (message.status, message.envelope.class);
        let nobody_can = [
            MessageStatus::Accepted,
            MessageStatus::Sent,
            MessageStatus::Delivered,
        ];
        let stands_still = status == MessageStatus::Unknown && panicked == MOST_ATTEMPTS;
        let wrong = if panicked > MOST_ATTEMPTS {
            "it was attempted too often"
        } else if nobody_can.contains(&status) {
            "nobody can have sent it"
        } else if stands_still && !is_put_aside {
            "it does not say why it stands still"
        } else if resent > 0 && class == MessageClass::Marketing {
            "it was sent again"
        } else {
            continue;
        };
        let id = message.envelope.id;
        super::messages::tell_life(simulation, message, &[]);
        simulation.violated(format!("{id} is poison: {wrong}"));
    }
}
