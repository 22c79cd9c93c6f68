//! Campaigns and their numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{AccountId, CampaignId, ListId, ProviderId};
use crate::message::MessageClass;
use crate::position::Sequence;
use crate::record::{CompareAndSet, Key, KeyPart, Projection, Record, Table, Versioned, tables};
use crate::slice::Partition;
use crate::status::MessageStatus;
use crate::time::UnixMicros;

/// Where a campaign stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Written down, not started.
    Draft,
    /// Started, and its time has not come.
    Scheduled,
    /// Started: its audience is frozen and sent.
    Running,
    /// Started, and nothing more of it begins until it goes on.
    Paused,
    /// Withdrawn: nothing more of it begins. What was in flight goes on to its end.
    Canceled,
    /// Nothing of it is pending any more, and nothing will be: what is unknown is not sent
    /// again.
    Finished,
}

impl CampaignState {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
            Self::Finished => "finished",
        }
    }
}

/// One text to the members of lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Campaign {
    /// Whose campaign.
    pub account: AccountId,
    /// Its id.
    pub id: CampaignId,
    /// What people call it.
    pub name: String,
    /// The lists whose members get it.
    pub lists: Vec<ListId>,
    /// The text with its placeholders.
    pub template: String,
    /// The class of its messages.
    pub class: MessageClass,
    /// The sender asked for.
    pub from: Option<String>,
    /// The provider accounts that may carry it; none named is any.
    #[serde(default)]
    pub providers: Vec<ProviderId>,
    /// What it is sent at most, in millionths of a segment per second, beside what its provider
    /// accounts allow.
    #[serde(default)]
    pub rate_millionths: Option<u64>,
    /// How long each message may be sent after launch, in seconds.
    pub validity_seconds: u32,
    /// Not before this instant.
    #[serde(default)]
    pub send_at: Option<UnixMicros>,
    /// When on a day texts of it may begin; always, where there is none.
    #[serde(default)]
    pub window: Option<SendWindow>,
    /// Where it stands.
    pub state: CampaignState,
    /// When it was created.
    pub created_at: UnixMicros,
    /// When it began to run: the instant in its messages' ids.
    pub started_at: Option<UnixMicros>,
    /// When its last message stopped being pending, be it finished or canceled.
    pub finished_at: Option<UnixMicros>,
    /// See [`Versioned`].
    pub version: u64,
}

/// When on a day texts may begin, by the clocks of one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendWindow {
    /// The first minute of a day, from midnight.
    pub from: u16,
    /// The minute behind the last one; before `from`, where the window is open over midnight.
    pub until: u16,
    /// The place: a name of the IANA database of time zones, such as `Europe/Berlin`.
    pub time_zone: String,
}

impl Campaign {
    /// What it is sent at most, in segments per second.
    pub fn rate(&self) -> Option<f64> {
        self.rate_millionths.map(|rate| rate as f64 / 1e6)
    }

    /// Whether somebody has to look after it: it was started and is not over.
    pub fn is_under_way(&self) -> bool {
        let was_started = self.started_at.is_some() || self.state == CampaignState::Scheduled;
        was_started && self.finished_at.is_none()
    }

    /// The partition key of an account's campaigns.
    pub fn partition_key(account: AccountId) -> Key {
        vec![KeyPart::Id(*account.as_bytes())]
    }

    /// The key of one campaign.
    pub fn key_of(account: AccountId, id: CampaignId) -> Key {
        vec![
            KeyPart::Id(*account.as_bytes()),
            KeyPart::Id(*id.as_bytes()),
        ]
    }
}

impl Record for Campaign {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::CAMPAIGNS;

    fn key(&self) -> Key {
        Self::key_of(self.account, self.id)
    }
}

impl Versioned for Campaign {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}

/// The numbers of one campaign in one partition. Each row satisfies the identity
/// `total = pending + every other state` by itself; a campaign's numbers are the sum
/// of its rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CampaignTally {
    /// The campaign.
    pub campaign: CampaignId,
    /// The partition.
    pub partition: Partition,
    /// Recipients frozen so far.
    pub total_recipients: u64,
    /// Chunks frozen so far.
    pub chunks: u32,
    /// Whether the audience is frozen to its end.
    pub frozen: bool,
    /// Messages by state, each counted once where it stands now.
    pub by_status: BTreeMap<MessageStatus, u64>,
    /// Skipped messages by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Recipients of whom nothing has begun and nothing was written: they have no rows.
    #[serde(default)]
    pub untouched: u64,
    /// Messages that were put aside: each has a [`crate::held::HeldMessage`].
    #[serde(default)]
    pub held: u64,
    /// Whether the campaign was canceled: nothing of it begins any more.
    #[serde(default)]
    pub canceled: bool,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl CampaignTally {
    /// A partition's numbers before its first chunk.
    pub fn empty(campaign: CampaignId, partition: Partition) -> Self {
        Self {
            campaign,
            partition,
            total_recipients: 0,
            chunks: 0,
            frozen: false,
            by_status: BTreeMap::new(),
            skipped: BTreeMap::new(),
            untouched: 0,
            held: 0,
            canceled: false,
            sequence: 0,
        }
    }

    /// The key of one partition's numbers.
    pub fn key_of(campaign: CampaignId, partition: Partition) -> Key {
        vec![KeyPart::Id(*campaign.as_bytes()), KeyPart::U16(partition.0)]
    }

    /// How many messages stand at `status`.
    pub fn count(&self, status: MessageStatus) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// How many have not been handed to a provider yet.
    pub fn pending(&self) -> u64 {
        self.by_status
            .iter()
            .filter(|(status, _)| status.is_pending())
            .map(|(_, n)| n)
            .sum()
    }

    /// Whether every recipient is counted exactly once.
    pub fn is_exact(&self) -> bool {
        let skipped: u64 = self.skipped.values().sum();
        self.total_recipients == self.by_status.values().sum::<u64>()
            && skipped == self.count(MessageStatus::Skipped)
    }

    /// Adds another partition's numbers.
    pub fn add(&mut self, other: &Self) {
        self.total_recipients += other.total_recipients;
        self.chunks += other.chunks;
        self.frozen &= other.frozen;
        self.untouched += other.untouched;
        self.held += other.held;
        self.canceled |= other.canceled;
        for (status, count) in &other.by_status {
            *self.by_status.entry(*status).or_default() += count;
        }
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += count;
        }
    }
}

impl Record for CampaignTally {
    type Writing = Projection;
    const TABLE: Table = tables::CAMPAIGN_TALLIES;

    fn key(&self) -> Key {
        Self::key_of(self.campaign, self.partition)
    }
}

/// What the control log tells every node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlRecord {
    /// A campaign's row was changed by a command: it was started, paused, slowed down, canceled.
    CampaignChanged {
        /// Whose campaign.
        account: AccountId,
        /// The campaign.
        campaign: CampaignId,
    },
    /// An account's row was changed: it goes at another rate, or has another share.
    AccountChanged {
        /// The account.
        account: AccountId,
    },
    /// A job's row and its file are in place.
    JobCreated {
        /// Whose job.
        account: AccountId,
        /// The job.
        job: crate::id::JobId,
    },
}
