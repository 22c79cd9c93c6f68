//! What the owner of a range of partitions may use of each limit. Who owns all has the whole of
//! each; several divide them, as the rows of [`engine::pacing::Division`] say.

pub mod connections;
pub mod divider;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::pacing::share::LARGEST_TEXT;
use engine::pacing::{Division, Limited, Limits, Pace};
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use schemas::limit::LimitDivision;
use schemas::{AccountId, CampaignId, PartitionRange};
use tokio::sync::Notify;

use crate::provider::pacing::Pacing;

/// The limits of an owner, and how much of each it may use. As many as there are provider accounts
/// and senders, accounts with a limit, and campaigns under way with one. Cloning is cheap.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    range: PartitionRange,
    /// Which of the owners of this range it is; drawn, where there are several.
    owner: u64,
    limits: Limits,
    pacings: OnceLock<Vec<Pacing>>,
    book: Mutex<Book>,
    /// Somebody waits for a part.
    wanted: Notify,
}

/// What is known of all divisions.
struct Book {
    /// Whose turn it is at limits that are too small to be divided.
    turn: Division,
    limits: BTreeMap<Limited, Divided>,
}

struct Divided {
    name: String,
    division: Division,
}

/// What a row divides: a limit, or the turn.
type Of = Option<Limited>;

/// The name of the turn's row.
const TURN: &str = "turn";

impl std::fmt::Debug for Shares {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shares({:?})", self.0.range)
    }
}

impl Shares {
    /// Nothing is limited yet, for the owner of a range.
    pub fn of_range(range: PartitionRange, runtime: &Runtime) -> Self {
        let is_divided = range.ranges() > 1;
        // A row's numbers are signed in some of the places where people read them.
        let draw = || u64::from_le_bytes(runtime.random_bytes()) >> 1;
        let owner = if is_divided { draw() } else { 0 };
        let book = Book {
            turn: Division::turn(range, owner),
            limits: BTreeMap::new(),
        };
        Self(Arc::new(Inner {
            runtime: runtime.clone(),
            range,
            owner,
            book: Mutex::new(book),
            limits: Limits::default(),
            pacings: OnceLock::new(),
            wanted: Notify::new(),
        }))
    }

    /// Whose these are.
    pub fn range(&self) -> PartitionRange {
        self.0.range
    }

    /// The limits of accounts, campaigns and senders.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Whether there are others.
    pub fn is_divided(&self) -> bool {
        self.0.range.ranges() > 1
    }

    /// What paces the provider accounts. Called once, before [`Self::set_provider`].
    pub fn pace(&self, pacings: Vec<Pacing>) {
        let _ = self.0.pacings.set(pacings);
    }

    /// A provider account's limit, in segments per second.
    pub fn set_provider(&self, index: usize, account: &ProviderAccount, rate: f64) {
        let who = Limited::provider(index);
        self.set(who, || format!("provider/{}", account.id), Some(rate));
    }

    /// The limit of a provider account's sender, as the routes number it, in segments per second.
    /// Texts may have left until a moment ago, if `rests` says so, of so many segments.
    pub fn set_sender(
        &self,
        (who, sender): (Limited, &str),
        account: &ProviderAccount,
        rate: f64,
        rests: Option<u32>,
    ) {
        if let Some(segments) = rests {
            self.rest(who, Some(rate), segments);
        }
        let name = || format!("sender/{}/{sender}", account.id);
        self.set(who, name, Some(rate));
    }

    /// An account's limit, if it has one.
    pub fn set_account(&self, account: AccountId, rate: Option<f64>) {
        let name = || format!("account/{account}");
        self.set(Limited::Account(account), name, rate);
    }

    /// The same in a node that has just started: texts may have left until a moment ago.
    pub fn resume_account(&self, account: AccountId, rate: Option<f64>) {
        self.rest(Limited::Account(account), rate, LARGEST_TEXT);
        self.set_account(account, rate);
    }

    /// A campaign's limit, if it has one.
    pub fn set_campaign(&self, campaign: CampaignId, rate: Option<f64>) {
        let name = || format!("campaign/{campaign}");
        self.set(Limited::Campaign(campaign), name, rate);
    }

    /// The same in a node that has just started.
    pub fn resume_campaign(&self, campaign: CampaignId, rate: Option<f64>) {
        self.rest(Limited::Campaign(campaign), rate, LARGEST_TEXT);
        self.set_campaign(campaign, rate);
    }

