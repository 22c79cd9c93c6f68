//! Real nodes under `kill -9`, SIGSTOP, SIGTERM, a full disk and damaged files, while
//! the provider goes on. What dead nodes leave must agree with itself each time, and
//! what they say in the end with the provider's book.
//!
//! - [`campaign`]: campaigns whose nodes are killed, frozen and stopped at drawn moments;
//! - [`commands`]: pauses, cancels, orders to provider accounts, with kills around them;
//! - [`full_disk`]: a disk that fills up and empties;
//! - [`damage`]: flipped bytes and cut tails in a stopped node's folder;
//! - `fleet`: nodes on servers, of which any is killed, frozen or stopped;
//! - [`running`]: a campaign that runs, and how it is judged; [`singles`]: transactional
//!   texts beside it; [`figures`]: what is counted.

mod campaign;
mod commands;
mod damage;
pub mod figures;
#[cfg(feature = "cluster")]
pub mod fleet;
mod full_disk;
mod options;
pub mod running;
pub mod singles;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::fixture;
use crate::world::{Keeping, Plan, say};
pub use damage::reading::{COMMAND as READ, run as read};
use figures::Figures;
pub use options::Options;

/// Provider accounts.
const PROVIDERS: usize = 3;

/// Each provider account's rate, segments per second: 6,000 together.
const RATE: f64 = 2_000.0;

/// The same on servers, which share the machine: 600 together.
#[cfg(feature = "cluster")]
const RATE_ON_SERVERS: f64 = 200.0;

/// Campaigns take turns with these numbers of partitions.
const PARTITIONS: [u16; 3] = [8, 1, 64];

/// The campaign after which everything there is to learn is waited for: receipts that a
/// dead node missed, and unknown texts until they are found or sent again.
const SETTLES: u64 = 1;

/// Runs everything and tells whether all is well.
pub fn run(options: &Options) -> bool {
    say(&format!(
        "seed {} (--seed repeats the draws; where they fall is the machine's)",
        options.seed
    ));
    let mut figures = Figures::default();
    for number in 0.. {
        if figures.kills() >= options.kills {
            break;
        }
        let plan = plan(options, &format!("campaign-{number}"), number);
        part(&mut figures, &plan.folder.clone(), |figures| {
            campaign::run(plan, number == SETTLES, options.kills, figures);
        });
        if !figures.wrongs.is_empty() {
            break;
        }
    }
    if options.commands > 0 {
        let plan = plan(options, "commands", 3_000);
        part(&mut figures, &plan.folder.clone(), |figures| {
            commands::run(plan, options.recipients, options.commands, figures);
        });
    }
    if options.disk {
        let plan = plan(options, "full-disk", 1_000);
        part(&mut figures, &plan.folder.clone(), |figures| {
            full_disk::run(plan, figures);
        });
    }
    if options.damage {
        let plan = plan(options, "damage", 2_000);
        part(&mut figures, &plan.folder.clone(), |figures| {
            damage::run(plan, figures);
        });
    }
    #[cfg(feature = "cluster")]
    if options.nodes > 0 {
        let plan = plan(options, "nodes", 4_000);
        part(&mut figures, &plan.folder.clone(), |figures| {
            nodes(plan, options, figures);
        });
    }
    figures.print();
    figures.wrongs.is_empty()
}

/// Starts the servers of a fleet, and runs it.
#[cfg(feature = "cluster")]
fn nodes(plan: Plan, options: &Options, figures: &mut Figures) {
    use crate::backends::cassandra::Cassandra;
    use crate::backends::ground::Ground;
    use crate::backends::kafka::Kafka;
    let (Some(cassandra), Some(kafka)) = (Cassandra::start(), Kafka::start(1)) else {
        figures.skipped.push("nodes: no servers".to_owned());
        return;
    };
    let tasks = fixture::tasks();
    let runtime = engine::runtime::Runtime::of_machine(tasks.handle().clone());
    let ground = Ground::make(&cassandra, &kafka, "nodes", &runtime);
    let mut ground = tasks.block_on(ground);
    ground.kafka.owners = fleet::owners();
    let plan = Plan {
        partitions: PARTITIONS[0],
        rate: RATE_ON_SERVERS,
        keeping: Keeping::OnServers(Box::new(ground.clone())),
        ..plan
    };
    fleet::run(plan, &ground, options.recipients, options.nodes, figures);
}

/// A part that panics is wrong; its folder is kept then.
fn part(figures: &mut Figures, folder: &Path, run: impl FnOnce(&mut Figures)) {
    let wrongs = figures.wrongs.len();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(figures))) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        figures.wrong(text.unwrap_or("a panic without words"));
    }
    if figures.wrongs.len() == wrongs {
        // What cannot be removed is replaced by the next run.
        let _ = std::fs::remove_dir_all(folder);
    } else {
        say(&format!("kept for a look: {}", folder.display()));
    }
}

fn plan(options: &Options, name: &str, number: u64) -> Plan {
    let program = std::env::current_exe().expect("a program knows its path");
    let parent = options.folder.to_string_lossy();
    let partitions = PARTITIONS[(number % PARTITIONS.len() as u64) as usize];
    Plan {
        program: program.to_string_lossy().into_owned(),
        folder: fixture::folder(&parent, name),
        partitions,
        providers: PROVIDERS,
        rate: RATE,
        seed: options.seed.wrapping_add(number),
        keeping: Keeping::InFolder,
    }
}

/// What a part draws from.
fn random(plan: &Plan) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(plan.seed)
}
