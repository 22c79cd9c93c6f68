//! The journal under laws: one owner over memory, driven without threads.

mod campaigns;
mod checkpoints;
mod consent;
mod due;
mod held;
mod laws;
mod model;
mod poison;
mod receipts;
mod refused;
mod searches;
mod world;

use std::sync::Arc;

use schemas::campaign::CampaignTally;
use schemas::change::{AfterAttempt, Change, Learnt};
use schemas::message::message_key;
use schemas::provider::{AttemptRef, DeliveryReceipt, SubmitOutcome};
use schemas::record::{KeyPart, Record};
use schemas::status::ReceiptStatus;
use schemas::{
    AccountId, Body, CampaignId, Encoding, Envelope, Message, MessageClass, MessageId, Partition,
    PartitionCount, PartitionRange, Phone, ProviderId, UnixMicros,
};

use super::projector::{Projector, Reply, Request};
use super::{OpenAttempt, Verdict};
use crate::store::kv::Kv;
use crate::store::memory::MemoryKv;
use crate::store::overlay::Overlay;
use crate::store::writer::GroupParticipant;

/// The only partition here.
const PARTITION: Partition = Partition(0);

/// Noon of a day in 2026: where the clock of these tests starts.
const START: UnixMicros = UnixMicros(1_790_000_000_000_000);

const SECOND: i64 = 1_000_000;

fn partitions() -> PartitionCount {
    PartitionCount::new(1).expect("a power of two")
}

/// An instant so many seconds after the start.
fn at(seconds: i64) -> UnixMicros {
    START.plus_micros(seconds * SECOND)
}

/// The owner of the partition, as the writer's thread drives it.
struct Owner {
    memory: MemoryKv,
    projector: Projector,
}

impl Owner {
    /// Opens what is in the memory.
    fn open(memory: MemoryKv) -> Self {
        let projector = Projector::recover(
            &mut Overlay::new(&memory),
            PartitionRange::whole(partitions()),
            false,
        );
        let projector = projector.expect("the journal can be read");
        Self { memory, projector }
    }

    /// An owner of nothing yet.
    fn new() -> Self {
        Self::open(MemoryKv::new())
    }

    /// Power is lost, and it starts again.
    fn crash(&mut self) {
        self.memory.crash();
        *self = Self::open(self.memory.clone());
    }

    /// One group commit that is written and not synced.
    fn write(&mut self, request: Request) -> Reply {
        let mut overlay = Overlay::new(&self.memory);
        self.projector.begin();
        let reply = self.projector.apply(&mut overlay, request);
        let reply = reply.expect("the changes can be applied");
        self.projector.seal(&mut overlay).expect("rows are encoded");
        let batch = overlay.into_batch();
        self.memory.write(batch).expect("memory can be written");
        self.projector.committed();
        reply
    }

    /// What was written is durable from here on.
    fn memory_synced(&self) {
        self.memory.sync().expect("memory can be synced");
    }

    /// One durable group commit of one change.
    fn commit(&mut self, change: Change) -> Verdict {
        let verdicts = self.commit_all(vec![change]);
        *verdicts.first().expect("a verdict for each change")
    }

    /// One durable group commit.
    fn commit_all(&mut self, changes: Vec<Change>) -> Vec<Verdict> {
        let changes = changes.into_iter().map(|change| (PARTITION, change));
        let reply = self.write(Request::Commit(changes.collect()));
        self.memory_synced();
        let Reply::Verdicts(verdicts) = reply else {
            panic!("a commit is answered with verdicts");
        };
        verdicts
    }

    fn open_attempts(&mut self) -> Vec<OpenAttempt> {
        let Reply::OpenAttempts(open) = self.write(Request::OpenAttempts) else {
            panic!("the question is answered");
        };
        open
    }

    fn message(&self, envelope: &Envelope) -> Option<Message> {
        self.row(&message_key(envelope.account, envelope.id))
    }

    fn tally(&self, campaign: CampaignId) -> CampaignTally {
        self.row(&CampaignTally::key_of(campaign, PARTITION))
            .unwrap_or_else(|| CampaignTally::empty(campaign, PARTITION))
    }

