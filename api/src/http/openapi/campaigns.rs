//! `/v1/campaigns`.

use schemas::CampaignId;
use schemas::http::campaigns::{CampaignBody, CampaignPatch, CampaignRequest};

use super::operation::Operation;
use crate::problem::ProblemCode;

pub const TAG: &str = "Campaigns";

/// What can follow a campaign that was just made.
const NEXT: &[&str] = &[
    "getCampaign",
    "changeCampaign",
    "startCampaign",
    "pauseCampaign",
    "resumeCampaign",
    "cancelCampaign",
];

pub fn operations() -> Vec<Operation> {
    vec![
        create(),
        show(),
        change(),
        start(),
        pause(),
        resume(),
        cancel(),
    ]
}

fn create() -> Operation {
    Operation::new("post", "/v1/campaigns", TAG, "createCampaign")
        .does(
            "Write a campaign down",
            "Nothing is sent before it is started. Who is on its lists then gets it, each \
             number once.",
        )
        .with_api_key()
        .with_idempotency_key()
        .takes::<CampaignRequest>()
        .fails(&[
            ProblemCode::Conflict,
            ProblemCode::Required,
            ProblemCode::InvalidValue,
            ProblemCode::TooLong,
            ProblemCode::OutOfRange,
            ProblemCode::SenderUnknown,
            ProblemCode::ProviderUnknown,
            ProblemCode::ListUnknown,
            ProblemCode::InvalidTemplate,
            ProblemCode::SendAtInPast,
            ProblemCode::SendAtTooFar,
        ])
        .answers::<CampaignBody>(201, "The campaign, a draft.")
        .sends("Location", "Location")
        .sends("Idempotent-Replayed", "Replayed")
        .leads_to(NEXT)
}

fn show() -> Operation {
    Operation::new("get", "/v1/campaigns/{id}", TAG, "getCampaign")
        .does(
            "Look at a campaign",
            "With its numbers, which add up to `total_recipients` at every moment.",
        )
        .with_api_key()
        .with_id::<CampaignId>()
        .answers::<CampaignBody>(200, "The campaign.")
}

fn change() -> Operation {
    Operation::new("patch", "/v1/campaigns/{id}", TAG, "changeCampaign")
        .does(
            "Change how fast a campaign goes, through whom, or when",
            "Takes one that is not over. What has not begun within a second obeys; what had begun \
             goes on to its end. What is left out stays as it is. Its time can be changed until it \
             begins.",
        )
        .with_api_key()
        .with_id::<CampaignId>()
        .takes::<CampaignPatch>()
        .writes()
        .fails(&[
            ProblemCode::Required,
            ProblemCode::InvalidValue,
            ProblemCode::TooLong,
            ProblemCode::OutOfRange,
            ProblemCode::SenderUnknown,
            ProblemCode::ProviderUnknown,
            ProblemCode::SendAtInPast,
            ProblemCode::SendAtTooFar,
            ProblemCode::CampaignState,
        ])
        .answers::<CampaignBody>(200, "The campaign afterwards.")
}

fn start() -> Operation {
    command("/v1/campaigns/{id}/start", "startCampaign", 202)
        .does(
            "Start a campaign",
            "Takes a draft. One with a `send_at` is `scheduled` until then. Its audience is frozen \
         when it begins, while it is sent; until that is done, `still_counting` is true.",
        )
        .fails(&[ProblemCode::SendAtInPast])
}

fn pause() -> Operation {
    command("/v1/campaigns/{id}/pause", "pauseCampaign", 200).does(
        "Pause a campaign",
        "Takes one that is running. Within a second nothing more of it begins; what had begun \
         goes on to its end.",
    )
}

fn resume() -> Operation {
    command("/v1/campaigns/{id}/resume", "resumeCampaign", 200).does(
        "Let a campaign go on",
        "Takes one that is paused. It goes on where it was.",
    )
}

fn cancel() -> Operation {
    command("/v1/campaigns/{id}/cancel", "cancelCampaign", 200).does(
        "Withdraw a campaign",
        "Takes one that is not over, and is for good. Within a second nothing more of it begins.",
    )
}

/// What is done to a campaign. A body is not looked at, but belongs to the request that an
/// idempotency key stands for.
fn command(path: &'static str, id: &str, status: u16) -> Operation {
    Operation::new("post", path, TAG, id)
        .with_api_key()
        .with_id::<CampaignId>()
        .with_idempotency_key()
        .reads_body()
        .fails(&[ProblemCode::CampaignState])
        .answers::<CampaignBody>(status, "The campaign afterwards.")
        .sends("Location", "Location")
        .sends("Idempotent-Replayed", "Replayed")
}
