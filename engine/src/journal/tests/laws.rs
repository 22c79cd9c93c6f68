//! Random lives: whatever is handed to the journal in whatever order, and wherever it
//! is cut off, these laws hold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::change::{AfterAttempt, Change, Learnt, SkippedRecipient};
use schemas::message::{Binding, DueKind};
use schemas::provider::{AttemptRef, RejectClass, SubmitOutcome};
use schemas::status::ReceiptStatus;
use schemas::{CampaignId, Envelope, Message, MessageStatus, StatusEvent, UnixMicros};
use std::sync::Arc;

use super::model::{Ending, Modelled, Step, Text, step};
use super::{Owner, PARTITION, Request, Verdict};
use super::{accepted, at, attempt, begun, campaign, ended, envelope, provider, receipt, unknown};

/// What is done in turn.
#[derive(Clone, Debug)]
enum Act {
    /// One durable commit.
    Commit(usize, Step),
    /// A commit that a crash takes back: nobody was told of it.
    Lose(usize, Step),
    /// A crash between commits.
    Crash,
    /// A checkpoint.
    Checkpoint,
}

/// A step about one of the messages. Only a single message can have a `send_at`.
fn about() -> impl Strategy<Value = (usize, Step)> {
    (0_usize..4, step()).prop_map(|(message, step)| {
        if matches!(step, Step::Schedule) {
            (SINGLE, step)
        } else {
            (message, step)
        }
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => about().prop_map(|(message, step)| Act::Commit(message, step)),
        2 => about().prop_map(|(message, step)| Act::Lose(message, step)),
        1 => Just(Act::Crash),
        1 => Just(Act::Checkpoint),
    ]
}

/// The one that belongs to no campaign.
const SINGLE: usize = 3;

/// Four messages: two of campaign 1, one of campaign 2 and one of none; two people get
/// two each.
struct World {
    owner: Owner,
    messages: Vec<(Arc<Envelope>, Modelled)>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let messages = [
            envelope(0, 0, Some(campaign(1))),
            envelope(1, 0, Some(campaign(2))),
            envelope(2, 1, Some(campaign(1))),
            envelope(3, 1, None),
        ];
        let mut owner = Owner::new();
        for (number, entries) in [(1, 2), (2, 1)] {
            let frozen = Change::AudienceFrozen {
                campaign: campaign(number),
                chunk: 0,
                entries,
                last: true,
            };
            assert_eq!(owner.commit(frozen), Verdict::Done);
        }
        let with_model = |envelope| (envelope, Modelled::new());
        Self {
            owner,
            messages: messages.into_iter().map(with_model).collect(),
            now: 0,
        }
    }

    fn row(&self, index: usize) -> Option<Message> {
        self.owner.message(&self.messages[index].0)
    }

    fn change(&mut self, index: usize, step: &Step) -> Change {
        self.now += 1;
        let now = at(self.now);
        let (envelope, model) = &self.messages[index];
        let (account, message) = (envelope.account, envelope.id);
        match step {
            Step::Schedule => Change::Scheduled {
                envelope: Arc::clone(envelope),
                at: at(self.now + 5),
            },
            Step::Begin(off) => begun(envelope, (model.made + 1).saturating_add_signed(*off), now),
            Step::End(ending, right) => {
                let number = model.open.unwrap_or(1) + u32::from(!*right);
                end(index, attempt(envelope, number), *ending, now)
            }
            Step::Receipt {
                back,
                named,
                text,
                status,
                learnt,
            } => {
                let number = model.made.saturating_sub(*back).max(1);
                let named = named.then(|| attempt(envelope, number));
                receipt(named, &text_id(index, *text, number), *status, *learnt, now)
            }
            Step::Resend => Change::Resend {
                account,
                message,
                due: now,
                at: now,
            },
            Step::NoReceipt => Change::NoReceipt {
                account,
                message,
                at: now,
            },
            Step::Skip => Change::Skipped {
                recipient: SkippedRecipient::Message(Arc::clone(envelope)),
                reason: "opted_out".to_owned(),
                at: now,
            },
            Step::ValidityEnded => Change::ValidityEnded {
                envelope: Arc::clone(envelope),
                at: now,
            },
            Step::LookedUp => Change::LookedUp {
                account,
                message,
                made: 1,
                next: Some(at(self.now + 10)),
                at: now,
            },
        }
    }

    /// Commits one step and holds the outcome against the model and the laws.
    fn commit(&mut self, index: usize, step: &Step) {
        let before = self.row(index);
        let was_open = self.messages[index].1.open.is_some();
        let is_allowed = self.search_may_settle(index, step);
        let change = self.change(index, step);
        let verdict = self.owner.commit(change);
        let row = self.row(index);
        let model = &mut self.messages[index].1;
        let taken = !matches!(verdict, Verdict::Refused(_));
        if let Some(expected) = model.takes(step) {
            assert_eq!(taken, expected, "{step:?} on {model:?}: {verdict:?}");
            if taken {
                model.apply(step);
            }
        }
        assert!(!taken || is_allowed, "a search took what is not its own");
        let status = row.as_ref().map(|row| row.status);
        match step {
            Step::Receipt {
                back,
                named,
                status: told,
                ..
            } => {
                let before = before.as_ref();
                if was_open {
                    assert_eq!(before, row.as_ref(), "receipts wait for the outcome");
                }
                let is_old = *named && *back > 0 && model.made > 1;
                if is_old && *told != Some(ReceiptStatus::Delivered) {
                    let before = before.map(|row| row.status);
                    assert_eq!(
                        before, status,
                        "an earlier attempt's receipt decides nothing"
                    );
                }
                self.follow_receipt();
            }
            Step::End(ending, _) if taken => {
                let told = before.map_or(0, |row| row.timeline.len());
                let row = row.expect("an outcome writes the row");
                let leaves = ending.leaves();
                let mut new = row.timeline.iter().skip(told);
                assert!(new.any(|entry| entry.status == leaves), "{ending:?}");
                model.status = row.status;
            }
            Step::Schedule
            | Step::Begin(_)
            | Step::End(..)
            | Step::Resend
            | Step::NoReceipt
            | Step::Skip
            | Step::ValidityEnded
            | Step::LookedUp => {}
        }
    }

    /// A receipt may be about another message than the one it was made up for, where a
    /// search has given that one the text.
    fn follow_receipt(&mut self) {
        for index in 0..self.messages.len() {
            if let Some(row) = self.row(index) {
                self.messages[index].1.status = row.status;
            }
        }
    }

    /// What a search may do: settle an unknown message with a text that is bound to no
    /// other attempt, while nothing is open to that number.
    fn search_may_settle(&self, index: usize, step: &Step) -> bool {
        let Step::Receipt {
            learnt: Learnt::Search,
            text,
            ..
        } = step
        else {
            return true;
        };
        let (envelope, model) = &self.messages[index];
        let same_number = |other: &&(Arc<Envelope>, Modelled)| other.0.to == envelope.to;
        let mut rivals = self.messages.iter().filter(same_number);
        if rivals.any(|(_, rival)| rival.open.is_some()) {
            return false;
        }
        let id = text_id(index, *text, model.made.max(1));
        let bound = self.owner.row::<Binding>(&Binding::key_of(provider(), &id));
        let own = attempt(envelope, model.made);
        bound.is_none_or(|binding| binding.attempt == own)
    }

    fn check(&self, earlier: &mut BTreeMap<usize, MessageStatus>) {
        for (index, (_, model)) in self.messages.iter().enumerate() {
            let Some(row) = self.row(index) else {
                assert!(!model.written, "a row is missing");
                continue;
            };
            assert_eq!(row.status, model.status);
            assert_eq!(
                row.attempts,
                if model.open.is_some() {
                    row.attempts
                } else {
                    model.made
                }
            );
            if let Some(ended) = earlier.get(&index) {
                assert_eq!(row.status, *ended, "a final state is final");
            }
            if row.status.is_final() {
                earlier.insert(index, row.status);
            }
            assert_gap_free(&row);
        }
        for number in [1, 2] {
            self.check_tally(campaign(number));
        }
    }

    fn check_tally(&self, id: CampaignId) {
        let tally = self.owner.tally(id);
        assert!(tally.is_exact(), "{tally:?}");
        let mut counted = BTreeMap::new();
        for (_, model) in self.messages.iter().filter(|(e, _)| e.campaign == Some(id)) {
            *counted.entry(model.counted()).or_insert(0) += 1;
        }
        assert_eq!(
            tally.by_status, counted,
            "the numbers are those of the rows"
        );
    }

    /// Starts anew and finds the same attempts open, with the same early receipts.
    fn crash(&mut self) {
        let before = self.owner.open_attempts();
        self.owner.crash();
        assert_eq!(self.owner.open_attempts(), before);
        let modelled = self.messages.iter().filter_map(|(envelope, model)| {
            let open = attempt(envelope, model.open?);
            Some((envelope.id, open))
        });
        let open = before
            .iter()
            .map(|open| (open.attempt.message, open.attempt));
        let modelled: BTreeMap<_, AttemptRef> = modelled.collect();
        assert_eq!(open.collect::<BTreeMap<_, _>>(), modelled);
    }
}

