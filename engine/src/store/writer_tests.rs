//! Tests of the group commit where the disk fails or fills, over the memory backend.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::embedded::Embedded;
use super::kv::{Direction, FarKv, Kv, KvBatch, KvError, KvPairs, KvRead, Settling, Space};
use super::memory::{Fate, MemoryKv};
use super::overlay::Overlay;
use super::subject::{in_memory, runtime};
use super::submit::{Reply, Submission};
use super::writer::{self, Admission, AnsweredWhen, GroupCommit, GroupParticipant, WriterEnd};

/// Writes the numbers asked for, refuses odd ones after having written them, and
/// notes what the writer told it.
struct Notes {
    told: Arc<Mutex<Vec<&'static str>>>,
    fail_seal: bool,
}

impl Notes {
    fn note(&self, word: &'static str) {
        self.told.lock().expect("no panic holds it").push(word);
    }
}

impl GroupParticipant for Notes {
    type Request = u8;
    type Reply = u8;

    fn begin(&mut self) {
        self.note("begin");
    }

    fn apply(&mut self, overlay: &mut Overlay<'_>, number: u8) -> Result<u8, StoreError> {
        self.note("apply");
        overlay.put_raw(Space::Journal, vec![number], vec![number]);
        if number % 2 == 1 {
            return Err(StoreError::UnknownCursor);
        }
        Ok(number * 2)
    }

    fn seal(&mut self, overlay: &mut Overlay<'_>) -> Result<(), StoreError> {
        self.note("seal");
        overlay.put_raw(Space::Journal, b"sealed".to_vec(), Vec::new());
        if self.fail_seal {
            return Err(StoreError::UnknownCursor);
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.note("committed");
    }

    fn aborted(&mut self) {
        self.note("aborted");
    }
}

type Answer = oneshot::Receiver<Result<u8, StoreError>>;

fn request(number: u8, when: AnsweredWhen) -> (Submission<Notes>, Answer) {
    let (sender, answer) = oneshot::channel();
    let request = Submission::Request {
        admission: Admission::Outcome,
        request: number,
        reply: Reply { sender, when },
    };
    (request, answer)
}

struct OneGroup {
    told: Vec<&'static str>,
    replies: Vec<Result<u8, StoreError>>,
    closing: bool,
}

/// Commits the numbers as one group.
fn one_group(memory: &MemoryKv, fail_seal: bool, numbers: &[u8]) -> OneGroup {
    let told = Arc::new(Mutex::new(Vec::new()));
    let participant = Notes {
        told: Arc::clone(&told),
        fail_seal,
    };
    let mut commit = GroupCommit::new(
        Arc::new(memory.clone()),
        &runtime(),
        participant,
        Box::new(|_| {}),
    );
    let (inbox, mut submissions) = mpsc::channel(100);
    let mut answers = Vec::new();
    for number in numbers {
        let (request, answer) = request(*number, AnsweredWhen::Readable);
        assert!(inbox.try_send(request).is_ok());
        answers.push(answer);
    }
    let first = submissions.try_recv().expect("a submission");
    let closing = futures::executor::block_on(commit.commit(first, &mut submissions)).is_err();
    let replies = answers
        .into_iter()
        .map(|mut answer| answer.try_recv().expect("answered"))
        .collect();
    let told = told.lock().expect("no panic holds it").clone();
    OneGroup {
        told,
        replies,
        closing,
    }
}

/// A database on servers, whose rows can be read when it is let.
struct Gated {
    memory: MemoryKv,
    gate: Mutex<Option<oneshot::Receiver<()>>>,
}

impl KvRead for Gated {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.memory.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        self.memory.scan(space, start, end, direction, limit)
    }
}

impl Kv for Gated {
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        self.memory.snapshot()
    }

    fn write(&self, batch: KvBatch) -> Result<(), KvError> {
        self.memory.write(batch)
    }

    fn sync(&self) -> Result<(), KvError> {
        self.memory.sync()
    }

    fn far(&self) -> Option<&dyn FarKv> {
        Some(self)
    }

    fn free_bytes(&self) -> Result<u64, KvError> {
        self.memory.free_bytes()
    }

    fn folder(&self) -> std::path::PathBuf {
        self.memory.folder()
    }
}

impl FarKv for Gated {
    fn fetch(&self, _: Vec<Vec<u8>>) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn commit(&self, batch: KvBatch) -> BoxFuture<'_, Result<Settling<'_>, KvError>> {
        let written = self.write(batch).and_then(|()| self.sync());
        let gate = self.gate.lock().expect("no panic holds it").take();
        let settling = async move {
            gate.expect("one group").await.map_err(|_| KvError::Failed {
                folder: self.folder(),
            })
        };
        std::future::ready(written.map(|()| settling.boxed())).boxed()
    }
}

/// One that waits for nothing but that it is durable is answered before the rows are there, the
/// others behind it; and when these do not come, the others hear of it and the writer ends.
#[tokio::test]
async fn attempts_do_not_wait_for_rows_on_servers() {
    for comes in [true, false] {
        let (open, gate) = oneshot::channel();
        let gated = Gated {
            memory: MemoryKv::new(),
            gate: Mutex::new(Some(gate)),
        };
        let participant = Notes {
            told: Arc::default(),
            fail_seal: false,
        };
        let mut commit =
            GroupCommit::new(Arc::new(gated), &runtime(), participant, Box::new(|_| {}));
        let (inbox, mut submissions) = mpsc::channel(2);
        let (first, mut readable) = request(2, AnsweredWhen::Readable);
        let (second, mut durable) = request(4, AnsweredWhen::Durable);
        assert!(inbox.try_send(second).is_ok());
        let mut committing = Box::pin(commit.commit(first, &mut submissions));
        assert!(futures::poll!(&mut committing).is_pending());
        assert!(matches!(durable.try_recv(), Ok(Ok(8))));
        assert!(readable.try_recv().is_err(), "its rows are not there");
        if comes {
            open.send(()).expect("it waits");
        } else {
            drop(open);
        }
        assert_eq!(committing.await.is_ok(), comes);
        let answer = readable.try_recv().expect("it is answered");
        assert_eq!(answer.ok(), comes.then_some(4));
    }
}

