//! `bench codes`: how long a one-time code waits beside a campaign that takes all of a
//! provider's rate, and how long without it.

use std::time::Duration;

use clap::Args;
use engine::client::NodeClient;
use schemas::http::campaigns::CampaignBody;
use schemas::http::messages::{MessageBody, MessageRequest, Recipient};
use schemas::{Body, MessageId, UnixMicros};
use serde::Serialize;

use crate::engine_run::{Stores, start_counter};
use crate::failure::{BenchError, refused};
use crate::machine::{Machine, asking_thread, boot_micros, load_average, require_disk};
use crate::node::CAMPAIGN;
use crate::options::{Place, count};
use crate::provider::Reach;
use crate::report::{Verdict, Waits, print_json, say};
use crate::serving::Serving;

/// Milliseconds beyond the time of one segment that a campaign may add to the wait of all but
/// one in a hundred codes.
const ADDED_CEILING_MS: f64 = 5.0;

/// How often a code is asked for: seldom enough that codes do not wait for each other.
const EVERY: Duration = Duration::from_millis(50);

/// How long the campaign runs before its time counts, so that its line is full.
const SETTLES: Duration = Duration::from_secs(3);

/// The share of the rate that the campaign must take meanwhile; the codes take some of it.
const BUSY: f64 = 0.9;

/// How long the last codes may take until they are looked at.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct CodesOptions {
    /// Recipients of the campaign, such as 1M.
    #[arg(long, value_parser = count, default_value = "1M")]
    pub recipients: u64,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Codes, with and without the campaign each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=5_000))]
    pub codes: u32,
    /// Connections to the provider, one request in flight on each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    recipients: u64,
    rate: u32,
    /// From the request to the send stamp.
    alone: Waits,
    beside: Waits,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether the floor was met.
///
/// # Errors
/// When the run fails, or the campaign ended before the codes did.
pub fn run(options: &CodesOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let stores = Stores::new(&options.place.folder);
    stores.prepare(options.recipients)?;
    let runtime = asking_thread()?;
    let (alone, beside) = runtime.block_on(measure(options, &stores))?;
    stores.forget(options.recipients);
    let added = beside.p99 - alone.p99;
    let ceiling = 1_000.0 / f64::from(options.rate) + ADDED_CEILING_MS;
    let what = "ms that the campaign adds to the p99 of a code's wait";
    let verdicts = vec![Verdict::at_most(what, added, ceiling)];
    let load_average = load_average();
    say(&alone.text("codes alone", 1));
    say(&beside.text("beside the campaign", 1));
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        let (recipients, rate) = (options.recipients, options.rate);
        print_json(&Report {
            machine: Machine::look(),
            load_average,
            recipients,
            rate,
            alone,
            beside,
            verdicts,
        });
    }
    Ok(met)
}

async fn measure(options: &CodesOptions, stores: &Stores) -> Result<(Waits, Waits), BenchError> {
    let store = stores.copy(options.recipients)?;
    let (_counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: options.connections,
        rate: f64::from(options.rate),
        callbacks: true,
    };
    let node = Serving::start(&store, &reach.settings())?;
    let user = node.user(&store).await?;
    let alone = waits(&user, options.codes, 0).await?;
    let failed = refused("the campaign");
    let path = format!("/v1/campaigns/{CAMPAIGN}");
    let nothing = serde_json::json!({});
    let _: CampaignBody = user
        .post(&format!("{path}/start"), &nothing)
        .await
        .map_err(&failed)?;
    tokio::time::sleep(SETTLES).await;
    let (before, begun): (CampaignBody, u64) =
        (user.get(&path).await.map_err(&failed)?, boot_micros());
    let beside = waits(&user, options.codes, options.codes).await?;
    let after: CampaignBody = user.get(&path).await.map_err(failed)?;
    let seconds = (boot_micros() - begun) as f64 / 1e6;
    let sent = left(&after).saturating_sub(left(&before)) as f64;
    let taken = sent / seconds / f64::from(options.rate);
    if taken < BUSY {
        return Err(BenchError::Invalid(format!(
            "the campaign took {taken:.3} of the rate while codes were asked for"
        )));
    }
    Ok((alone, beside))
}

/// Recipients that do not wait any more. Who waits may still be counted meanwhile.
fn left(campaign: &CampaignBody) -> u64 {
    campaign.numbers.total_recipients - campaign.numbers.pending
}

/// Asks for so many codes, the first with this number, and looks how long each waited.
async fn waits(user: &NodeClient, codes: u32, first: u32) -> Result<Waits, BenchError> {
    let mut asked: Vec<MessageId> = Vec::new();
    let mut pace = tokio::time::interval(EVERY);
    for number in first..first + codes {
        pace.tick().await;
        let request = MessageRequest {
            to: Some(Recipient(format!("+1202555{:04}", number % 10_000))),
            body: Some(Body::new(format!("Your code is {number:06}."))),
            class: Some("transactional".to_owned()),
            ..MessageRequest::default()
        };
        let taken: MessageBody = user
            .post("/v1/messages", &request)
            .await
            .map_err(refused("a code"))?;
        asked.push(taken.id);
    }
    tokio::time::sleep(LEAVES_WITHIN).await;
    let mut waits = Vec::new();
    for id in asked {
        let path = format!("/v1/messages/{id}");
        let code: MessageBody = user.get(&path).await.map_err(refused("a code"))?;
        let wait = wait_of(&code);
        waits.push(wait.ok_or_else(|| BenchError::Invalid("a code has not left".to_owned()))?);
    }
    Ok(Waits::of(waits))
}

/// Milliseconds from the request to the send stamp.
fn wait_of(code: &MessageBody) -> Option<f64> {
    let asked_at = UnixMicros::from_rfc3339(&code.created_at)?;
    let sent_at = UnixMicros::from_rfc3339(code.sent_at.as_deref()?)?;
    Some((sent_at.0 - asked_at.0) as f64 / 1e3)
}
