//! `volley campaign watch`: a campaign's numbers as they change, until it is over.

use std::time::Duration;

use clap::Subcommand;
use engine::client::NodeClient;
use engine::runtime::Runtime;
use schemas::CampaignId;
use schemas::campaign::CampaignState;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers};

use super::give;
use super::serving::Failed;
use super::user::UserArguments;
use crate::exit::Exit;
use crate::progress::{Progress, outcomes, sum_of};

/// How often the node is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum CampaignCommand {
    /// Watch a campaign until nothing of it is to be sent any more: a bar on a terminal, a
    /// line every two seconds elsewhere. Its last numbers go to standard output.
    Watch {
        /// The campaign's id, `cmp_…`.
        campaign: CampaignId,
        #[command(flatten)]
        user: UserArguments,
    },
}

pub(super) fn run(command: CampaignCommand) -> Exit {
    let CampaignCommand::Watch { campaign, user } = command;
    user.run(async |client, runtime| watch(&client, &runtime, campaign).await)
}

async fn watch(
    client: &NodeClient,
    runtime: &Runtime,
    campaign: CampaignId,
) -> Result<Exit, Failed> {
    let path = format!("/v1/campaigns/{campaign}");
    let mut progress = Progress::new(Vec::new(), runtime.boot());
    loop {
        let body: CampaignBody = client.get(&path).await?;
        progress.show(runtime.boot(), &body.numbers, Vec::new());
        let is_over = match body.state {
            CampaignState::Finished | CampaignState::Canceled => {
                body.numbers.pending == 0 && !body.numbers.still_counting
            }
            CampaignState::Draft
            | CampaignState::Scheduled
            | CampaignState::Running
            | CampaignState::Paused => false,
        };
        if is_over {
            progress.end();
            give(&last_words(&body));
            return Ok(Exit::Success);
        }
        runtime.sleep(LOOK_EVERY).await;
    }
}

fn last_words(body: &CampaignBody) -> String {
    let CampaignNumbers {
        total_recipients, ..
    } = &body.numbers;
    let mut sum = sum_of(outcomes(&body.numbers));
    if sum.is_empty() {
        "nobody".clone_into(&mut sum);
    }
    let state = match body.state {
        CampaignState::Canceled => "canceled",
        CampaignState::Finished
        | CampaignState::Draft
        | CampaignState::Scheduled
        | CampaignState::Running
        | CampaignState::Paused => "finished",
    };
    format!("{} {state}: {total_recipients} = {sum}", body.id)
}
