//! Single messages that are taken in on a cluster: once for each idempotency key, found by
//! whoever asks, and never without a place in the work log, whatever was broken off before.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use engine::intake::{Acceptance, Intake};
use engine::log::{Log, Topic};
use engine::runtime::Runtime;
use engine::store::{PutOnce, Store};
use schemas::message::{IdempotencyKey, Intake as IntakeRow, WorkItem, message_key};
use schemas::{
    AccountId, Body, Encoding, Envelope, MessageClass, MessageId, PartitionCount, Phone,
};
use tests::backends::ground::Ground;
use tests::backends::{cassandra, kafka};

const CLASS: MessageClass = MessageClass::Transactional;
const PARTITIONS: PartitionCount = PartitionCount::EMBEDDED;

/// Polls after which a request is broken off at the latest: more than any takes.
const POLLS: u32 = 24;

struct Cluster {
    store: Store,
    log: Log,
    intake: Intake,
    runtime: Runtime,
}

impl Cluster {
    async fn new(name: &str) -> Option<Self> {
        let (cassandra, kafka) = tokio::task::block_in_place(|| Some((cassandra()?, kafka()?)))?;
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        let ground = Ground::make(cassandra, kafka, name, &runtime).await;
        let store = ground.store(&runtime).await;
        let log = ground.log(&store, PARTITIONS, &runtime).await;
        let log = log.expect("the log opens");
        Some(Self {
            intake: Intake::on_cluster(store.clone(), log.clone(), PARTITIONS),
            store,
            log,
            runtime,
        })
    }

    fn account(&self) -> AccountId {
        AccountId::mint(self.runtime.now(), self.runtime.random_bytes())
    }

    /// A message to this number, with an id of its own as every request makes one.
    fn envelope(&self, account: AccountId, to: &str) -> Envelope {
        let to = Phone::from_e164(to).expect("a number");
        let now = self.runtime.now();
        Envelope {
            account,
            id: MessageId::new(now, to.slice(), self.runtime.random_bytes()),
            campaign: None,
            contact: None,
            to,
            from: None,
            body: Body::new("Code 1"),
            class: CLASS,
            provider: None,
            send_at: None,
            valid_until: now.plus_micros(3_600_000_000),
            encoding: Encoding::Gsm7,
            segments: 1,
            created_at: now,
        }
    }

    /// What a request claims for a message under a key.
    fn claim(&self, envelope: &Envelope, key: &str) -> IdempotencyKey {
        IdempotencyKey {
            account: envelope.account,
            key: key.to_owned(),
            request_sha256: "00ff".to_owned(),
            resource: *envelope.id.as_bytes(),
            created_at: self.runtime.now(),
        }
    }

    /// The whole request.
    async fn ask(&self, account: AccountId, to: &str, key: &str) -> Acceptance {
        let envelope = self.envelope(account, to);
        let claim = self.claim(&envelope, key);
        let accepted = self.intake.accept(envelope, Some(claim)).await;
        accepted.expect("the servers are well")
    }

    /// What a GET reads.
    async fn row(&self, account: AccountId, id: MessageId) -> Option<IntakeRow> {
        let row = self.store.get::<IntakeRow>(&message_key(account, id)).await;
        row.expect("the store is well")
    }

    /// The messages of an account that have places in the log of a number, in order.
    async fn places(&self, account: AccountId, to: &str) -> Vec<MessageId> {
        let to = Phone::from_e164(to).expect("a number");
        let partition = PARTITIONS.of(to.slice());
        let (mut from, mut found) = (0, Vec::new());
        loop {
            let topic = Topic::Work(CLASS);
            let page = self.log.read(topic, partition, from, 1_000).await;
            let page = page.expect("the log is well");
            let Some((last, _)) = page.last() else {
                return found;
            };
            from = last + 1;
            let items = page
                .iter()
                .map(|(_, payload)| rmp_serde::from_slice::<WorkItem>(payload).expect("an item"));
            let own = items.filter(|item| item.account == account);
            found.extend(own.map(|item| item.message));
        }
    }
}