    /// Under which limits texts wait now.
    pub fn wait(&self, limits: &BTreeSet<Limited>) {
        let now = self.0.runtime.boot();
        let mut is_news = false;
        let mut book = self.book();
        for (who, divided) in &mut book.limits {
            let looked = divided.division.looks(now);
            divided.division.wait(limits.contains(who));
            is_news |= !looked && divided.division.looks(now);
        }
        if is_news {
            self.0.wanted.notify_one();
        }
    }

    fn rest(&self, who: Limited, rate: Option<f64>, segments: u32) {
        let pace = rate.and_then(|rate| Pace::new(rate, None).ok());
        let now = self.0.runtime.boot();
        self.0.limits.resume(who, pace, now, segments);
    }

    fn set(&self, who: Limited, name: impl FnOnce() -> String, rate: Option<f64>) {
        let now = self.0.runtime.boot();
        let Some(rate) = rate.filter(|_| self.is_divided()) else {
            self.book().limits.remove(&who);
            return self.allow(who, rate, now);
        };
        let mut book = self.book();
        let known = book.limits.entry(who).or_insert_with(|| Divided {
            name: name(),
            division: Division::new(self.0.range, self.0.owner, rate),
        });
        known.division.hear(rate, now);
        self.allow(who, Some(known.division.allowed(now)), now);
    }

    /// From now on it may go as fast as that: 0 for not at all, `None` for as fast as it likes.
    fn allow(&self, who: Limited, rate: Option<f64>, now: u64) {
        if let Limited::Provider(index) = who {
            if let Some((pacing, rate)) = self.pacing(index).zip(rate) {
                pacing.allow(rate, now);
            }
            return;
        }
        match rate.map(|rate| Pace::new(rate, None)) {
            None => self.0.limits.set(who, None, now),
            Some(Ok(pace)) => self.0.limits.set(who, Some(pace), now),
            // Less than the least rate that there is.
            Some(Err(_)) => self.0.limits.close(who, now),
        }
    }

    /// From when on nothing counts any more that left.
    fn settled_at(&self, who: Limited) -> u64 {
        match who {
            Limited::Provider(index) => self.pacing(index).map_or(0, Pacing::settled_at),
            Limited::Account(_) | Limited::Campaign(_) | Limited::Sender { .. } => {
                self.0.limits.settled_at(who)
            }
        }
    }

    /// What paces the provider account with this number.
    fn pacing(&self, index: u16) -> Option<&Pacing> {
        self.0.pacings.get()?.get(usize::from(index))
    }

    /// The rows that are to be read.
    fn to_be_read(&self) -> Vec<(Of, String)> {
        let now = self.0.runtime.boot();
        let mut book = self.book();
        let wants = |divided: &Divided| divided.division.wants_turn();
        let wants_turn = book.limits.values().any(wants);
        book.turn.wait(wants_turn);
        let turn = book.turn.looks(now).then(|| (None, TURN.to_owned()));
        let limits = book.limits.iter();
        let limits = limits.filter(|(_, divided)| divided.division.looks(now));
        let limits = limits.map(|(who, divided)| (Some(*who), divided.name.clone()));
        turn.into_iter().chain(limits).collect()
    }

    /// A row was read or written. It is obeyed from now on.
    fn know(&self, of: Of, row: Option<LimitDivision>) {
        let now = self.0.runtime.boot();
        let mut book = self.book();
        let Some(who) = of else {
            book.turn.know(row, TURN, now);
            let turn = book.turn.whose();
            for (who, divided) in &mut book.limits {
                divided.division.is_turn_of(turn, now);
                self.allow(*who, Some(divided.division.allowed(now)), now);
            }
            return;
        };
        let turn = book.turn.whose();
        if let Some(divided) = book.limits.get_mut(&who) {
            divided.division.is_turn_of(turn, now);
            divided.division.know(row, &divided.name, now);
            self.allow(who, Some(divided.division.allowed(now)), now);
        }
    }

    /// The row as it is to be, if it is to be another, and whether it is to be shown first that this
    /// is the owner of the range.
    fn next(&self, of: Of) -> Option<(LimitDivision, bool)> {
        let now = self.0.runtime.boot();
        let book = self.book();
        let (division, settled_at) = match of {
            None => (&book.turn, 0),
            Some(who) => {
                let division = &book.limits.get(&who)?.division;
                // What is given back now is obeyed first: somebody may have ceased to wait since.
                self.allow(who, Some(division.allowed(now)), now);
                (division, self.settled_at(who))
            }
        };
        let next = division.next(settled_at, now)?;
        Some((next, division.is_anothers()))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
