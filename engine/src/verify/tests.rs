//! A small store that agrees, and one thing in it changed at a time.

use std::sync::Arc;

use schemas::audience::{AudienceChunk, NumberKey};
use schemas::campaign::CampaignTally;
use schemas::change::{AfterAttempt, Change};
use schemas::due::{DueEntry, DueKind};
use schemas::message::message_key;
use schemas::position::{AudiencePosition, CommittedPosition, SourceId};
use schemas::provider::{AttemptRef, SubmitOutcome};
use schemas::record::{KeyPart, Record};
use schemas::{
    AccountId, Body, CampaignId, ContactId, Encoding, Envelope, Message, MessageClass, MessageId,
    MessageStatus, Partition, PartitionCount, Phone, ProviderId, UnixMicros,
};

use super::{Difference, VerifyError, database};
use crate::runtime::Runtime;
use crate::storage::{JournalSettings, Storage};
use crate::store::kv::{Kv, KvBatch, KvChange, Space};
use crate::store::{MemoryKv, golden_samples, key, row};

pub(super) const START: UnixMicros = UnixMicros(1_790_000_000_000_000);
const PARTITION: Partition = Partition(0);

fn account() -> AccountId {
    AccountId::from_bytes([1; 16])
}

fn campaign() -> CampaignId {
    CampaignId::from_bytes([2; 16])
}

/// A campaign to five people, in the order of its audience: accepted, waiting for another
/// attempt, with an attempt open, skipped, and not read yet.
struct World {
    memory: MemoryKv,
    people: Vec<Arc<Envelope>>,
}

impl World {
    async fn new() -> Self {
        let mut people: Vec<_> = (0..5).map(envelope).collect();
        people.sort_by_key(|person| (person.to.slice(), NumberKey::of(&person.to)));
        let world = Self {
            memory: MemoryKv::new(),
            people,
        };
        world.put(&golden_samples::campaign());
        let entries = world.people.iter().map(|person| {
            let contact = ContactId::from_bytes([3; 16]);
            (NumberKey::of(&person.to), contact)
        });
        world.put(&AudienceChunk {
            campaign: campaign(),
            partition: PARTITION,
            chunk: 0,
            entries: entries.collect(),
        });
        world.commit().await;
        world
    }

    fn storage(&self) -> Storage {
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        let settings = JournalSettings {
            partitions: PartitionCount::new(1).expect("a power of two"),
            owners: PartitionCount::ONE,
            trim: false,
        };
        let storage = Storage::in_memory(self.memory.clone(), &runtime, settings);
        storage.expect("storage in memory")
    }

    async fn commit(&self) {
        let storage = self.storage();
        let accepted = SubmitOutcome::Accepted {
            provider_message_id: "SM1".to_owned(),
        };
        let throttled = SubmitOutcome::Throttled {
            retry_after_ms: None,
            code: "429".to_owned(),
        };
        let changes = [
            Change::AudienceFrozen {
                campaign: campaign(),
                chunk: 0,
                entries: 5,
                last: true,
            },
            self.begun(0),
            self.begun(1),
            self.begun(2),
            self.ended(0, accepted, AfterAttempt::Settle),
            self.ended(1, throttled, AfterAttempt::RetryAt(retry_at())),
            Change::Skipped {
                recipient: schemas::change::SkippedRecipient::Message(self.people[3].clone()),
                reason: "missing_field".to_owned(),
                at: START,
            },
            Change::Advanced {
                source: SourceId::Audience(campaign()),
                position: 2,
            },
        ];
        for change in changes {
            let verdicts = storage.journal.commit(vec![(PARTITION, change)]).await;
            assert_eq!(verdicts.expect("commit"), [crate::journal::Verdict::Done]);
        }
    }

    fn begun(&self, person: usize) -> Change {
        Change::AttemptBegun {
            envelope: Arc::clone(&self.people[person]),
            attempt: 1,
            provider: ProviderId::from_bytes([4; 16]),
            sender: "+15005550006".to_owned(),
            at: START,
            deadline: START.plus_micros(5_000_000),
        }
    }

