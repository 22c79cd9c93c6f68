//! `bench outage`: one of three provider accounts dies in mid-campaign and does not come back.
//! Whether the others notice, and how long what was left takes through them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use engine::client::NodeClient;
use sandbox::book::{Book, Record};
use sandbox::{AccountConfig, FaultPlan, Outage, OutageKind, Sandbox, SandboxConfig};
use schemas::http::campaigns::{CampaignBody, CampaignNumbers};
use serde::Serialize;

use crate::engine_run::Stores;
use crate::failure::{BenchError, machine, refused};
use crate::machine::{Machine, asking_thread, boot_micros, load_average, require_disk};
use crate::node::CAMPAIGN;
use crate::options::{Place, count};
use crate::provider::book_folder;
use crate::report::{Verdict, print_json, say};
use crate::serving::Serving;

/// Provider accounts; the first one dies.
const ACCOUNTS: usize = 3;

/// Milliseconds from the dying account's first text to its death.
const DIES_AFTER_MS: u64 = 5_000;

/// Milliseconds that it stays dead: longer than any run.
const DEAD_FOR_MS: u64 = 3_600_000;

/// Microseconds from its death until nothing goes to it but probes.
const NOTICED_WITHIN: u64 = 5_000_000;

/// Probes that may go to it afterwards: after rests of 1, 2, 4, 8 and 16 seconds, and then one
/// in each half minute.
const PROBES: f64 = 5.0;
const PROBE_EVERY: f64 = 30.0;

/// Recipients that may get no text: of as many requests as may be in flight by default, and
/// those that fail until that is noticed.
const LOST_CEILING: f64 = 64.0 + 10.0;

/// How much longer than with the other accounts' whole rate what was left may take.
const LATE_CEILING: f64 = 1.05;

/// The share of the other accounts' rate that must be used from the death on.
const USED_FLOOR: f64 = 0.98;

/// Over so many microseconds.
const USED_OVER: u64 = 10_000_000;

/// How often the campaign is looked at, and a run in which nothing happens for this long, in
/// microseconds, has failed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const STANDSTILL_MICROS: u64 = 60_000_000;

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct OutageOptions {
    /// Recipients of the campaign, such as 60k.
    #[arg(long, value_parser = count, default_value = "60k")]
    pub recipients: u64,
    /// Segments per second of each account.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub rate: u32,
    #[command(flatten)]
    pub place: Place,
}

/// One run, with times as multiples of what they should be.
#[derive(Debug, Serialize)]
struct Run {
    kind: OutageKind,
    /// Segments that had not been submitted when the account died.
    left: u64,
    /// Seconds from the death to the last submit.
    seconds: f64,
    /// The same over `left` ÷ the other accounts' rate.
    late: f64,
    /// Texts that came to the dead account once it must have been noticed.
    to_the_dead: u64,
    /// The share of the other accounts' rate that was used after the death.
    used: f64,
    /// Texts that were taken more than once.
    twice: u64,
    /// Recipients of whom no text was taken: their attempts were under way to the dead account.
    nobody: u64,
    numbers: CampaignNumbers,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    recipients: u64,
    rate: u32,
    runs: Vec<Run>,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When a run fails.
pub fn run(options: &OutageOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let stores = Stores::new(&options.place.folder);
    stores.prepare(options.recipients)?;
    let (mut runs, mut verdicts) = (Vec::new(), Vec::new());
    for kind in [OutageKind::Refuses, OutageKind::Hangs] {
        let run = measure(options, &stores, kind)?;
        say(&format!(
            "{kind:?}: {} segments left at the death, the last submit {:.1} s later; {} texts to \
             the dead account, {} recipients without a text, {} unknown",
            run.left, run.seconds, run.to_the_dead, run.nobody, run.numbers.unknown
        ));
        verdicts.extend(judge(&run));
        runs.push(run);
    }
    stores.forget(options.recipients);
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        print_json(&Report {
            machine: Machine::look(),
            load_average: load_average(),
            recipients: options.recipients,
            rate: options.rate,
            runs,
            verdicts,
        });
    }
    Ok(met)
}

fn judge(run: &Run) -> [Verdict; 6] {
    let what = |what: &str| format!("{:?}: {what}", run.kind);
    let (unknown, nobody) = (run.numbers.unknown as f64, run.nobody as f64);
    let probes = PROBES + run.seconds / PROBE_EVERY;
    [
        Verdict::at_most(&what("time over what is needed"), run.late, LATE_CEILING),
        Verdict::at_most(&what("texts to the dead"), run.to_the_dead as f64, probes),
        Verdict::at_least(&what("share of the others' rate"), run.used, USED_FLOOR),
        Verdict::at_most(&what("texts taken twice"), run.twice as f64, 0.0),
        Verdict::at_most(
            &what("recipients without a text"),
            nobody,
            LOST_CEILING + probes,
        ),
        Verdict::at_most(&what("of them not unknown"), nobody - unknown, 0.0),
    ]
}

fn measure(options: &OutageOptions, stores: &Stores, kind: OutageKind) -> Result<Run, BenchError> {
    let store = stores.copy(options.recipients)?;
    let book = book_folder(&store.folder);
    std::fs::create_dir_all(&book).map_err(machine("the folder of the book"))?;
    let accounts: Vec<AccountConfig> = (0..ACCOUNTS).map(|place| account(place, kind)).collect();
    let sandbox = Sandbox::start(SandboxConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: accounts.clone(),
        book_folder: book.clone(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 2,
    });
    let sandbox = sandbox.map_err(refused("the sandbox"))?;
    let node = Serving::start(
        &store,
        &settings(&accounts, sandbox.address(), options.rate),
    )?;
    let runtime = asking_thread()?;
    let numbers = runtime.block_on(async { campaign(&node.user(&store).await?).await })?;
    drop(node);
    sandbox.shutdown().map_err(refused("the sandbox's book"))?;
    let run = Told::read(&book, &accounts)?.run(options, kind, numbers);
    if (run.left as f64) < others(options) * USED_OVER as f64 / 1e6 {
        let what = "too few recipients were left at the death to tell anything";
        return Err(BenchError::Invalid(what.to_owned()));
    }
    Ok(run)
}