    fn row<R: Record>(&self, key: &[KeyPart]) -> Option<R> {
        let row = Overlay::new(&self.memory).get(key);
        row.expect("memory can be read")
    }

    fn rows<R: Record>(&self, prefix: &[KeyPart]) -> Vec<R> {
        let rows = Overlay::new(&self.memory).list(prefix, None, usize::MAX);
        rows.expect("memory can be read")
    }

    /// Every projection equals the one made again from the journal.
    fn rebuilds(&self) -> bool {
        let compared = super::compare_with_rebuilt(&self.memory, partitions());
        compared.expect("the journal can be read").is_ok()
    }
}

fn account() -> AccountId {
    AccountId::from_bytes([1; 16])
}

fn provider() -> ProviderId {
    ProviderId::from_bytes([2; 16])
}

fn campaign(number: u8) -> CampaignId {
    CampaignId::from_bytes([number; 16])
}

/// Message `number` to recipient `recipient`.
fn envelope(number: u8, recipient: u8, campaign: Option<CampaignId>) -> Arc<Envelope> {
    let to = Phone::from_e164(format!("+1415200{recipient:04}")).expect("a number");
    Arc::new(Envelope {
        account: account(),
        id: MessageId::new(START, to.slice(), [number; 8]),
        campaign,
        contact: None,
        to,
        from: None,
        body: Body::new("text"),
        class: MessageClass::Transactional,
        provider: None,
        send_at: None,
        valid_until: at(1_000_000),
        encoding: Encoding::Gsm7,
        segments: 1,
        created_at: START,
    })
}

fn attempt(envelope: &Envelope, attempt: u32) -> AttemptRef {
    AttemptRef {
        account: envelope.account,
        message: envelope.id,
        attempt,
    }
}

fn begun(envelope: &Arc<Envelope>, attempt: u32, now: UnixMicros) -> Change {
    Change::AttemptBegun {
        envelope: Arc::clone(envelope),
        attempt,
        provider: provider(),
        sender: "+15005550006".to_owned(),
        at: now,
        deadline: now.plus_micros(5 * SECOND),
    }
}

fn ended(
    attempt: AttemptRef,
    outcome: SubmitOutcome,
    then: AfterAttempt,
    now: UnixMicros,
) -> Change {
    Change::AttemptEnded {
        attempt,
        outcome,
        then,
        sent_at: Some(now),
        at: now,
    }
}

fn accepted(provider_message_id: &str) -> SubmitOutcome {
    SubmitOutcome::Accepted {
        provider_message_id: provider_message_id.to_owned(),
    }
}

fn unknown() -> SubmitOutcome {
    SubmitOutcome::Unknown {
        cause: "timeout".to_owned(),
    }
}

fn receipt(
    envelope: &Envelope,
    attempt: Option<AttemptRef>,
    provider_message_id: &str,
    status: Option<ReceiptStatus>,
    learnt: Learnt,
    now: UnixMicros,
) -> Change {
    let word = status.map_or("strange", |status| status.as_status().as_str());
    Change::Receipt {
        provider: provider(),
        receipt: DeliveryReceipt {
            attempt,
            provider_message_id: provider_message_id.to_owned(),
            status,
            error_code: None,
            provider_status: word.to_owned(),
            to: Some(envelope.to.clone()),
        },
        learnt,
        at: now,
    }
}

fn look_up() -> AfterAttempt {
    AfterAttempt::LookUpAt(at(100))
}

/// The first attempt was searched for, and is made again.
fn resend(envelope: &Envelope, now: UnixMicros) -> Change {
    Change::Resend {
        attempt: attempt(envelope, 1),
        due: now,
        at: now,
    }
}

/// An owner whose first message was sent twice: the first attempt became unknown, the
/// second is open.
fn resent() -> (Owner, std::sync::Arc<schemas::Envelope>) {
    let message = envelope(0, 0, None);
    let mut owner = Owner::new();
    let first = ended(attempt(&message, 1), unknown(), look_up(), at(1));
    for change in [
        begun(&message, 1, at(0)),
        first,
        resend(&message, at(2)),
        begun(&message, 2, at(3)),
    ] {
        assert_eq!(owner.commit(change), Verdict::Done);
    }
    (owner, message)
}