    fn ended(&self, person: usize, outcome: SubmitOutcome, then: AfterAttempt) -> Change {
        Change::AttemptEnded {
            attempt: AttemptRef {
                account: account(),
                message: self.people[person].id,
                attempt: 1,
            },
            outcome,
            then,
            sent_at: Some(START),
            at: START,
        }
    }

    fn put<R: Record>(&self, record: &R) {
        let bytes = row::encode(record).expect("a row");
        self.write::<R>(&record.key(), Some(bytes));
    }

    fn delete<R: Record>(&self, key: &[KeyPart]) {
        self.write::<R>(key, None);
    }

    fn write<R: Record>(&self, parts: &[KeyPart], value: Option<Vec<u8>>) {
        let key = key::encode(R::TABLE, parts).expect("a key");
        let space = Space::of(R::TABLE);
        let partition = None;
        let changes = vec![KvChange {
            space,
            key,
            value,
            partition,
        }];
        self.memory.write(KvBatch { changes }).expect("write");
    }

    /// Changes a row as no code of ours would.
    fn spoil<R: Record>(&self, key: &[KeyPart], spoil: impl FnOnce(&mut R)) {
        let stored = super::rows::get::<R>(&self.memory, key).expect("read");
        let mut row = stored.expect("a row");
        spoil(&mut row);
        self.put(&row);
    }

    fn message_key(&self, person: usize) -> Vec<KeyPart> {
        message_key(account(), self.people[person].id)
    }

    fn difference(&self) -> Difference {
        match database(&self.memory) {
            Err(VerifyError::Differs(difference)) => difference,
            other => panic!("a difference was expected, not {other:?}"),
        }
    }
}

fn retry_at() -> UnixMicros {
    START.plus_micros(60_000_000)
}