fn journal(memory: &MemoryKv) -> Vec<Vec<u8>> {
    let all = memory.scan(Space::Journal, &[], &[0xff], Direction::Forward, 100);
    let keys = all.expect("scan").into_iter().map(|(key, _)| key);
    // When it was, which every group writes.
    keys.filter(|key| key != super::latest::KEY).collect()
}

#[tokio::test]
async fn one_that_fails_leaves_nothing_and_the_others_are_committed() {
    let memory = MemoryKv::new();
    let group = one_group(&memory, false, &[2, 3, 4]);
    memory.crash();
    assert_eq!(
        group.told,
        ["begin", "apply", "apply", "apply", "seal", "committed"]
    );
    let replies: Vec<_> = group.replies.into_iter().map(Result::ok).collect();
    assert_eq!(replies, [Some(4), None, Some(8)]);
    assert_eq!(journal(&memory), [vec![2], vec![4], b"sealed".to_vec()]);
    assert!(!group.closing);
}

#[tokio::test]
async fn a_group_that_cannot_be_sealed_is_not_written() {
    let memory = MemoryKv::new();
    let group = one_group(&memory, true, &[2, 4]);
    assert_eq!(group.told.last(), Some(&"aborted"));
    assert!(group.replies.iter().all(Result::is_err));
    assert!(journal(&memory).is_empty());
    assert!(!group.closing, "the disk is as good as before");
}

#[tokio::test]
async fn a_failed_write_or_sync_answers_everybody_and_closes() {
    let fail_write = |memory: &MemoryKv| memory.fail_write(1);
    let fail_sync = |memory: &MemoryKv| memory.fail_sync(1, Fate::Lost);
    for fail in [&fail_write as &dyn Fn(&MemoryKv), &fail_sync] {
        let memory = MemoryKv::new();
        fail(&memory);
        let group = one_group(&memory, false, &[2, 4]);
        assert_eq!(group.told.last(), Some(&"aborted"));
        assert!(
            group
                .replies
                .iter()
                .all(|reply| matches!(reply, Err(StoreError::Backend { .. })))
        );
        assert!(group.closing);
        memory.crash();
        assert!(journal(&memory).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_the_store_stays_closed() {
    let memory = MemoryKv::new();
    let Embedded {
        log, mut closed, ..
    } = in_memory(&memory);
    let control = crate::log::Topic::Control;
    let append = |byte: u8| log.append(control, schemas::Partition(0), vec![vec![byte]]);
    assert_eq!(append(1).await.expect("append"), 0);
    memory.fail_sync(1, Fate::Lost);
    assert!(append(2).await.is_err());
    assert!(matches!(
        closed.wait().await,
        WriterEnd::Failed(StoreError::Backend { .. })
    ));
    for late in join_all((3..9).map(append)).await {
        assert!(matches!(late, Err(crate::log::LogError::Closed)));
    }
    memory.crash();
    let again = in_memory(&memory);
    let end = again.log.end(control, schemas::Partition(0)).await;
    assert_eq!(end.expect("end"), 1, "what was answered and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_space_left_outcomes_pass_and_intakes_do_not() {
    let memory = MemoryKv::new();
    let embedded = in_memory(&memory);
    let operations = embedded.participant.operations();
    let put = |admission, key: &'static [u8]| {
        operations.run(admission, move |overlay| {
            overlay.put_raw(Space::Rows, key.to_vec(), vec![0; 100]);
            Ok(())
        })
    };
    memory.set_free_bytes((64 << 20) - 1);
    let refused = put(Admission::Intake, b"a").await;
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })));
    put(Admission::Outcome, b"b").await.expect("it passes");
    memory.set_free_bytes(64 << 20);
    put(Admission::Intake, b"c")
        .await
        .expect("there is space again");
    memory.set_free_bytes(10);
    let failed = put(Admission::Outcome, b"d").await;
    assert!(matches!(failed, Err(StoreError::DiskFull { .. })));
    let mut closed = embedded.closed.clone();
    assert!(matches!(closed.wait().await, WriterEnd::Failed(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_writer_is_told() {
    let memory: Arc<dyn Kv> = Arc::new(MemoryKv::new());
    let (submitter, mut closed) =
        writer::start(memory, &runtime(), writer::NoParticipant, Box::new(|_| {}));
    let operations = submitter.operations();
    let lost = operations.run(Admission::Outcome, |_| -> Result<(), StoreError> {
        panic!("on purpose")
    });
    assert!(matches!(lost.await, Err(StoreError::Closed)));
    assert!(matches!(closed.wait().await, WriterEnd::Failed(_)));
}

#[tokio::test]
async fn those_who_wait_for_the_end_hear_it_in_their_order() {
    let memory: Arc<dyn Kv> = Arc::new(MemoryKv::new());
    let (submitter, closed) =
        writer::start(memory, &runtime(), writer::NoParticipant, Box::new(|_| {}));
    let mut waiting: FuturesUnordered<_> = (0..16)
        .map(|place| {
            let mut closed = closed.clone();
            async move {
                closed.wait().await;
                place
            }
        })
        .collect();
    let begun = futures::poll!(waiting.next());
    assert!(begun.is_pending());
    drop(submitter);
    let heard: Vec<_> = waiting.collect().await;
    assert!(heard.is_sorted(), "{heard:?}");
}