/// The provider's id of the text of an attempt.
fn text_id(index: usize, text: Text, number: u32) -> String {
    match text {
        Text::Own => format!("SM{index}-{number}"),
        Text::Other(other) => format!("SM{other}-{number}"),
        Text::Foreign => format!("SM{index}-foreign"),
    }
}

fn end(index: usize, attempt: AttemptRef, ending: Ending, now: UnixMicros) -> Change {
    let throttled = || SubmitOutcome::Throttled {
        retry_after_ms: None,
        code: "20429".to_owned(),
    };
    let later = now.plus_micros(5_000_000);
    let (outcome, then) = match ending {
        Ending::Accepted => {
            let id = text_id(index, Text::Own, attempt.attempt);
            (accepted(&id), AfterAttempt::LookUpAt(later))
        }
        Ending::Rejected => {
            let rejected = SubmitOutcome::Rejected {
                class: RejectClass::Recipient,
                code: "21211".to_owned(),
            };
            (rejected, AfterAttempt::Settle)
        }
        Ending::Retry => (throttled(), AfterAttempt::RetryAt(later)),
        Ending::GiveUp => (throttled(), AfterAttempt::GiveUp),
        Ending::Expire => (throttled(), AfterAttempt::Expire),
        Ending::Return => {
            let returned = SubmitOutcome::NotSent {
                cause: "returned".to_owned(),
            };
            (returned, AfterAttempt::Return(now))
        }
        Ending::Unknown => (unknown(), AfterAttempt::LookUpAt(later)),
    };
    ended(attempt, outcome, then, now)
}