pub(super) fn envelope(number: u8) -> Arc<Envelope> {
    let to = Phone::from_e164(format!("+1415200{number:04}")).expect("a number");
    Arc::new(Envelope {
        account: account(),
        id: MessageId::new(START, to.slice(), [number; 8]),
        campaign: Some(campaign()),
        contact: None,
        to,
        from: None,
        body: Body::new("text"),
        class: MessageClass::Marketing,
        provider: None,
        send_at: None,
        valid_until: START.plus_micros(3_600_000_000),
        encoding: Encoding::Gsm7,
        segments: 1,
        created_at: START,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agrees_is_counted() {
    let world = World::new().await;
    let verified = database(&world.memory).expect("everything agrees");
    assert_eq!((verified.campaigns, verified.recipients), (1, 5));
    assert_eq!((verified.messages, verified.open_attempts), (3, 1));
    assert_eq!(verified.journal_records, 8);
    let nothing = database(&MemoryKv::new()).expect("nothing to disagree");
    assert_eq!(nothing, super::Verified::default());
}

/// What fell due while it was written down is put behind what had been read by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_may_wait_for_a_later_instant_than_was_asked_for() {
    let world = World::new().await;
    let storage = world.storage();
    let asked_for = START.plus_micros(1_000);
    let envelope = Arc::new(Envelope {
        campaign: None,
        send_at: Some(asked_for),
        ..Envelope::clone(&envelope(9))
    });
    let read = storage
        .journal
        .raise_due_mark(PARTITION, DueKind::Send, asked_for.plus_micros(1));
    read.await.expect("the mark is raised");
    let at = asked_for;
    let change = Change::Scheduled { envelope, at };
    let verdicts = storage.journal.commit(vec![(PARTITION, change)]).await;
    assert_eq!(verdicts.expect("commit"), [crate::journal::Verdict::Done]);
    database(&world.memory).expect("it lies in the bucket of that instant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_number_is_found() {
    let key = CampaignTally::key_of(campaign(), PARTITION);
    for (status, word) in [
        (MessageStatus::Delivered, "delivered: 1 noted, 0 counted"),
        (MessageStatus::Submitting, "submitting: 2 noted, 1 counted"),
        (MessageStatus::Queued, "queued: 3 noted, 2 counted"),
    ] {
        let world = World::new().await;
        world.spoil::<CampaignTally>(&key, |tally| {
            *tally.by_status.entry(status).or_default() += 1;
        });
        assert_eq!(world.difference().detail, word);
    }
    let world = World::new().await;
    world.spoil::<CampaignTally>(&key, |tally| tally.total_recipients += 1);
    assert_eq!(world.difference().detail, "recipients: 6 noted, 5 counted");
    let world = World::new().await;
    world.spoil::<CampaignTally>(&key, |tally| tally.skipped.clear());
    assert!(world.difference().detail.starts_with("skipped: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impossible_life_is_found() {
    type Spoil = fn(&mut Message);
    let cases: [(Spoil, &str); 5] = [
        (
            |message| message.status = MessageStatus::Sent,
            "it is sent, its life ends otherwise",
        ),
        (
            |message| message.attempts = 2,
            "2 attempts noted, 1 in its life",
        ),
        (
            |message| message.provider_message_id = None,
            "accepted without the provider's id",
        ),
        (
            |message| message.timeline[0].status = MessageStatus::Delivered,
            "created: delivered after nothing",
        ),
        (
            |message| {
                let mut back = message.timeline[0].clone();
                back.event = "strange".to_owned();
                message.timeline.push(back);
                message.status = MessageStatus::Queued;
            },
            "strange: queued after accepted",
        ),
    ];
    for (spoil, word) in cases {
        let world = World::new().await;
        world.spoil::<Message>(&world.message_key(0), spoil);
        assert_eq!(world.difference().detail, word);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_behind_its_cursor_is_found() {
    let world = World::new().await;
    let key = CommittedPosition::key_of(PARTITION, &SourceId::Audience(campaign()));
    world.spoil::<CommittedPosition>(&key, |cursor| {
        cursor.position = AudiencePosition { chunk: 1, entry: 0 }.as_number();
    });
    let detail = world.difference().detail;
    assert!(
        detail.ends_with("lies behind the cursor and has no message"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_message_to_one_number_is_found() {
    let world = World::new().await;
    let key = world.message_key(0);
    let first = super::rows::get::<Message>(&world.memory, &key).expect("read");
    let mut second = first.expect("a row");
    let envelope = Arc::make_mut(&mut second.envelope);
    envelope.id = MessageId::new(START, envelope.to.slice(), [9; 8]);
    world.put(&second);
    assert_eq!(world.difference().detail, "a number has two messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_row_is_found() {
    let world = World::new().await;
    world.delete::<Message>(&world.message_key(0));
    let detail = world.difference().detail;
    assert_eq!(detail, "attempt 1 ended in record 5, and there is no row");

    let world = World::new().await;
    world.delete::<Message>(&world.message_key(3));
    assert_eq!(world.difference().detail, "skipped: 1 noted, 0 counted");

    let world = World::new().await;
    world.delete::<AudienceChunk>(&AudienceChunk::key_of(campaign(), PARTITION, 0));
    assert_eq!(world.difference().detail, "chunk 0 is not there");

    let world = World::new().await;
    let retry = DueEntry {
        partition: PARTITION,
        due: retry_at(),
        account: account(),
        message: world.people[1].id,
        sequence: 0,
    };
    world.delete::<DueEntry>(&retry.key());
    let detail = world.difference().detail;
    assert_eq!(detail, "it waits for an instant and lies in no bucket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_apart_from_the_journal_is_found() {
    let world = World::new().await;
    world.spoil::<Message>(&world.message_key(0), |message| message.sequence = 4);
    let detail = world.difference().detail;
    assert_eq!(
        detail,
        "the outcome of attempt 1 is in record 5, its row includes 4"
    );

    let world = World::new().await;
    world.spoil::<Message>(&world.message_key(0), |message| message.sequence = 9);
    let detail = world.difference().detail;
    assert_eq!(detail, "its row includes record 9, the journal ends with 8");
}
