//! Reading past poison: a message whose reading panics, be it that its text cannot be made,
//! must not stop those behind it.
//!
//! A part of a source is read at once. Only when that panics its messages are read one by one,
//! so that nothing is paid where nothing panics. One that panics again is tried three times in
//! all, some moments apart, and then put aside; the others are read.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use engine::dispatch::{Origin, audience};
use engine::journal::POISON;
use engine::log::Topic;
use futures::FutureExt;
use schemas::change::{Change, SkippedRecipient};
use schemas::due::DueEntry;
use schemas::message::{Intake, message_key};
use schemas::position::AudiencePosition;
use schemas::{Envelope, Message, MessageClass, Partition};

use super::due::due_page;
use super::source::{Batch, Kind, ReadError, Readers, due_origin, work_item};

/// Between the first time that reading panics and the second, and between that and the last:
/// long enough for what has befallen the process as a whole to be over.
pub(crate) const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// Messages in a part that may be tried three times. Where more panic it is no single message's
/// fault, and the others must not wait for each of them.
const TRIED_AGAIN: usize = 3;

impl Readers {
    /// Reads the next part of a source.
    ///
    /// # Errors
    /// When the store, log or journal fails.
    pub async fn read(
        &self,
        partition: Partition,
        kind: &Kind,
        from: u64,
        limit: usize,
    ) -> Result<Batch, ReadError> {
        let part = AssertUnwindSafe(self.read_part(partition, kind, from, limit));
        if let Ok(batch) = part.catch_unwind().await {
            return batch;
        }
        tracing::error!("reading what is to be sent panicked; it is read one by one");
        let one = |from| self.read_part(partition, kind, from, 1);
        let pass_over = |from| self.pass_over(partition, kind, from);
        let pause = |wait| self.runtime.sleep(wait);
        // The next chunk may not be counted yet.
        let chunk = |position| AudiencePosition::from_number(position).chunk;
        let is_audience = matches!(kind, Kind::Audience { .. });
        let is_end = |next| is_audience && chunk(next) != chunk(from);
        one_by_one((from, limit), is_end, one, pass_over, pause).await
    }

    /// What is written of the next message of a source whose reading panics.
    async fn pass_over(
        &self,
        partition: Partition,
        kind: &Kind,
        from: u64,
    ) -> Result<Batch, ReadError> {
        tracing::error!("a message is put aside: reading it panics");
        match kind {
            Kind::Work(class) => self.pass_over_work(partition, *class, from).await,
            Kind::Audience { plan, .. } => {
                let passed = audience::pass_over(&self.chunks, plan, partition, from, POISON);
                let Some(page) = passed.await? else {
                    return Ok(Batch::at(from));
                };
                let mut batch = Batch::at(page.next);
                batch.more = true;
                let at = self.runtime.now();
                for item in page.items {
                    batch.take(item, at);
                }
                Ok(batch)
            }
            Kind::Due => self.pass_over_due(partition, from).await,
        }
    }

    async fn pass_over_work(
        &self,
        partition: Partition,
        class: MessageClass,
        from: u64,
    ) -> Result<Batch, ReadError> {
        let records = self
            .log
            .read(Topic::Work(class), partition, from, 1)
            .await?;
        let mut batch = Batch::at(from);
        for (offset, payload) in records {
            (batch.next, batch.more) = (offset + 1, true);
            let (origin, key) = work_item(partition, class, offset, &payload)?;
            match self.store.get::<Intake>(&key).await? {
                Some(intake) => self.put_aside(&mut batch, origin, intake.envelope),
                None => batch.handled.push(origin),
            }
        }
        Ok(batch)
    }

    async fn pass_over_due(&self, partition: Partition, from: u64) -> Result<Batch, ReadError> {
        let now = self.runtime.now();
        let page = due_page::<DueEntry>(self, partition, from, now, 1).await?;
        let mut batch = Batch::at(page.next);
        batch.more = page.more;
        for entry in page.rows {
            let origin = due_origin(partition, &entry);
            let key = message_key(entry.account, entry.message);
            match self.store.get::<Message>(&key).await? {
                Some(message) if message.status.has_not_begun() => {
                    self.put_aside(&mut batch, origin, message.envelope);
                }
                Some(_) | None => batch.handled.push(origin),
            }
        }
        Ok(batch)
    }

