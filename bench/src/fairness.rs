//! `bench fairness`: accounts with campaigns of very different sizes share one provider
//! account. Whether each gets its share, and whether the small ones wait for the large.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use engine::client::NodeClient;
use sandbox::book::{Book, Record};
use schemas::CampaignId;
use schemas::http::accounts::{AccountBody, AccountRequest};
use serde::Serialize;

use crate::customer;
use crate::engine_run::{RunStore, start_sandbox};
use crate::failure::{BenchError, refused};
use crate::machine::{Machine, asking_thread, load_average, require_disk};
use crate::options::Place;
use crate::provider::{Booked, Reach, book_folder};
use crate::report::{Verdict, print_json, say};
use crate::serving::Serving;

/// Jain's index that the shares by weight must reach: 1 when all are the same.
const JAIN_FLOOR: f64 = 0.98;

/// Recipients of the largest campaign. The smallest has one, and those between are so many
/// times the one before.
const LARGEST: f64 = 100_000.0;

/// Every fifth account has twice the weight.
const WEIGHTY: u32 = 5;

/// Seconds from the last start to the window that is judged.
const SETTLES: u64 = 2;

/// What a small account may take beyond its share: the window of the limit, in seconds.
const LIMIT_WINDOW: f64 = 1.0;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct FairnessOptions {
    /// Accounts, each with one campaign.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    accounts: u32,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=5_000))]
    rate: u32,
    /// Seconds that are judged.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    #[command(flatten)]
    place: Place,
}

