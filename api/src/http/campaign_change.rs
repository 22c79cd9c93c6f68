//! `PATCH /v1/campaigns/{id}`: what may be changed of a campaign, also while it runs.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::store::Replaced;
use schemas::campaign::{Campaign, CampaignState};
use schemas::http::campaigns::CampaignPatch;
use schemas::{CampaignId, UnixMicros};

use super::campaign_commands::{check, tell};
use super::campaigns::{find, whole};
use super::{fields, times};
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::json::{JsonBody, answer};
use crate::parameters::PathId;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// Where anything can be changed.
const CHANGEABLE: &[CampaignState] = &[
    CampaignState::Draft,
    CampaignState::Scheduled,
    CampaignState::Running,
    CampaignState::Paused,
];

/// Where its time can be.
const NOT_BEGUN: &[CampaignState] = &[CampaignState::Draft, CampaignState::Scheduled];

/// Changes how fast a campaign goes, through whom, when, or its name: within a second, for all
/// of it that has not begun.
///
/// # Errors
/// The problem, `campaign_state` when it is over, or has begun and its time is to be changed.
pub async fn change(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<CampaignId>,
    body: JsonBody<CampaignPatch>,
) -> Result<HttpResponse, Problem> {
    let mut campaign = find(&state, caller.0, path.0).await?;
    let campaign = loop {
        apply(&state, &mut campaign, &body.value)?;
        match state.store().replace(campaign).await? {
            Replaced::Stored(stored) => break stored,
            Replaced::Conflict(Some(other)) => campaign = other,
            Replaced::Conflict(None) => return Err(Problem::new(ProblemCode::NotFound)),
        }
    };
    tell(&state, &campaign).await?;
    Ok(answer(StatusCode::OK, &whole(&state, &campaign).await?))
}

fn apply(state: &DoorState, campaign: &mut Campaign, patch: &CampaignPatch) -> Result<(), Problem> {
    check(campaign, CHANGEABLE, "changed")?;
    let mut problems = FieldProblems::default();
    if let Some(name) = patch.name.clone() {
        campaign.name = fields::required_name(&mut problems, Some(name));
    }
    if let Some(providers) = &patch.providers {
        campaign.providers = fields::providers(&mut problems, state, providers);
        let from = campaign.from.take();
        campaign.from = fields::sender(&mut problems, state, from, &campaign.providers);
    }
    if let Some(rate) = patch.rate {
        campaign.rate_millionths = rate.map(|rate| fields::rate_millionths(&mut problems, rate));
    }
    if let Some(window) = &patch.window {
        let window = window.as_ref();
        campaign.window = window.map(|window| times::window(&mut problems, window));
    }
    if let Some(send_at) = &patch.send_at {
        check(campaign, NOT_BEGUN, "given another time")?;
        let now: UnixMicros = state.runtime().now();
        campaign.send_at = times::send_at(&mut problems, send_at.as_deref(), now);
    }
    problems.finish()
}
