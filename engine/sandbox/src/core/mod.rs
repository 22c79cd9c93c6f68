//! The provider behind every dialect: accounts, limits, faults, taken texts and
//! the receipts to come. No sockets, no clock, no tasks: a plain state machine
//! whose every call is told the time, so a simulation can drive it on one thread.
//!
//! A dialect turns a request into a [`Submission`] and a [`Decision`] back into
//! bytes; whoever drives the core sends the answer at `answer_at`, and asks
//! [`Core::due`] for receipts.

mod account;
mod answer;
mod fate;
mod receipts;
mod restore;
mod submit;
mod texts;
mod window;

pub use answer::{Answer, Decision, Refusal};
pub use receipts::{DueReceipt, PlannedReceipt};
pub use restore::Restore;
pub use submit::Submission;
pub use texts::{Course, Status, TextId};

pub(crate) use account::Account;
pub(crate) use texts::number_of;

use crate::book::{BookSink, FORMAT, ReceiptRecord, ReceiptResult, Record, StartRecord};
use crate::config::{AccountConfig, ConfigError, check_accounts};
use crate::faults::FaultPlan;
use crate::outage::OutageKind;
use crate::statistics::AccountStatistics;
use receipts::Schedule;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that one page of a list may look at before it ends early, as a bound on
/// how long an account is locked (about a millisecond).
const ROWS_PER_PAGE: usize = 10_000;

/// An account of a core, found with [`Core::account`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountIndex(usize);

/// What `fetch` and `list` tell of a text. No `Debug`: it holds number and body.
#[derive(Clone)]
pub struct TextView<'a> {
    /// The provider's id.
    pub id: TextId,
    /// The account that sent it.
    pub account: AccountIndex,
    /// The recipient's digits, without the plus.
    pub to: u64,
    /// The sender.
    pub from: Arc<str>,
    /// The body.
    pub body: Cow<'a, str>,
    /// Segments by the sandbox's count.
    pub segments: u32,
    /// Arrival, Unix microseconds.
    pub at: u64,
    /// The status now.
    pub status: Status,
    /// Since when, Unix microseconds.
    pub status_at: u64,
    /// When it left the provider, if it has.
    pub sent_at: Option<u64>,
    /// The provider's code of an undelivered or failed text.
    pub code: Option<u32>,
}

/// Which texts a list asks for.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only texts to this number (digits).
    pub to: Option<u64>,
    /// Only texts from this sender.
    pub from: Option<String>,
    /// Only texts that left the provider at or after this time, Unix microseconds.
    pub sent_from: Option<u64>,
    /// Only texts that left before this time.
    pub sent_before: Option<u64>,
    /// Only texts with a number below this one: where the last page ended.
    pub below: Option<u32>,
    /// Most texts in the page.
    pub page_size: usize,
}

/// One page of a list, newest first.
pub struct Page {
    /// The texts.
    pub texts: Vec<TextView<'static>>,
    /// Where the next page begins, if there may be one.
    pub next_below: Option<u32>,
}

/// The simulated provider.
pub struct Core {
    seed: u64,
    run: u32,
    accounts: Vec<Account>,
    by_sid: BTreeMap<String, AccountIndex>,
    schedule: Mutex<Schedule>,
    book: Arc<dyn BookSink>,
    unauthenticated: AtomicU64,
}

