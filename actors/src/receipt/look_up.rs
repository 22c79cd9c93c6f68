//! One look-up: asking a provider what became of a message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::journal::{CLOCK_TOLERANCE, CommitError, Journal, Refusal, SEARCH_WINDOW, Verdict};
use engine::pacing::{Limiter, LookupSchedule, Pace, PaceError};
use engine::provider::{LookUpError, ProviderAccount, TextSearch};
use engine::runtime::Runtime;
use engine::store::{Store, StoreError};
use schemas::change::{Change, Learnt};
use schemas::due::LookUp;
use schemas::message::message_key;
use schemas::provider::DeliveryReceipt;
use schemas::text::Binding;
use schemas::{Message, MessageClass, MessageStatus};

/// What is still without a receipt this long after its validity is unknown for good.
pub const GIVE_UP_AFTER_VALIDITY: Duration = Duration::from_secs(72 * 3_600);

/// Unknown transactional messages are sent again after this many searches found nothing.
pub const SEARCHES_BEFORE_RESEND: u32 = 3;

/// Look-ups use this part of a provider account's rate at most, beside sending.
const SHARE_OF_RATE: f64 = 0.1;

/// And at least so many a second are always allowed.
const LEAST_RATE: f64 = 1.0;

/// How often it is looked whether the provider account of an unknown text is in the settings
/// again: only a start with other settings brings it back, and a look is one commit.
const LOOK_FOR_ACCOUNT_EVERY: Duration = Duration::from_secs(60);

/// The pace of each provider account's look-ups.
#[derive(Clone)]
pub struct LookUpPaces(Arc<[Mutex<Limiter>]>);

impl LookUpPaces {
    /// One pace for each account, of so many owners among whom they are divided.
    ///
    /// # Errors
    /// When a rate is out of range.
    pub fn new(
        runtime: &Runtime,
        accounts: &[Arc<ProviderAccount>],
        owners: u16,
    ) -> Result<Self, PaceError> {
        let pace = |account: &Arc<ProviderAccount>| {
            let rate = account.rate * SHARE_OF_RATE / f64::from(owners);
            let rate = rate.max(LEAST_RATE);
            Ok(Mutex::new(Limiter::new(
                Pace::new(rate, None)?,
                runtime.boot(),
            )))
        };
        Ok(Self(
            accounts
                .iter()
                .map(pace)
                .collect::<Result<Vec<_>, _>>()?
                .into(),
        ))
    }

    async fn permit(&self, runtime: &Runtime, index: usize) {
        loop {
            let now = runtime.boot();
            let acquired = {
                let mut limiter = self.0[index].lock().unwrap_or_else(PoisonError::into_inner);
                limiter.try_acquire(now, 1)
            };
            match acquired {
                Ok(_) => return,
                Err(wait) => {
                    runtime
                        .sleep(Duration::from_micros(wait.until.saturating_sub(now)))
                        .await;
                }
            }
        }
    }
}

/// A look-up failed on our side.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store cannot be read.
    #[error("a message cannot be looked up")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("a message cannot be looked up")]
    Commit(#[from] CommitError),
}

/// What look-ups use.
#[derive(Clone)]
pub struct LookUps {
    /// Time.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Where answers are committed.
    pub journal: Journal,
    /// The provider accounts.
    pub accounts: Arc<[Arc<ProviderAccount>]>,
    /// How fast each of them is asked.
    pub paces: LookUpPaces,
    /// When accepted messages are asked about.
    pub receipts: LookupSchedule,
    /// When unknown ones are.
    pub unknown: LookupSchedule,
}

impl LookUps {
    /// Handles one look-up that fell due: asks if there still is something to ask, commits what was
    /// learnt, and plans the next look-up.
    ///
    /// # Errors
    /// When the store or journal fails; a provider that does not answer is asked again.
    pub async fn handle(&self, due: &LookUp) -> Result<(), ReconcileError> {
        let Some(message) = self.message_of(due).await? else {
            return Ok(());
        };
        let made = due.made + 1;
        let is_unknown = message.status == MessageStatus::Unknown;
        if !is_unknown && !message.status.awaits_receipt() {
            return Ok(());
        }
        let found = if is_unknown {
            if self.place_of(&message).is_none() {
                // Nothing was looked for, so it does not count: who is not found must have been
                // searched for.
                let next = self.next_after(&message, made - 1, Some(LOOK_FOR_ACCOUNT_EVERY));
                self.commit(&message, next).await?;
                return Ok(());
            }
            self.search(&message).await
        } else {
            self.fetch(&message).await
        };
        let found = found?;
        let is_found = found.is_some();
        let is_settled = match found {
            Some((receipt, learnt)) => self.learn(&message, receipt, learnt).await?,
            None => false,
        };
        let is_still_unknown = is_unknown && !is_settled;
        if is_still_unknown && !is_found && self.may_resend(&message, made) {
            let verdict = self.commit(&message, self.resend(&message)).await?;
            let may_not = [Refusal::Canceled, Refusal::OptedOut, Refusal::Poison];
            let may_not = may_not.map(Verdict::Refused);
            if !may_not.contains(&verdict) {
                return Ok(());
            }
        }
        let schedule = if is_still_unknown {
            &self.unknown
        } else {
            &self.receipts
        };
        let next = self.next(&message, made, schedule);
        self.commit(&message, next).await?;
        Ok(())
    }

    /// A look-up panicked: it counts as one without an answer, and the next is planned.
    ///
    /// # Errors
    /// As [`LookUps::handle`].
    pub async fn pass_over(&self, due: &LookUp) -> Result<(), ReconcileError> {
        let Some(message) = self.message_of(due).await? else {
            return Ok(());
        };
        let schedule = if message.status == MessageStatus::Unknown {
            &self.unknown
        } else {
            &self.receipts
        };
        let next = self.next(&message, due.made + 1, schedule);
        self.commit(&message, next).await?;
        Ok(())
    }

