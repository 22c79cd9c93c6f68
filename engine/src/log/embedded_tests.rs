//! What only the embedded log promises: its appends share a group commit with other changes.

use schemas::{MessageClass, Partition};

use super::Topic;
use crate::store::embedded::Embedded;
use crate::store::subject::{in_memory, open};
use crate::store::writer::{Admission, NoParticipant};
use crate::store::{MemoryKv, StoreError};

const WORK: Topic = Topic::Work(MessageClass::Marketing);
const PARTITION: Partition = Partition(3);

/// An operation that appends and then fails leaves the end where it was.
async fn a_failed_operation_appends_nothing(embedded: &Embedded<NoParticipant>) {
    let log = &embedded.log;
    let record = |number: u8| vec![vec![number]];
    log.append(WORK, PARTITION, record(0))
        .await
        .expect("append");
    let operations = embedded.participant.operations();
    let failing = operations.run(Admission::Intake, |overlay| {
        super::append(overlay, WORK, PARTITION, vec![vec![8], vec![9]])?;
        Err::<(), _>(StoreError::UnknownCursor)
    });
    let (failed, beside) = futures::join!(failing, log.append(WORK, PARTITION, record(1)));
    assert!(failed.is_err());
    assert_eq!(beside.expect("append"), 1);
    let found = log.read(WORK, PARTITION, 0, 10).await.expect("read");
    assert_eq!(found, [(0, vec![0]), (1, vec![1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_a_failed_operation_appends_nothing() {
    a_failed_operation_appends_nothing(&in_memory(&MemoryKv::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_folder_a_failed_operation_appends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    a_failed_operation_appends_nothing(&open(folder.path())).await;
}