/// Segments per second of the accounts that live on.
fn others(options: &OutageOptions) -> f64 {
    f64::from(options.rate) * (ACCOUNTS - 1) as f64
}

/// The account at this place; the first one dies.
fn account(place: usize, kind: OutageKind) -> AccountConfig {
    let (sid, sender) = (
        format!("AC{:032x}", place + 1),
        format!("+1500555000{place}"),
    );
    let mut account = AccountConfig::new(&sid, &format!("{place:032x}"), &[&sender]);
    account.outage = (place == 0).then_some(Outage {
        kind,
        after_ms: DIES_AFTER_MS,
        for_ms: DEAD_FOR_MS,
    });
    account
}

/// The settings file of a node with these accounts. Receipts are fetched.
fn settings(accounts: &[AccountConfig], address: SocketAddr, rate: u32) -> String {
    let mut settings = "[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for AccountConfig {
        account_sid,
        auth_token,
        senders,
        ..
    } in accounts
    {
        settings.push_str(&format!(
            "[[providers]]\nname = \"{account_sid}\"\nkind = \"twilio\"\nrate = {rate}.0\n\
             senders = {senders:?}\naccount_sid = \"{account_sid}\"\n\
             auth_token = \"{auth_token}\"\nbase_url = \"http://{address}\"\n"
        ));
    }
    settings
}

/// Starts the campaign and waits until nothing of it is pending.
async fn campaign(user: &NodeClient) -> Result<CampaignNumbers, BenchError> {
    let failed = refused("the campaign");
    let path = format!("/v1/campaigns/{CAMPAIGN}");
    let (start, nothing) = (format!("{path}/start"), serde_json::json!({}));
    let started: CampaignBody = user.post(&start, &nothing).await.map_err(&failed)?;
    let mut before = started.numbers;
    let mut changed_at = boot_micros();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let campaign: CampaignBody = user.get(&path).await.map_err(&failed)?;
        let numbers = campaign.numbers;
        if numbers.pending == 0 && !numbers.still_counting && numbers.total_recipients > 0 {
            return Ok(numbers);
        }
        if numbers != before {
            (before, changed_at) = (numbers, boot_micros());
        } else if boot_micros() - changed_at > STANDSTILL_MICROS {
            return Err(BenchError::Invalid("nothing goes on".to_owned()));
        }
    }
}

/// What the book tells.
#[derive(Default)]
struct Told {
    /// When each text came, in microseconds since 1970, its segments, and whether it came to
    /// the account that dies.
    texts: Vec<(u64, u64, bool)>,
    /// Texts that were taken, and their recipients.
    taken: u64,
    recipients: BTreeSet<String>,
}

impl Told {
    fn read(book: &std::path::Path, accounts: &[AccountConfig]) -> Result<Self, BenchError> {
        let mut told = Self::default();
        let dying = accounts.first().map(|account| account.account_sid.as_str());
        for record in Book::read(book).map_err(refused("the sandbox's book"))? {
            if let Record::Text(text) = record.map_err(refused("the sandbox's book"))? {
                let is_dying = Some(text.account.as_ref()) == dying;
                told.texts
                    .push((text.at, u64::from(text.segments), is_dying));
                if text.took {
                    told.taken += 1;
                    told.recipients.insert(text.to.into_owned());
                }
            }
        }
        told.texts.sort_unstable();
        Ok(told)
    }

    fn run(&self, options: &OutageOptions, kind: OutageKind, numbers: CampaignNumbers) -> Run {
        let first = self.texts.iter().find(|(_, _, is_dying)| *is_dying);
        let death = first.map_or(0, |(at, ..)| at + DIES_AFTER_MS * 1_000);
        let last = self.texts.iter().filter(|(_, _, is_dying)| !is_dying);
        let last = last.map(|(at, ..)| *at).max().unwrap_or(0);
        let sum = |wanted: &dyn Fn(u64, bool) -> bool| -> u64 {
            let texts = self.texts.iter();
            let texts = texts.filter(|(at, _, is_dying)| wanted(*at, *is_dying));
            texts.map(|(_, segments, _)| segments).sum()
        };
        // Texts to the dead account are lost and are nobody's second.
        let left = options.recipients.saturating_sub(sum(&|at, _| at < death));
        let others = others(options);
        let seconds = last.saturating_sub(death) as f64 / 1e6;
        let after = death..death + USED_OVER;
        let used = sum(&|at, is_dying| !is_dying && after.contains(&at));
        let noticed = death + NOTICED_WITHIN;
        let to_the_dead = |(at, _, is_dying): &&(u64, u64, bool)| *is_dying && *at >= noticed;
        Run {
            kind,
            left,
            seconds,
            late: seconds / (left as f64 / others),
            to_the_dead: self.texts.iter().filter(to_the_dead).count() as u64,
            used: used as f64 / (others * USED_OVER as f64 / 1e6),
            twice: self.taken - self.recipients.len() as u64,
            nobody: options.recipients - self.recipients.len() as u64,
            numbers,
        }
    }
}
