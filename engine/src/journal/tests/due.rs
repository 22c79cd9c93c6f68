//! Due entries: nothing is appended behind their reader, nothing is read twice once the
//! cursor has passed it, and nothing is lost, whatever the clock does between starts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use schemas::change::{AfterAttempt, Change};
use schemas::due::{DueKind, DueLookUps};
use schemas::position::{CommittedPosition, SourceId};
use schemas::{MessageId, UnixMicros};

use super::{Owner, PARTITION, Request, Verdict};
use super::{SECOND, at, attempt, begun, ended, envelope, unknown};

/// What happens, seconds from the clock's start.
#[derive(Clone, Debug)]
enum Act {
    /// An attempt ends and asks to look at its message this many seconds from now.
    Append(i64),
    /// The reader reads what is due, and its cursor is committed or not.
    Read(bool),
    /// Time goes by.
    Wait(i64),
    /// The node crashes; its clock is set this far on or back when it starts again.
    Crash(i64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_i64..100).prop_map(Act::Append),
        4 => any::<bool>().prop_map(Act::Read),
        3 => (1_i64..90).prop_map(Act::Wait),
        1 => (-200_i64..200).prop_map(Act::Crash),
    ]
}

/// A reader and what it has seen.
struct Reader {
    owner: Owner,
    now: i64,
    appended: BTreeSet<MessageId>,
    /// What a committed cursor has passed.
    passed: BTreeSet<MessageId>,
    number: u8,
}

impl Reader {
    fn new() -> Self {
        let mut owner = Owner::new();
        // As a node does at its first start.
        let position = as_position(at(0));
        assert_eq!(owner.commit(advanced(position)), Verdict::Done);
        Self {
            owner,
            now: 0,
            appended: BTreeSet::new(),
            passed: BTreeSet::new(),
            number: 0,
        }
    }

    fn append(&mut self, delay: i64) {
        self.number += 1;
        let message = envelope(self.number, self.number, None);
        let now = at(self.now);
        let then = AfterAttempt::LookUpAt(at(self.now + delay));
        let changes = vec![
            begun(&message, 1, now),
            ended(attempt(&message, 1), unknown(), then, now),
        ];
        assert_eq!(self.owner.commit_all(changes), [Verdict::Done; 2]);
        self.appended.insert(message.id);
    }

    fn position(&self) -> u64 {
        let key = CommittedPosition::key_of(PARTITION, &SourceId::Due(DueKind::LookUp));
        let row = self.owner.row::<CommittedPosition>(&key);
        row.expect("it was opened").position
    }

    /// Reads from the committed cursor up to now.
    fn read(&mut self, commits: bool) {
        let now = at(self.now);
        let _ = self.owner.write(Request::RaiseDueMark {
            partition: PARTITION,
            kind: DueKind::LookUp,
            to: now,
        });
        let from = self.position();
        let due = self
            .entries()
            .into_iter()
            .filter(|entry| as_position(entry.due) >= from && entry.due <= now);
        let read: Vec<MessageId> = due.flat_map(messages).collect();
        for id in &read {
            assert!(!self.passed.contains(id), "read again behind the cursor");
        }
        if commits {
            let to = as_position(now.plus_micros(1));
            let verdict = self.owner.commit(advanced(to));
            assert_eq!(verdict == Verdict::Done, to > from);
            self.passed.extend(read);
        }
    }

    fn entries(&self) -> Vec<DueLookUps> {
        self.owner.rows(&[])
    }

    /// Whatever was appended was read or can still be.
    fn check(&self) {
        let from = self.position();
        let entries = self.entries();
        let ahead = entries
            .into_iter()
            .filter(|entry| as_position(entry.due) >= from);
        let ahead: BTreeSet<MessageId> = ahead.flat_map(messages).collect();
        for id in &self.appended {
            let is_ahead = ahead.contains(id);
            assert!(is_ahead != self.passed.contains(id), "lost or kept twice");
        }
    }
}

fn messages(row: DueLookUps) -> impl Iterator<Item = MessageId> {
    row.look_ups.into_iter().map(|look_up| look_up.message)
}

fn as_position(instant: UnixMicros) -> u64 {
    u64::try_from(instant.0).expect("after 1970")
}

fn advanced(position: u64) -> Change {
    let source = SourceId::Due(DueKind::LookUp);
    Change::Advanced { source, position }
}

proptest! {
    #[test]
    fn due_entries_are_read_once_and_none_is_lost(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut reader = Reader::new();
        for act in acts {
            match act {
                Act::Append(delay) => reader.append(delay),
                Act::Read(commits) => reader.read(commits),
                Act::Wait(seconds) => reader.now += seconds,
                Act::Crash(jump) => {
                    reader.owner.memory_synced();
                    reader.owner.crash();
                    reader.now = (reader.now + jump).max(0);
                }
            }
            reader.check();
        }
        // Past everything that can be due: all of it is read, and nothing is left.
        reader.now += 1_000;
        reader.read(true);
        prop_assert_eq!(&reader.passed, &reader.appended);
        prop_assert_eq!(reader.entries().len(), 0, "what was handled is dropped");
        prop_assert!(reader.owner.rebuilds());
    }
}

#[test]
fn a_clock_set_back_at_a_start_loses_nothing() {
    let mut reader = Reader::new();
    reader.now = 1_000;
    reader.read(true);
    reader.owner.crash();
    reader.now = 10;
    reader.append(3);
    reader.check();
    let [entry] = reader.entries().try_into().expect("one entry");
    assert!(as_position(entry.due) >= reader.position());
    assert!(
        entry.due.0 - at(1_000).0 < SECOND,
        "and not later than need be"
    );
}
