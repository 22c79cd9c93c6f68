//! One moment while the writer goes on, and one verification at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use schemas::UnixMicros;
use schemas::change::{AfterAttempt, Change};
use schemas::provider::{AttemptRef, SubmitOutcome};
use schemas::{Partition, PartitionCount, ProviderId};

use super::super::tests::{START, envelope};
use super::super::{Verified, database};
use super::{Verifier, VerifierError};
use crate::runtime::{BootMicros, Clock, Runtime, Spawner};
use crate::storage::{JournalSettings, Storage};
use crate::store::kv::Kv;
use crate::store::{MemoryKv, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_taken_before_a_commit_does_not_see_it() {
    let memory = MemoryKv::new();
    let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
    let settings = JournalSettings {
        partitions: PartitionCount::new(1).expect("a power of two"),
        owners: PartitionCount::ONE,
        trim: false,
    };
    let storage = Storage::in_memory(memory.clone(), &runtime, settings);
    let storage = storage.expect("storage in memory");
    let commit = |change| storage.journal.commit(vec![(Partition(0), change)]);
    let envelope = envelope(0);
    let begun = Change::AttemptBegun {
        envelope: Arc::clone(&envelope),
        attempt: 1,
        provider: ProviderId::from_bytes([4; 16]),
        sender: "+15005550006".to_owned(),
        at: START,
        deadline: START.plus_micros(5_000_000),
    };
    commit(begun).await.expect("commit");
    let snapshot = memory.snapshot().expect("a snapshot");
    let ended = Change::AttemptEnded {
        attempt: AttemptRef {
            account: envelope.account,
            message: envelope.id,
            attempt: 1,
        },
        outcome: SubmitOutcome::Accepted {
            provider_message_id: "SM1".to_owned(),
        },
        then: AfterAttempt::Settle,
        sent_at: Some(START),
        at: START,
    };
    commit(ended).await.expect("commit");
    let counted = |verified: Verified| {
        let Verified {
            messages,
            open_attempts,
            journal_records,
            ..
        } = verified;
        (messages, open_attempts, journal_records)
    };
    let before = database(&*snapshot).expect("it agrees");
    assert_eq!(counted(before), (0, 1, 1));
    let after = storage.verifier.verify().await.expect("it is verified");
    assert_eq!(after.difference, None);
    assert_eq!(counted(after.verified), (1, 0, 2));
}

/// Keeps work that may block until it is told to do it.
#[derive(Default)]
struct Later(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Later {
    fn work(&self) {
        let work = std::mem::take(&mut *self.0.lock().expect("nobody panicked"));
        work.into_iter().for_each(|work| work());
    }
}

impl Spawner for Later {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
    fn spawn_dedicated(&self, _: &str, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.lock().expect("nobody panicked").push(work);
    }
}

struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> UnixMicros {
        START
    }

    fn boot(&self) -> BootMicros {
        0
    }
}

#[tokio::test]
async fn there_is_one_at_a_time_while_the_storage_is_open() {
    let later = Arc::new(Later::default());
    let runtime = Runtime::new(Arc::new(NoTime), Arc::clone(&later) as Arc<dyn Spawner>, 1);
    let kv: Arc<dyn Kv> = Arc::new(MemoryKv::new());
    let verifier = Verifier::new(&kv, runtime);

    let mut first = Box::pin(verifier.verify());
    assert!(first.as_mut().now_or_never().is_none());
    let second = verifier.clone().verify().await;
    assert!(matches!(second, Err(VerifierError::UnderWay)));
    later.work();
    assert_eq!(first.await.expect("it is verified").difference, None);

    // Who does not wait any more does not give the turn to somebody else.
    let mut given_up = Box::pin(verifier.verify());
    assert!(given_up.as_mut().now_or_never().is_none());
    drop(given_up);
    let early = verifier.verify().await;
    assert!(matches!(early, Err(VerifierError::UnderWay)));
    later.work();

    let mut last = Box::pin(verifier.verify());
    assert!(last.as_mut().now_or_never().is_none());
    drop(kv);
    later.work();
    let closed = last.await;
    assert!(matches!(
        closed,
        Err(VerifierError::Store(StoreError::Closed))
    ));
}