impl Core {
    /// A provider with these accounts. `faults` is the plan of those without their own.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(
        seed: u64,
        accounts: &[AccountConfig],
        faults: &FaultPlan,
        book: Arc<dyn BookSink>,
    ) -> Result<Self, ConfigError> {
        check_accounts(accounts, faults)?;
        let sids = accounts.iter().enumerate();
        let by_sid = sids.map(|(place, one)| (one.account_sid.clone(), AccountIndex(place)));
        Ok(Self {
            seed,
            run: 0,
            by_sid: by_sid.collect(),
            accounts: accounts
                .iter()
                .map(|account| Account::new(account, faults))
                .collect(),
            schedule: Mutex::default(),
            book,
            unauthenticated: AtomicU64::new(0),
        })
    }

    /// Notes the start in the book. Call once, after restoring and before anything else.
    pub fn begin(&self, now: u64) {
        self.book.append(&Record::Start(StartRecord {
            at: now,
            format: FORMAT,
            seed: self.seed,
            run: self.run,
            accounts: self.by_sid.keys().cloned().collect(),
        }));
    }

    /// The account with this id.
    pub fn account(&self, sid: &str) -> Option<AccountIndex> {
        self.by_sid.get(sid).copied()
    }

    /// What the dialect needs of an account. An index of another core finds none.
    pub(crate) fn settings(&self, account: AccountIndex) -> Option<&AccountConfig> {
        Some(&self.accounts.get(account.0)?.config)
    }

    /// The dialect of an account.
    pub(crate) fn dialect_of(&self, account: AccountIndex) -> Option<crate::dialect::Dialect> {
        Some(self.settings(account)?.dialect)
    }

    /// What the account does with every request at `now`, and until when, if it is out of order.
    pub(crate) fn outage_at(&self, now: u64, account: AccountIndex) -> Option<(OutageKind, u64)> {
        let account = self.accounts.get(account.0)?;
        account.config.outage?;
        account.outage_at(&account.hold(), now)
    }

    /// One text of the account as it stands at `now`.
    pub fn fetch(&self, now: u64, account: AccountIndex, id: TextId) -> Option<TextView<'static>> {
        let owner = self.accounts.get(account.0)?;
        let (run, number) = id.open(owner.hash)?;
        let state = owner.hold();
        let text = state.texts.get(number).filter(|text| text.run == run)?;
        Some(owner.view(account, number, text, now, state.sender(text.from)))
    }

    /// A page of the account's texts as they stand at `now`, newest first.
    ///
    /// With a bound on the time of leaving, texts that have not left yet do not
    /// appear, as at the real provider. A page may end early, even empty, when it
    /// has looked at 10,000 rows; `next_below` then goes on.
    pub fn list(&self, now: u64, account: AccountIndex, filter: &ListFilter) -> Page {
        let mut page = Page {
            texts: Vec::new(),
            next_below: None,
        };
        let Some(owner) = self.accounts.get(account.0) else {
            return page;
        };
        let state = owner.hold();
        let below = filter.below.unwrap_or(u32::MAX);
        for (row, (number, text)) in state.texts.newest_first(filter.to, below).enumerate() {
            if page.texts.len() >= filter.page_size || row >= ROWS_PER_PAGE {
                page.next_below = Some(number.saturating_add(1));
                break;
            }
            let sent_at = text.course.sent_at(text.at, now);
            let after_start = filter
                .sent_from
                .is_none_or(|from| sent_at.is_some_and(|at| at >= from));
            let before_end = filter
                .sent_before
                .is_none_or(|end| sent_at.is_some_and(|at| at < end));
            let sender = state.sender(text.from);
            let right_sender = filter.from.as_ref().is_none_or(|from| **from == *sender);
            let lag = owner.plan.listed_after_ms * 1_000;
            let is_listed = lag == 0 || text.at + lag <= now;
            if is_listed && after_start && before_end && right_sender {
                page.texts
                    .push(owner.view(account, number, text, now, sender));
            }
        }
        page
    }

    /// When the first receipt is due, if any waits.
    pub fn next_due(&self) -> Option<u64> {
        self.receipt_authorities()
            .into_iter()
            .map(|(_, at)| at)
            .min()
    }

    /// The receivers (`host:port`) with receipts waiting, and when each one's first is due.
    pub fn receipt_authorities(&self) -> Vec<(Arc<str>, u64)> {
        hold(&self.schedule).firsts()
    }

    /// Takes up to `most` receipts for one receiver that are due at `now`, in order.
    /// Each must be reported with [`Core::receipt_tried`].
    pub fn due(&self, now: u64, authority: &str, most: usize) -> Vec<DueReceipt> {
        hold(&self.schedule).take(now, authority, most)
    }

    /// Notes in the book how trying a receipt ended. It is never tried again.
    pub fn receipt_tried(
        &self,
        receipt: &DueReceipt,
        at: u64,
        ended: u64,
        attempts: u8,
        result: ReceiptResult,
    ) {
        let Some(account) = self.accounts.get(receipt.account.0) else {
            return;
        };
        account.hold().counts.receipt(result);
        self.book.append(&Record::Receipt(ReceiptRecord {
            account: Cow::Borrowed(&account.config.account_sid),
            sid: Cow::Owned(account.config.dialect.text_name(receipt.text)),
            place: receipt.place,
            status: receipt.planned.status,
            code: receipt.planned.code,
            due: receipt.planned.at,
            at,
            ended,
            attempts,
            result,
        }));
    }

    /// Counts of every account, in the order of their ids.
    pub fn statistics(&self) -> Vec<AccountStatistics> {
        let accounts = self
            .by_sid
            .values()
            .filter_map(|index| self.accounts.get(index.0));
        accounts.map(Account::statistics).collect()
    }

    /// Notes a request that named no account or had the wrong password.
    pub(crate) fn count_unauthenticated(&self) {
        self.unauthenticated.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that named no account or had the wrong password.
    pub fn unauthenticated(&self) -> u64 {
        self.unauthenticated.load(Ordering::Relaxed)
    }

    /// Receipts that wait for their time or their receiver.
    pub fn receipts_waiting(&self) -> usize {
        hold(&self.schedule).len()
    }
}

/// A lock whose holder panicked is taken all the same: every change under our
/// locks is whole before anything that could panic.
pub(crate) fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
