//! Writing outcomes down: what became of attempts goes into the journal in groups,
//! and only then are their positions finished.

use std::time::Duration;

use engine::dispatch::Origin;
use engine::dispatch::outcome::OutcomeRules;
use engine::journal::Journal;
use engine::runtime::Runtime;
use futures::FutureExt;
use schemas::Partition;
use schemas::change::Change;
use tokio::sync::mpsc;

use super::dispatcher::Dispatcher;
use super::messages::Finished;
use crate::instruments;
use crate::provider::ticket::Ended;
use crate::supervision::{Escalation, Post};

/// The most outcomes of one commit. A commit is answered as a whole, so a larger one
/// would make the first of them wait for the last.
const OUTCOMES_A_COMMIT: usize = 2_000;

/// Outcomes are committed no more often than this. Nothing waits for them but positions
/// and those who ask, while every commit costs the same however few it holds: written
/// down as they come, outcomes took a tenth of a node's processor time more.
const COMMIT_OUTCOMES_EVERY: Duration = Duration::from_millis(5);

/// Writes outcomes until the last sender of them is gone.
pub struct OutcomeWriter {
    /// Time and chance.
    pub runtime: Runtime,
    /// Where they are committed.
    pub journal: Journal,
    /// What follows from them.
    pub rules: OutcomeRules,
    /// Who hears of finished positions.
    pub dispatcher: Post<Dispatcher>,
    /// Who hears that the journal takes nothing more.
    pub escalation: Escalation,
}

impl OutcomeWriter {
    /// Writes what comes over the channel.
    pub async fn run(self, mut ended: mpsc::UnboundedReceiver<Ended>) {
        let mut batch = Vec::with_capacity(OUTCOMES_A_COMMIT);
        let mut not_before = self.runtime.boot();
        while ended.recv_many(&mut batch, OUTCOMES_A_COMMIT).await > 0 {
            let now = self.runtime.boot();
            if now < not_before {
                let wait = Duration::from_micros(not_before - now);
                self.runtime.sleep(wait).await;
                let room = OUTCOMES_A_COMMIT - batch.len();
                ended.recv_many(&mut batch, room).now_or_never();
            }
            not_before = self.runtime.boot() + COMMIT_OUTCOMES_EVERY.as_micros() as u64;
            let origins: Vec<Origin> = batch.iter().filter_map(|ended| ended.origin).collect();
            let changes = batch.drain(..).map(|ended| self.change(ended)).collect();
            if self.journal.commit(changes).await.is_err() {
                self.escalation
                    .raise("outcomes cannot be written down".to_owned());
                return;
            }
            // A dispatcher that is being built again reads the positions from the
            // journal; what is not finished there is refused when it is begun again.
            if let Some(dispatcher) = self.dispatcher.address() {
                let _ = dispatcher.send(Finished(origins)).await;
            }
        }
    }

    fn change(&self, ended: Ended) -> (Partition, Change) {
        let at = self.runtime.now();
        let random = u64::from_le_bytes(self.runtime.random_bytes());
        let attempt = ended.attempt.attempt;
        let then = self
            .rules
            .after(&ended.outcome, &ended.envelope, attempt, at, random);
        instruments::attempt_ended(&ended.outcome);
        let partition = self.journal.partitions().of(ended.attempt.message.slice());
        let change = Change::AttemptEnded {
            attempt: ended.attempt,
            outcome: ended.outcome,
            then,
            sent_at: ended.sent_at,
            at,
        };
        (partition, change)
    }
}