/// One account and its campaign.
struct Customer {
    client: NodeClient,
    weight: u32,
    size: u64,
    campaign: CampaignId,
    started_at: u64,
    /// When its texts arrived, in microseconds since 1970, in order.
    texts: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    accounts: u32,
    rate: u32,
    seconds: u64,
    /// Accounts that had something waiting during the whole window.
    backlogged: usize,
    /// Segments per second of the one that got the least for its weight, and the most.
    shares: (f64, f64),
    /// Accounts whose campaign had to end, the longest time over what it may take, and how many
    /// recipients that campaign has.
    ended: usize,
    latest: f64,
    latest_size: u64,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails, or too few accounts had something waiting all the time.
pub fn run(options: &FairnessOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let store = RunStore::empty(&options.place.folder)?;
    let (mut sandbox, listening) = start_sandbox(&store)?;
    let reach = Reach {
        address: listening.address,
        connections: 64,
        rate: f64::from(options.rate),
        callbacks: false,
    };
    let node = Serving::start(&store, &reach.settings())?;
    let runtime = asking_thread()?;
    let mut customers = runtime.block_on(async {
        let mut customers = sign_up(options, &node, &store).await?;
        start(&mut customers).await?;
        let judged = Duration::from_secs(SETTLES + options.seconds + 1);
        tokio::time::sleep(judged).await;
        Ok::<_, BenchError>(customers)
    })?;
    drop(node);
    let _: Booked = sandbox.ask("count")?;
    read(&book_folder(&store.folder), &mut customers)?;
    let report = judge(options, &customers)?;
    let Report {
        backlogged,
        shares: (least, most),
        ended,
        latest,
        latest_size,
        ..
    } = &report;
    say(&format!(
        "{backlogged} accounts had texts waiting all the time and got {least:.1} to {most:.1} \
         segments/s for their weight; {ended} campaigns had to end, the last one, of \
         {latest_size}, at {latest:.3} of its time"
    ));
    report.verdicts.iter().for_each(|floor| say(&floor.text()));
    if options.place.json {
        print_json(&report);
    }
    Ok(report.verdicts.iter().all(|verdict| verdict.met))
}

/// Makes the accounts with their lists and drafts.
async fn sign_up(
    options: &FairnessOptions,
    node: &Serving,
    store: &RunStore,
) -> Result<Vec<Customer>, BenchError> {
    let failed = refused("an account");
    let root = node.root(store).await?;
    let growth = LARGEST.powf(1.0 / f64::from(options.accounts - 1));
    let (mut customers, mut first) = (Vec::new(), 0);
    for place in 0..options.accounts {
        let size = growth.powi(place as i32).round() as u64;
        let weight = if place % WEIGHTY == 0 { 2 } else { 1 };
        let request = AccountRequest {
            name: Some(format!("account {place}")),
            weight: Some(u64::from(weight)),
            rate: None,
        };
        let account = root.0.post("/v1/accounts", &request).await;
        let account: AccountBody = account.map_err(&failed)?;
        let (client, _) = customer::user_of(&root, account.id).await?;
        // Its texts name the account.
        let contacts = contacts(first..first + size);
        let campaign = customer::draft(&client, contacts, place.to_string()).await?;
        first += size;
        customers.push(Customer {
            client,
            weight,
            size,
            campaign,
            started_at: 0,
            texts: Vec::new(),
        });
    }
    say(&format!(
        "{} accounts with {first} recipients",
        customers.len()
    ));
    Ok(customers)
}

/// The contacts file of these recipients.
fn contacts(recipients: std::ops::Range<u64>) -> String {
    let mut file = "phone\n".to_owned();
    for recipient in recipients {
        file.push_str(&format!("+1202{:07}\n", 2_000_000 + recipient));
    }
    file
}

/// Starts all campaigns, the largest first: the small ones find a queue.
async fn start(customers: &mut [Customer]) -> Result<(), BenchError> {
    for customer in customers.iter_mut().rev() {
        customer.started_at = customer::start(&customer.client, customer.campaign).await?;
    }
    Ok(())
}

/// Takes from the sandbox's book when each account's texts arrived.
fn read(book: &Path, customers: &mut [Customer]) -> Result<(), BenchError> {
    let failed = refused("the sandbox's book");
    for record in Book::read(book).map_err(&failed)? {
        if let Record::Text(text) = record.map_err(&failed)? {
            let place = text.body.parse::<usize>().ok();
            let customer = place.and_then(|place| customers.get_mut(place));
            let foreign = || BenchError::Invalid("a text of nobody".to_owned());
            customer.ok_or_else(foreign)?.texts.push(text.at);
        }
    }
    customers
        .iter_mut()
        .for_each(|customer| customer.texts.sort_unstable());
    Ok(())
}

fn judge(options: &FairnessOptions, customers: &[Customer]) -> Result<Report, BenchError> {
    let started = customers.iter().map(|customer| customer.started_at);
    let from = started.max().unwrap_or(0) + SETTLES * MICROS_PER_SECOND;
    let until = from + options.seconds * MICROS_PER_SECOND;
    let weights: u32 = customers.iter().map(|customer| customer.weight).sum();
    let (mut shares, mut late) = (Vec::new(), Vec::new());
    for customer in customers {
        let Customer { texts, weight, .. } = customer;
        let before = texts.partition_point(|at| *at < until);
        if (before as u64) < customer.size {
            let inside = before - texts.partition_point(|at| *at < from);
            shares.push(inside as f64 / options.seconds as f64 / f64::from(*weight));
        }
        // Its share while everybody waits: it is never less.
        let share = f64::from(options.rate) * f64::from(*weight) / f64::from(weights);
        let may_take = customer.size as f64 / share + LIMIT_WINDOW;
        let started_at = customer.started_at;
        if may_take * 1e6 <= (until - started_at) as f64 {
            let last = texts.last().filter(|_| texts.len() as u64 == customer.size);
            let took = last.map_or(f64::INFINITY, |at| (at - started_at) as f64 / 1e6);
            late.push((took / may_take, customer.size));
        }
    }
    if shares.len() < customers.len() / 4 {
        let what = "too few accounts had texts waiting all the time";
        return Err(BenchError::Invalid(what.to_owned()));
    }
    let latest = late
        .iter()
        .copied()
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let (latest, latest_size) = latest.unwrap_or_default();
    let most = shares.iter().copied().fold(0.0, f64::max);
    let least = shares.iter().copied().fold(most, f64::min);
    Ok(Report {
        machine: Machine::look(),
        load_average: load_average(),
        accounts: options.accounts,
        rate: options.rate,
        seconds: options.seconds,
        backlogged: shares.len(),
        shares: (least, most),
        ended: late.len(),
        latest,
        latest_size,
        verdicts: vec![
            Verdict::at_least("Jain's index of the shares", jain(&shares), JAIN_FLOOR),
            Verdict::at_most("time over what a small one may take", latest, 1.0),
        ],
    })
}

/// Jain's index: 1 when all are the same, 1 ÷ their number when one has everything.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}