    /// The message that is asked about, unless there was another attempt since.
    async fn message_of(&self, due: &LookUp) -> Result<Option<Message>, ReconcileError> {
        let key = message_key(due.account, due.message);
        let message = self.store.get::<Message>(&key).await?;
        Ok(message.filter(|message| message.attempts == due.attempt))
    }

    /// Commits what was learnt, and tells whether it was news. What a search finds may be
    /// refused, when another attempt could have made the same text: then nothing is settled,
    /// it is searched for again, and not sent again while such a text is there.
    async fn learn(
        &self,
        message: &Message,
        receipt: DeliveryReceipt,
        learnt: Learnt,
    ) -> Result<bool, ReconcileError> {
        let Some(change) = self.receipt(message, receipt, learnt) else {
            return Ok(false);
        };
        Ok(self.commit(message, change).await? == Verdict::Done)
    }

    async fn commit(&self, message: &Message, change: Change) -> Result<Verdict, ReconcileError> {
        let partition = self.journal.partitions().of(message.envelope.id.slice());
        let verdicts = self.journal.commit(vec![(partition, change)]).await?;
        Ok(verdicts.first().copied().unwrap_or(Verdict::Done))
    }

    /// The place of the account that made the last attempt; `None` where it is not in the settings
    /// any more, or by mistake.
    fn place_of(&self, message: &Message) -> Option<usize> {
        let mut accounts = self.accounts.iter();
        accounts.position(|account| Some(account.id) == message.provider)
    }

    /// The account that made the last attempt, once it may be asked.
    async fn account_of(&self, message: &Message) -> Option<&Arc<ProviderAccount>> {
        let place = self.place_of(message)?;
        self.paces.permit(&self.runtime, place).await;
        Some(&self.accounts[place])
    }

    async fn fetch(
        &self,
        message: &Message,
    ) -> Result<Option<(DeliveryReceipt, Learnt)>, ReconcileError> {
        let (Some(account), Some(id)) =
            (self.account_of(message).await, &message.provider_message_id)
        else {
            return Ok(None);
        };
        let fetched = account.provider.fetch(id).await;
        Ok(answer(fetched)
            .flatten()
            .map(|receipt| (receipt, Learnt::Fetch)))
    }

    /// Looks for the one text at the provider that can only be this attempt's.
    async fn search(
        &self,
        message: &Message,
    ) -> Result<Option<(DeliveryReceipt, Learnt)>, ReconcileError> {
        if message.provider_message_id.is_some() {
            return self.fetch(message).await;
        }
        let (Some(account), Some(sender), Some(begun)) = (
            self.account_of(message).await,
            &message.sender,
            message.last_attempt_at,
        ) else {
            return Ok(None);
        };
        let search = TextSearch {
            to: message.envelope.to.clone(),
            sender: sender.clone(),
            body: message.envelope.body.clone(),
            not_before: begun.plus_micros(-(CLOCK_TOLERANCE.as_micros() as i64)),
            not_after: begun.plus(SEARCH_WINDOW),
        };
        let Some(texts) = answer(account.provider.search(&search).await) else {
            return Ok(None);
        };
        let mut free = Vec::new();
        for text in texts {
            let (slice, id) = (search.to.slice(), &text.receipt.provider_message_id);
            let key = Binding::key_of(account.id, slice, id);
            if self.store.get::<Binding>(&key).await?.is_none() {
                free.push(text.receipt);
            }
        }
        // Two that fit prove nothing about either.
        let unique = if free.len() == 1 { free.pop() } else { None };
        Ok(unique.map(|receipt| (receipt, Learnt::Search)))
    }

    fn receipt(
        &self,
        message: &Message,
        mut receipt: DeliveryReceipt,
        learnt: Learnt,
    ) -> Option<Change> {
        receipt.attempt = Some(message.last_attempt());
        let provider = message.provider?;
        // An answer that tells what is known already needs no record.
        let is_news = receipt
            .status
            .is_some_and(|status| status.as_status() != message.status);
        is_news.then(|| Change::Receipt {
            provider,
            receipt,
            learnt,
            at: self.runtime.now(),
        })
    }

    /// Whether an unknown text that was not found is sent again.
    fn may_resend(&self, message: &Message, made: u32) -> bool {
        message.envelope.class == MessageClass::Transactional
            && message.envelope.valid_until > self.runtime.now()
            && made >= SEARCHES_BEFORE_RESEND
    }

    fn resend(&self, message: &Message) -> Change {
        let at = self.runtime.now();
        Change::Resend {
            attempt: message.last_attempt(),
            due: at,
            at,
        }
    }

    /// The next look-up, or the end of waiting.
    fn next(&self, message: &Message, made: u32, schedule: &LookupSchedule) -> Change {
        self.next_after(message, made, schedule.nth(made))
    }

    fn next_after(&self, message: &Message, made: u32, delay: Option<Duration>) -> Change {
        let at = self.runtime.now();
        if at > message.envelope.valid_until.plus(GIVE_UP_AFTER_VALIDITY) {
            return Change::NoReceipt {
                account: message.envelope.account,
                message: message.envelope.id,
                at,
            };
        }
        Change::LookedUp {
            attempt: message.last_attempt(),
            made,
            next: delay.map(|delay| at.plus(delay)),
            at,
        }
    }
}

fn answer<T>(answer: Result<T, LookUpError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            tracing::debug!(%error, "a look-up brought no answer");
            None
        }
    }
}
