//! What starts campaigns and imports, and calls coordinators when a campaign's row was
//! changed: the control log, read from its end, and before that every campaign and job
//! that was under way when the node stopped. Limits of accounts come the same way.

use std::time::Duration;

use engine::log::{Log, LogError, Topic};
use engine::runtime::Runtime;
use engine::store::{Order, Store, StoreError};
use schemas::account::Account;
use schemas::campaign::{Campaign, ControlRecord};
use schemas::job::{Job, JobProgress, JobState};
use schemas::record::{Key, Record};
use schemas::{AccountId, CampaignId, JobId, Partition};

use crate::dispatch::holds::Holds;

/// How many rows or records are read at a time.
const PAGE: usize = 500;

/// How long what can wait waits before it looks again whether the disk has space.
pub(crate) const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);

/// Reading what to start failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store cannot be read.
    #[error("what was under way cannot be read")]
    Store(#[from] StoreError),
    /// The control log cannot be read.
    #[error("the control log cannot be read")]
    Log(#[from] LogError),
}

/// Something to start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Start {
    /// A campaign that was started and is not over.
    Campaign(AccountId, CampaignId),
    /// A job that is not done.
    Job(AccountId, JobId),
}

/// What was told.
#[derive(Debug, Default)]
pub struct News {
    /// What to start.
    pub starts: Vec<Start>,
    /// Accounts whose rows were changed; they go no faster than that already.
    pub accounts: Vec<Account>,
}

/// Tells what to start. It may tell of a thing again: a request that is repeated is
/// announced again, and what was found under way may be in the log as well. A campaign whose
/// row was changed is held by then, or not.
pub struct Control {
    runtime: Runtime,
    store: Store,
    log: Log,
    /// What may not begin, as it was told last.
    holds: Holds,
    next: u64,
}

impl Control {
    /// A reader that has told nothing yet. What is appended from now on is not missed.
    ///
    /// # Errors
    /// When the control log cannot be read.
    pub async fn new(
        runtime: Runtime,
        store: Store,
        log: Log,
        holds: Holds,
    ) -> Result<Self, LogError> {
        let next = log.end(Topic::Control, Partition(0)).await?;
        Ok(Self {
            runtime,
            store,
            log,
            holds,
            next,
        })
    }

    /// Everything that was under way when the node stopped. What of it may not begin is held
    /// from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn under_way(&self) -> Result<News, ControlError> {
        let mut starts = Vec::new();
        for account in self.all::<Account>(&Account::partition_key()).await? {
            self.holds
                .shares()
                .resume_account(account.id, account.rate());
            let prefix = Campaign::partition_key(account.id);
            let campaigns = self.all::<Campaign>(&prefix).await?;
            for campaign in campaigns.iter().filter(|campaign| campaign.is_under_way()) {
                self.holds.resume(campaign, &self.runtime);
                starts.push(Start::Campaign(account.id, campaign.id));
            }
            for job in self.all::<Job>(&prefix).await? {
                let progress = self
                    .store
                    .get::<JobProgress>(&JobProgress::key_of(job.id, self.holds.shares().range()))
                    .await?;
                let is_open = progress.is_none_or(|progress| {
                    matches!(progress.state, JobState::Pending | JobState::Running)
                });
                starts.extend(is_open.then_some(Start::Job(account.id, job.id)));
            }
        }
        // Weights are read when there is something to weigh.
        let accounts = Vec::new();
        Ok(News { starts, accounts })
    }

    /// Waits for more.
    ///
    /// # Errors
    /// When the control log cannot be read.
    pub async fn next(&mut self) -> Result<News, ControlError> {
        let mut appended = self.log.appended(Topic::Control);
        loop {
            appended.mark_unchanged();
            let records = self
                .log
                .read(Topic::Control, Partition(0), self.next, PAGE)
                .await?;
            if let Some((last, _)) = records.last() {
                self.next = last + 1;
                let mut news = News::default();
                for (_, payload) in &records {
                    self.hear(payload, &mut news).await?;
                }
                return Ok(news);
            }
            if appended.changed().await.is_err() {
                return Err(LogError::Closed.into());
            }
        }
    }

    async fn hear(&self, payload: &[u8], news: &mut News) -> Result<(), StoreError> {
        match rmp_serde::from_slice(payload) {
            Ok(ControlRecord::CampaignChanged { account, campaign }) => {
                let key = Campaign::key_of(account, campaign);
                if let Some(row) = self.store.get::<Campaign>(&key).await? {
                    // Its coordinator may be failing just now, and nothing may begin meanwhile.
                    self.holds.set(&row, &self.runtime);
                }
                news.starts.push(Start::Campaign(account, campaign));
            }
            Ok(ControlRecord::AccountChanged { account }) => {
                let row = self.store.get::<Account>(&Account::key_of(account)).await?;
                if let Some(row) = row {
                    self.holds.shares().set_account(row.id, row.rate());
                    news.accounts.push(row);
                }
            }
            Ok(ControlRecord::JobCreated { account, job }) => {
                news.starts.push(Start::Job(account, job));
            }
            Err(error) => tracing::error!(%error, "a control record cannot be read"),
        }
        Ok(())
    }

    async fn all<R: Record>(&self, prefix: &Key) -> Result<Vec<R>, StoreError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .store
                .list::<R>(prefix, after.as_ref(), Order::Ascending, PAGE)
                .await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }
}