/// Every entry's state follows from the one before by an edge of the table, or is the
/// same; the first is where messages begin and the last where this one stands.
fn assert_gap_free(row: &Message) {
    let events = [
        StatusEvent::Due,
        StatusEvent::AttemptBegun,
        StatusEvent::SubmitAccepted,
        StatusEvent::SubmitRejected,
        StatusEvent::RetryPlanned,
        StatusEvent::GivenUp,
        StatusEvent::OutcomeUnknown,
        StatusEvent::NoReceipt,
        StatusEvent::Resend,
        StatusEvent::Skip,
        StatusEvent::ValidityEnded,
        StatusEvent::Cancel,
    ];
    let receipts = ReceiptStatus::ALL.map(StatusEvent::Receipt);
    let events: Vec<_> = events.into_iter().chain(receipts).collect();
    let first = row.timeline.first().expect("a life begins").status;
    assert!(first.has_not_begun(), "{first:?}");
    for pair in row.timeline.windows(2) {
        let (from, to) = (pair[0].status, pair[1].status);
        let edge = events.iter().any(|event| from.next(*event) == Some(to));
        assert!(from == to || edge, "{from:?} to {to:?}");
    }
    assert_eq!(
        row.timeline.last().map(|entry| entry.status),
        Some(row.status)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Against the model: what may be done is done and nothing else, final states are
    /// final, the numbers are exact and those of the rows, timelines have no gap, and a
    /// crash takes back what nobody was told of and nothing else.
    #[test]
    fn lives_obey_the_model(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        let mut ended = BTreeMap::new();
        for act in acts {
            match act {
                Act::Commit(index, step) => world.commit(index, &step),
                Act::Lose(index, step) => {
                    let (rows, open): (Vec<_>, _) =
                        ((0..4).map(|index| world.row(index)).collect(), world.owner.open_attempts());
                    let change = world.change(index, &step);
                    let _ = world.owner.write(Request::Commit(vec![(PARTITION, change)]));
                    world.owner.crash();
                    prop_assert_eq!(world.owner.open_attempts(), open);
                    prop_assert_eq!((0..4).map(|index| world.row(index)).collect::<Vec<_>>(), rows);
                }
                Act::Crash => world.crash(),
                Act::Checkpoint => {
                    let _ = world.owner.write(Request::Checkpoint);
                    world.owner.memory_synced();
                }
            }
            world.check(&mut ended);
        }
        prop_assert!(world.owner.rebuilds());
    }

    /// Groups of several changes, marks raised between them, crashes and checkpoints
    /// anywhere: the projections made again from the journal are the stored ones.
    #[test]
    fn replaying_gives_equal_rows(
        groups in prop::collection::vec(
            (prop::collection::vec(about(), 1..6), any::<bool>(), 0_u8..10),
            1..20,
        ),
    ) {
        let mut world = World::new();
        for (steps, raises, end) in groups {
            let mut changes = Vec::new();
            for (index, step) in &steps {
                let row = world.row(*index);
                let open = world.owner.open_attempts();
                let model = &mut world.messages[*index].1;
                model.made = row.map_or(0, |row| row.attempts);
                let id = world.messages[*index].0.id;
                let open = open.iter().find(|open| open.attempt.message == id);
                world.messages[*index].1.open = open.map(|open| open.attempt.attempt);
                changes.push(world.change(*index, step));
            }
            if raises {
                let to = at(world.now + 30);
                for kind in DueKind::ALL {
                    let _ = world.owner.write(Request::RaiseDueMark { partition: PARTITION, kind, to });
                }
            }
            let _ = world.owner.commit_all(changes);
            match end {
                0 => {
                    let open = world.owner.open_attempts();
                    world.owner.crash();
                    prop_assert_eq!(world.owner.open_attempts(), open);
                }
                1 => {
                    let _ = world.owner.write(Request::Checkpoint);
                    world.owner.memory_synced();
                }
                _ => {}
            }
            for number in [1, 2] {
                let tally = world.owner.tally(campaign(number));
                prop_assert!(tally.is_exact(), "{:?}", tally);
            }
        }
        prop_assert!(world.owner.rebuilds());
    }
}
