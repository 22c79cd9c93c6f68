//! Poison: a message whose attempts bring down whoever makes them. An attempt is in the journal
//! before it is made, so it is counted whatever it takes with it, the process included.

use schemas::Message;

/// Why a message is not sent again, and stays as it is until a receipt tells more.
pub const POISON: &str = "poison";

/// What an attempt is said to have ended with whose maker did not survive it: a panic on the
/// way, a sender that went down with it, a process that did.
const DEADLY: [&str; 3] = ["panicked", "sender_lost", "crash"];

/// Attempts that may end so. Who was merely beside a process that died meets three such deaths,
/// each in the moments of its own attempt, about never.
const DEADLY_ATTEMPTS: usize = 3;

/// Whether no further attempt is to be made.
pub fn is_poison(message: &Message) -> bool {
    let deadly = message.timeline.iter().filter(|entry| {
        let detail = entry.detail.as_deref().unwrap_or_default();
        entry.event == "outcome_unknown" && DEADLY.contains(&detail)
    });
    deadly.count() >= DEADLY_ATTEMPTS
}
