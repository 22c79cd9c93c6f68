//! `POST /v1/campaigns/{id}/pause|resume|cancel`. A command changes the campaign's row, and
//! its coordinator is told to read it; it reads it twice a second in any case. Commands are taken
//! on a nearly full disk too, where everything new is refused: a stop is needed there most, and
//! what it writes is a row that is there already and some hundred bytes.

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use engine::store::Replaced;
use schemas::campaign::{Campaign, CampaignState, ControlRecord};
use schemas::{CampaignId, UnixMicros};

use super::campaigns::{announce_command, find, whole};
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::idempotency::IdempotencyHeader;
use crate::json::created;
use crate::parameters::PathId;
use crate::problem::{Problem, ProblemCode};

/// What a command comes with.
pub type Asked = (
    Caller,
    web::Data<DoorState>,
    PathId<CampaignId>,
    IdempotencyHeader,
    Bytes,
);

/// What people may want of a campaign.
#[derive(Clone, Copy)]
enum Command {
    Pause,
    Resume,
    Cancel,
}

impl Command {
    /// The states in which it can be done.
    const fn from(self) -> &'static [CampaignState] {
        match self {
            Self::Pause => &[CampaignState::Running],
            Self::Resume => &[CampaignState::Paused],
            Self::Cancel => &[
                CampaignState::Draft,
                CampaignState::Scheduled,
                CampaignState::Running,
                CampaignState::Paused,
            ],
        }
    }

    /// The state it leads to.
    const fn to(self) -> CampaignState {
        match self {
            Self::Pause => CampaignState::Paused,
            Self::Resume => CampaignState::Running,
            Self::Cancel => CampaignState::Canceled,
        }
    }

    /// Changes a campaign's state.
    fn apply_to(self, campaign: &mut Campaign, now: UnixMicros) -> Result<(), Problem> {
        check(campaign, self.from(), self.participle())?;
        if campaign.started_at.is_none() {
            // Nothing of it was frozen: there is nothing to withdraw.
            campaign.finished_at = Some(now);
        }
        campaign.state = self.to();
        Ok(())
    }

    const fn participle(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "canceled",
        }
    }
}

/// Lets nothing more of a campaign begin until it goes on: within a second.
///
/// # Errors
/// The problem, `campaign_state` unless it runs.
pub async fn pause(asked: Asked) -> Result<HttpResponse, Problem> {
    carry_out(Command::Pause, asked).await
}

/// Lets a paused campaign go on where it was.
///
/// # Errors
/// The problem, `campaign_state` unless it is paused.
pub async fn resume(asked: Asked) -> Result<HttpResponse, Problem> {
    carry_out(Command::Resume, asked).await
}

/// Withdraws a campaign for good: nothing more of it begins, within a second.
///
/// # Errors
/// The problem, `campaign_state` when it is over.
pub async fn cancel(asked: Asked) -> Result<HttpResponse, Problem> {
    carry_out(Command::Cancel, asked).await
}

async fn carry_out(command: Command, asked: Asked) -> Result<HttpResponse, Problem> {
    let (caller, state, path, header, body) = asked;
    let (state, body): (&DoorState, &[u8]) = (&state, &body);
    let (account, id) = (caller.0, path.0);
    let mut campaign = find(state, account, id).await?;
    loop {
        let was_asked = header.earlier(state, account, body).await?.is_some();
        // A request under the same key that ended before its key was written down, or a twin.
        let is_done = header.has_key() && campaign.state == command.to();
        if was_asked || is_done {
            break;
        }
        command.apply_to(&mut campaign, state.runtime().now())?;
        match state.store().replace(campaign).await? {
            Replaced::Stored(stored) => {
                campaign = stored;
                break;
            }
            // By a twin of this request perhaps, and then by somebody else.
            Replaced::Conflict(Some(other)) => campaign = other,
            Replaced::Conflict(None) => return Err(Problem::new(ProblemCode::NotFound)),
        }
    }
    // After the state: what was asked for under this key is never done again.
    let claim = header.claim_done(state, account, body, *id.as_bytes());
    let claim = claim.await?;
    tell(state, &campaign).await?;
    let location = format!("/v1/campaigns/{id}");
    let body = whole(state, &campaign).await?;
    Ok(created(StatusCode::OK, &location, claim.replayed, &body))
}

/// Tells every node of what was asked of a campaign that somebody may look after.
pub(super) async fn tell(state: &DoorState, campaign: &Campaign) -> Result<(), Problem> {
    if campaign.state == CampaignState::Draft {
        return Ok(());
    }
    let record = ControlRecord::CampaignChanged {
        account: campaign.account,
        campaign: campaign.id,
    };
    announce_command(state, &record).await
}

/// Refuses what cannot be done in the state that a campaign is in.
pub(super) fn check(
    campaign: &Campaign,
    allowed: &[CampaignState],
    done: &str,
) -> Result<(), Problem> {
    if allowed.contains(&campaign.state) {
        return Ok(());
    }
    let (now, allowed) = (campaign.state.as_str(), allowed.iter());
    let allowed: Vec<_> = allowed.map(|state| state.as_str()).collect();
    let allowed = allowed.join(" or ");
    let detail = format!("the campaign is {now}; it can be {done} while it is {allowed}");
    Err(Problem::with_detail(ProblemCode::CampaignState, detail))
}