    fn put_aside(&self, batch: &mut Batch, origin: Origin, envelope: Arc<Envelope>) {
        let skipped = Change::Skipped {
            recipient: SkippedRecipient::Message(envelope),
            reason: POISON.to_owned(),
            at: self.runtime.now(),
        };
        batch.settled.push((origin, skipped));
    }
}

/// Reads up to `limit` messages from `from` on, each by itself, but not past an end. Each of
/// them was tried once before, with the others.
async fn one_by_one<Read, Passed, Slept>(
    (from, limit): (u64, usize),
    is_end: impl Fn(u64) -> bool,
    read: impl Fn(u64) -> Read,
    pass_over: impl Fn(u64) -> Passed,
    pause: impl Fn(Duration) -> Slept,
) -> Result<Batch, ReadError>
where
    Read: Future<Output = Result<Batch, ReadError>>,
    Passed: Future<Output = Result<Batch, ReadError>>,
    Slept: Future<Output = ()>,
{
    let (mut all, mut positions, mut panicked) = (Batch::at(from), 0, 0);
    let tried = |from| AssertUnwindSafe(read(from)).catch_unwind();
    pause(PAUSES[0]).await;
    while positions < limit {
        let mut one = tried(all.next).await;
        if one.is_err() && panicked < TRIED_AGAIN {
            pause(PAUSES[1]).await;
            one = tried(all.next).await;
        }
        let one = match one {
            Ok(one) => one?,
            Err(_) => {
                panicked += 1;
                pass_over(all.next).await?
            }
        };
        let is_last = one.next == all.next || !one.more || is_end(one.next);
        positions += one.origins().count();
        all.append(one);
        if is_last {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use schemas::MessageId;
    use schemas::position::SourceId;

    use super::*;

    fn one(position: u64) -> Batch {
        let origin = Origin {
            partition: Partition(0),
            source: SourceId::Work(MessageClass::Marketing),
            position,
            message: MessageId::from_bytes([1; 16]),
        };
        let mut batch = Batch::at(position + 1);
        batch.handled.push(origin);
        batch.more = true;
        batch
    }

    /// Reads 20 messages, those with these places panicking, and the first of them only so
    /// often; tells where they were read and how often each was tried.
    fn read(poison: &[u64], panics: u32) -> (Batch, Vec<u64>, BTreeMap<u64, u32>) {
        let (passed, tries) = (RefCell::new(Vec::new()), RefCell::new(BTreeMap::new()));
        let read = |position| {
            let times = tries
                .borrow_mut()
                .entry(position)
                .and_modify(|n| *n += 1)
                .or_insert(1_u32)
                .to_owned();
            let panics = poison.contains(&position) && times <= panics;
            async move {
                if panics {
                    std::panic::resume_unwind(Box::new("planned"));
                }
                Ok(one(position))
            }
        };
        let pass_over = |position| {
            passed.borrow_mut().push(position);
            async move { Ok(one(position)) }
        };
        let all = one_by_one((10, 20), |_| false, read, pass_over, |_| async {});
        let all = all
            .now_or_never()
            .expect("nothing waits")
            .expect("it is read");
        (all, passed.into_inner(), tries.into_inner())
    }

    #[test]
    fn what_panics_each_time_is_passed_over_and_its_neighbours_are_read() {
        let (all, passed, tries) = read(&[13, 29], u32::MAX);
        assert_eq!(passed, [13, 29]);
        let read: Vec<_> = all.origins().map(|origin| origin.position).collect();
        assert_eq!(read, (10..30).collect::<Vec<_>>());
        assert_eq!(all.next, 30);
        // And once before, with the others.
        let again = tries.iter().filter(|(_, tries)| **tries > 1);
        assert_eq!(again.collect::<Vec<_>>(), [(&13, &2), (&29, &2)]);
    }

    #[test]
    fn what_panics_once_or_twice_is_read() {
        let (all, passed, _) = read(&[13], 1);
        assert_eq!(passed, [] as [u64; 0]);
        assert_eq!(all.origins().count(), 20);
    }

    #[test]
    fn where_all_panic_only_the_first_are_tried_again() {
        let poison: Vec<_> = (10..30).collect();
        let (_, passed, tries) = read(&poison, u32::MAX);
        assert_eq!(passed.len(), 20);
        assert_eq!(
            tries.values().filter(|tries| **tries > 1).count(),
            TRIED_AGAIN
        );
    }
}
