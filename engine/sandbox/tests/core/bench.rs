//! A core with one account and a book in memory.

use sandbox::book::{BookSink, MemoryBook, Record, TextRecord};
use sandbox::core::{Answer, Core, DueReceipt, Submission};
use sandbox::{AccountConfig, FaultPlan};
use std::error::Error;
use std::sync::Arc;

pub type Outcome = Result<(), Box<dyn Error>>;

/// A start of virtual time, Unix microseconds.
pub const START: u64 = 1_767_367_800_000_000;

pub const CALLBACK: &str = "http://127.0.0.1:9/hook?message=1";

pub struct Bench {
    pub core: Core,
    pub book: Arc<MemoryBook>,
}

impl Bench {
    pub fn new(plan: FaultPlan, limit: Option<f64>) -> Result<Self, Box<dyn Error>> {
        Self::with(&plan, |account| account.segments_per_second = limit)
    }

    /// With a change to the account.
    pub fn with(
        plan: &FaultPlan,
        change: impl FnOnce(&mut AccountConfig),
    ) -> Result<Self, Box<dyn Error>> {
        let book = Arc::new(MemoryBook::default());
        let sink: Arc<dyn BookSink> = Arc::<MemoryBook>::clone(&book);
        let mut account = AccountConfig::new("AC1", "token", &["+15005550001"]);
        change(&mut account);
        let core = Core::new(7, &[account], plan, sink)?;
        core.begin(START);
        Ok(Self { core, book })
    }

    /// Submits one text and returns its answer and when that leaves.
    pub fn submit<'a>(
        &self,
        now: u64,
        to: &'a str,
        body: &'a str,
    ) -> Result<(Answer<'a>, u64), Box<dyn Error>> {
        let account = self
            .core
            .account("AC1")
            .ok_or("the account is configured")?;
        let callback = Some(CALLBACK);
        let from = "+15005550001";
        let submission = Submission {
            account,
            to,
            from,
            body,
            callback,
            refusal: None,
        };
        let decision = self.core.submit(now, &submission);
        Ok((decision.answer, decision.answer_at))
    }

    pub fn texts(&self) -> Result<Vec<TextRecord<'static>>, Box<dyn Error>> {
        let records = self.book.records()?.into_iter();
        Ok(records
            .filter_map(|record| match record {
                Record::Text(text) => Some(*text),
                Record::Start(_) | Record::Receipt(_) | Record::Stall(_) | Record::Stop(_) => None,
            })
            .collect())
    }

    /// Takes all receipts due until `end`, with the time each became due.
    pub fn receipts(&self, end: u64) -> Vec<DueReceipt> {
        let mut all = Vec::new();
        for (receiver, _) in self.core.receipt_authorities() {
            all.extend(self.core.due(end, &receiver, usize::MAX));
        }
        all
    }
}

/// A plan that does nothing but one thing, to every text.
pub fn always(change: impl Fn(&mut FaultPlan)) -> FaultPlan {
    let mut plan = FaultPlan::none();
    change(&mut plan);
    plan
}
