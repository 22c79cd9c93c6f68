//! What rows say of the texts that may leave now: of which campaigns nothing may begin, and how
//! fast the others, and accounts, may go. Whoever gives work out looks here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use engine::runtime::Runtime;
use engine::send_window::is_open;
use schemas::campaign::{Campaign, CampaignState, SendWindow};
use schemas::change::Change;
use schemas::{CampaignId, Envelope, UnixMicros};

use crate::shares::Shares;

/// Why nothing of a campaign begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// It is paused: what is due is put aside until it goes on.
    Paused,
    /// Its window is closed: what is due is put aside until it opens.
    Closed,
    /// It is canceled: what is due is put aside, and withdrawn by its coordinator.
    Canceled,
}

impl Hold {
    /// What a campaign's state, and the time of day, mean for its messages.
    pub fn of(campaign: &Campaign, now: UnixMicros) -> Option<Self> {
        match campaign.state {
            CampaignState::Paused => Some(Self::Paused),
            CampaignState::Canceled => Some(Self::Canceled),
            CampaignState::Running => {
                let closed = |window: &SendWindow| !is_open(window, now);
                let window = campaign.window.as_ref();
                window.is_some_and(closed).then_some(Self::Closed)
            }
            CampaignState::Draft | CampaignState::Scheduled | CampaignState::Finished => None,
        }
    }

    /// The stable word for what a campaign does that is held, or not.
    pub const fn word(hold: Option<Self>) -> &'static str {
        match hold {
            None => "running",
            Some(Self::Paused) => "paused",
            Some(Self::Closed) => "outside_window",
            Some(Self::Canceled) => "canceled",
        }
    }
}

/// What is written of a message that is due and may not begin. Of a campaign that was canceled
/// a moment ago too: the journal may not know of that yet.
pub fn put_aside(envelope: &Envelope, at: UnixMicros) -> Change {
    Change::MessageHeld {
        account: envelope.account,
        message: envelope.id,
        envelope: None,
        providers: Vec::new(),
        until: None,
        at,
    }
}

/// What is held, and the limits. Whoever hears of a command writes it, and the campaign's
/// coordinator at every look; it forgets a campaign with its coordinator, so it holds no more
/// than there are of them. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Holds {
    known: Arc<RwLock<BTreeMap<CampaignId, Known>>>,
    shares: Shares,
}

/// What is known of a campaign: by which version of its row, and whether it is held.
#[derive(Debug)]
struct Known {
    version: u64,
    hold: Option<Hold>,
}

impl Holds {
    /// Nothing is held.
    pub fn new(shares: Shares) -> Self {
        Self {
            known: Arc::default(),
            shares,
        }
    }

    /// What may be used of the limits.
    pub const fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Whether a campaign is held.
    pub fn of(&self, campaign: CampaignId) -> Option<Hold> {
        let holds = self.known.read().unwrap_or_else(PoisonError::into_inner);
        holds.get(&campaign).and_then(|known| known.hold)
    }

    /// Holds a campaign or lets it go on, and as fast, as its row has it. Two may have read the
    /// row, and the one with the older version comes too late.
    pub fn set(&self, campaign: &Campaign, runtime: &Runtime) {
        let mut holds = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = Known {
            version: campaign.version,
            hold: Hold::of(campaign, runtime.now()),
        };
        let is_older = |other: &Known| other.version > known.version;
        if !holds.get(&campaign.id).is_some_and(is_older) {
            holds.insert(campaign.id, known);
            self.shares.set_campaign(campaign.id, campaign.rate());
        }
    }

    /// The same in a node that has just started: texts of it may have left until a moment ago.
    pub fn resume(&self, campaign: &Campaign, runtime: &Runtime) {
        self.shares.resume_campaign(campaign.id, campaign.rate());
        self.set(campaign, runtime);
    }

    /// Nobody looks after the campaign any more.
    pub fn forget(&self, campaign: CampaignId) {
        let mut holds = self.known.write().unwrap_or_else(PoisonError::into_inner);
        holds.remove(&campaign);
        self.shares.set_campaign(campaign, None);
    }
}
