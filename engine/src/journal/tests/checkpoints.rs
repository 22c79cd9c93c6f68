//! When checkpoints are written, and that a start from one knows what was open.

use std::sync::Arc;

use schemas::{Body, Envelope};

use super::super::checkpoint::{self, CHECKPOINT_EVERY};
use super::{Owner, PARTITION, Verdict, at, begun, envelope};
use crate::store::overlay::Overlay;

impl Owner {
    /// The last record that a checkpoint includes.
    fn checkpointed(&self) -> u64 {
        let read = checkpoint::read(&mut Overlay::new(&self.memory), PARTITION);
        read.expect("memory can be read").sequence
    }
}

fn with_body(number: u8, characters: usize) -> Arc<Envelope> {
    let short = envelope(number, number, None);
    Arc::new(Envelope {
        body: Body::new("x".repeat(characters)),
        ..(*short).clone()
    })
}

/// Short records, each a text's beginning, until there are enough of them.
#[test]
fn one_is_written_after_so_many_records() {
    let (records, bytes) = CHECKPOINT_EVERY;
    let mut owner = Owner::new();
    for number in 1..=records {
        assert_eq!(owner.checkpointed(), 0);
        let text = with_body(u8::try_from(number).expect("few"), 10);
        assert_eq!(owner.commit(begun(&text, 1, at(0))), Verdict::Done);
        assert!(number * 500 < bytes as u64);
    }
    assert_eq!(owner.checkpointed(), records);
    owner.crash();
    assert_eq!(owner.open_attempts().len() as u64, records);
}

/// Long ones are not waited for.
#[test]
fn one_is_written_after_so_many_bytes() {
    let (records, bytes) = CHECKPOINT_EVERY;
    let mut owner = Owner::new();
    for number in 1..=8_u8 {
        // Four of them pass the bound.
        assert_eq!(owner.checkpointed(), u64::from((number - 1) / 4 * 4));
        let text = with_body(number, bytes / 4);
        assert_eq!(owner.commit(begun(&text, 1, at(0))), Verdict::Done);
    }
    assert!(records > 8);
    assert_eq!(owner.checkpointed(), 8);
    owner.crash();
    assert_eq!(owner.open_attempts().len(), 8);
}