/// Runs a future for so many polls at most, and drops it where it is then.
async fn broken_off<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 {
            return Poll::Ready(None);
        }
        polled
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_makes_one_message_however_often_it_comes() {
    let Some(cluster) = Cluster::new("intake").await else {
        return;
    };
    let (account, to) = (cluster.account(), "+14155550101");
    let Acceptance::Accepted(id) = cluster.ask(account, to, "one").await else {
        panic!("it is the first");
    };
    let row = cluster.row(account, id).await.expect("it is found");
    assert_eq!(row.envelope.id, id);
    assert_eq!(cluster.places(account, to).await, [id]);
    let again = cluster.ask(account, to, "one").await;
    assert_eq!(again, Acceptance::Replayed(id));
    let another = cluster.envelope(account, to);
    let mut claim = cluster.claim(&another, "one");
    claim.request_sha256 = "another".to_owned();
    let reused = cluster.intake.accept(another.clone(), Some(claim)).await;
    assert_eq!(reused.expect("the servers are well"), Acceptance::KeyReused);
    assert!(cluster.row(account, another.id).await.is_none());
    // It was not read yet, so the repeat could not know of its place: it has another.
    assert_eq!(cluster.places(account, to).await, [id, id]);
    let free = cluster.envelope(account, to);
    let accepted = cluster.intake.accept(free.clone(), None).await;
    let accepted = accepted.expect("the servers are well");
    assert_eq!(accepted, Acceptance::Accepted(free.id));
    assert!(cluster.row(account, free.id).await.is_some());
    // Other accounts have keys of their own.
    let other = cluster.account();
    let accepted = cluster.ask(other, to, "one").await;
    assert!(matches!(accepted, Acceptance::Accepted(theirs) if theirs != id));
}

/// Many at once under one key: all hear of one message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_hear_of_one_message() {
    let Some(cluster) = Cluster::new("intake").await else {
        return;
    };
    let (account, to) = (cluster.account(), "+14155550102");
    let all = (0..8).map(|_| cluster.ask(account, to, "race"));
    let mut ids = Vec::new();
    for accepted in futures::future::join_all(all).await {
        match accepted {
            Acceptance::Accepted(id) | Acceptance::Replayed(id) => ids.push(id),
            Acceptance::KeyReused => panic!("all are the same"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let mut places = cluster.places(account, to).await;
    places.dedup();
    assert_eq!(places, ids);
}

/// A node dies behind each of the steps; the request comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_cut_off_is_finished_by_its_repeat() {
    let Some(cluster) = Cluster::new("intake").await else {
        return;
    };
    let (account, to) = (cluster.account(), "+14155550103");
    let first = cluster.envelope(account, to);
    let claim = cluster.claim(&first, "behind the key");
    let put = cluster.store.put_once(&claim).await.expect("put");
    assert_eq!(put, PutOnce::Stored);
    let again = cluster.ask(account, to, "behind the key").await;
    assert_eq!(again, Acceptance::Replayed(first.id));
    let row = cluster.row(account, first.id).await.expect("it is made");
    assert_eq!(row.envelope.id, first.id);
    assert_eq!(cluster.places(account, to).await, [first.id]);

    let (account, second) = {
        let account = cluster.account();
        (account, cluster.envelope(account, to))
    };
    let claim = cluster.claim(&second, "behind the row");
    cluster.store.put_once(&claim).await.expect("put");
    let row = IntakeRow {
        envelope: second.clone().into(),
    };
    cluster.store.put_once(&row).await.expect("put");
    assert_eq!(cluster.places(account, to).await, []);
    // As the door does that finds the key and the row.
    cluster.intake.confirm(&row).await.expect("confirm");
    assert_eq!(cluster.places(account, to).await, [second.id]);
    let again = cluster.ask(account, to, "behind the row").await;
    assert_eq!(again, Acceptance::Replayed(second.id));
    let there = cluster.row(account, second.id).await.expect("it is there");
    assert_eq!(there.envelope.created_at, second.created_at);
}

/// The same at every point at which a request waits for a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_breaks_off_anywhere_is_finished_by_its_repeat() {
    let Some(cluster) = Cluster::new("intake").await else {
        return;
    };
    let to = "+14155550104";
    let mut broken = 0;
    for polls in 1..=POLLS {
        let account = cluster.account();
        let first = broken_off(cluster.ask(account, to, "any"), polls).await;
        broken += u32::from(first.is_none());
        let id = match cluster.ask(account, to, "any").await {
            Acceptance::Accepted(id) => {
                assert_eq!(first, None, "after {polls} polls");
                id
            }
            Acceptance::Replayed(id) => id,
            Acceptance::KeyReused => panic!("it is the same"),
        };
        if let Some(first) = first {
            assert_eq!(first, Acceptance::Accepted(id), "after {polls} polls");
        }
        assert!(cluster.row(account, id).await.is_some());
        let mut places = cluster.places(account, to).await;
        places.dedup();
        assert_eq!(places, [id], "after {polls} polls");
    }
    assert!(broken > 2, "broken off {broken} times");
}
