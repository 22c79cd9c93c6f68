//! Reading an old book back: texts can be fetched again, and receipts that were
//! planned and not yet tried go on.

use super::receipts::{DueReceipt, PlannedReceipt};
use super::texts::{Course, Text, TextId, hash, mix, number_of};
use super::{AccountIndex, Core, hold};
use crate::book::{CourseRecord, ReceiptRecord, Record, TextRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The receipts of one text that are still to be tried.
struct Open {
    account: AccountIndex,
    to: Arc<str>,
    from: Arc<str>,
    callback: Arc<str>,
    planned: Vec<(u8, PlannedReceipt)>,
}

/// A core being filled from a book, record by record.
pub struct Restore {
    core: Core,
    open: BTreeMap<TextId, Open>,
}

impl Restore {
    /// Begins with a fresh core.
    pub fn of(core: Core) -> Self {
        Self {
            core,
            open: BTreeMap::new(),
        }
    }

    /// Applies one record. Those of accounts that are no longer configured are passed over.
    pub fn apply(&mut self, record: &Record<'_>) {
        match record {
            Record::Start(start) => self.core.run = start.run.saturating_add(1),
            Record::Text(text) => {
                self.text(text);
            }
            Record::Receipt(receipt) => {
                self.receipt(receipt);
            }
            Record::Stall(_) | Record::Stop(_) => {}
        }
    }

    /// Puts the open receipts into the schedule and returns the core.
    pub fn finish(self) -> Core {
        let mut schedule = hold(&self.core.schedule);
        for (text, open) in self.open {
            for (place, planned) in open.planned {
                schedule.add(DueReceipt {
                    account: open.account,
                    text,
                    place,
                    planned,
                    to: Arc::clone(&open.to),
                    from: Arc::clone(&open.from),
                    callback: Arc::clone(&open.callback),
                });
            }
        }
        drop(schedule);
        self.core
    }

    fn text(&mut self, record: &TextRecord<'_>) -> Option<()> {
        let index = self.core.account(&record.account)?;
        let account = self.core.accounts.get(index.0)?;
        let mut state = account.hold();
        state.counts.texts_arrived += 1;
        if record
            .refusal
            .is_some_and(|refusal| refusal != super::Refusal::OverLimit)
        {
            state.counts.refused += 1;
            return None;
        }
        state.arrived.add(record.at, record.segments);
        if record.refusal.is_some() {
            state.counts.throttled += 1;
            return None;
        }
        let to = number_of(&record.to)?;
        if let Some(fault) = record.fault {
            *state.counts.answer_faults.entry(fault).or_default() += 1;
        }
        if let Some(fault) = record.receipt_fault {
            *state.counts.receipt_faults.entry(fault).or_default() += 1;
        }
        let withheld = record
            .receipts
            .iter()
            .filter(|receipt| receipt.withheld)
            .count();
        state.counts.receipts_withheld += u64::try_from(withheld).unwrap_or(u64::MAX);
        let (Some(sid), Some(course)) = (record.sid.as_deref(), record.course) else {
            let key = mix(to) ^ hash(record.body.as_bytes());
            *state.missed.entry(key).or_default() += 1;
            return None;
        };
        let id = account.config.dialect.text_id(sid)?;
        let (run, number) = id.open(account.hash)?;
        let known = state.sender_number(&record.from);
        let from = known.or_else(|| {
            // A sender that is no longer configured is remembered for its texts.
            state.senders.push(record.from.as_ref().into());
            state.sender_number(&record.from)
        });
        let body = record.body.as_ref().into();
        let (at, segments) = (record.at, record.segments);
        let text = Text {
            to,
            at,
            body,
            run,
            from: from?,
            segments,
            course: course_of(at, course),
        };
        state.take(number, text);
        drop(state);
        let planned = (0..).zip(record.receipts.iter().copied());
        let planned: Vec<_> = planned.filter(|(_, receipt)| !receipt.withheld).collect();
        if let Some(callback) = record.callback.as_deref().filter(|_| !planned.is_empty()) {
            let open = Open {
                account: index,
                to: record.to.as_ref().into(),
                from: record.from.as_ref().into(),
                callback: callback.into(),
                planned,
            };
            self.open.insert(id, open);
        }
        Some(())
    }

    fn receipt(&mut self, record: &ReceiptRecord<'_>) -> Option<()> {
        let account = self
            .core
            .accounts
            .get(self.core.account(&record.account)?.0)?;
        let id = account.config.dialect.text_id(&record.sid)?;
        account.hold().counts.receipt(record.result);
        let open = self.open.get_mut(&id)?;
        open.planned.retain(|(place, _)| *place != record.place);
        if open.planned.is_empty() {
            self.open.remove(&id);
        }
        Some(())
    }
}

fn course_of(at: u64, record: CourseRecord) -> Course {
    let milliseconds = |end: u64| u32::try_from(end.saturating_sub(at) / 1_000).unwrap_or(u32::MAX);
    Course {
        sent_after_ms: milliseconds(record.sent_at),
        final_after_ms: milliseconds(record.final_at),
        outcome: record.outcome,
        code: record.code,
    }
}
