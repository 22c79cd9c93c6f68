//! Nodes on real servers: a Kafka broker and a Cassandra node on this same machine, started for
//! one benchmark, with a keyspace and topics of their own.

pub mod figures;
mod numbers;
pub mod returns;
pub mod takeover;

use std::time::Duration;

use engine::client::NodeClient;
use engine::runtime::Runtime;
use schemas::CampaignId;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers};
use tests::backends::cassandra::Cassandra;
use tests::backends::ground::Ground;
use tests::backends::kafka::Kafka;
use tests::fixture;

use crate::child::Process;
use crate::customer;
use crate::engine_run::RunStore;
use crate::failure::{BenchError, machine, refused};
use crate::machine::{boot_micros, cpu_micros_of};
use crate::provider::{Counted, Reach};
use crate::recipients::{self, TEMPLATE};
use crate::serving::Serving;

/// How often a campaign is looked at, and the counter asked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A run in which nothing happens for this long has failed, in microseconds.
const STANDSTILL_MICROS: u64 = 120_000_000;

/// Servers, and what is on them. Dropping it ends them.
pub struct Servers {
    pub kafka: Kafka,
    pub cassandra: Cassandra,
    ground: Ground,
    /// Whoever asks nodes lives here.
    pub tasks: tokio::runtime::Runtime,
}

impl Servers {
    /// Starts them, and makes the tables.
    ///
    /// # Errors
    /// [`BenchError::Invalid`] where Java or Maven are missing.
    pub fn start() -> Result<Self, BenchError> {
        let (Some(kafka), Some(cassandra)) = (Kafka::start(1), Cassandra::start()) else {
            let what = "it needs Java 17 and Maven for the servers";
            return Err(BenchError::Invalid(what.to_owned()));
        };
        let tasks = fixture::tasks();
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let ground = tasks.block_on(Ground::make(&cassandra, &kafka, "bench", &runtime));
        Ok(Self {
            kafka,
            cassandra,
            ground,
            tasks,
        })
    }

    /// Starts a node on them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn node(&self, store: &RunStore, reach: &Reach) -> Result<Serving, BenchError> {
        let settings = reach.settings() + &self.ground.sections();
        Serving::start(store, &settings)
    }

    /// What the names of its topics begin with.
    pub fn prefix(&self) -> &str {
        &self.ground.kafka.prefix
    }

    /// CPU time of Kafka and of Cassandra so far, in microseconds.
    pub fn cpu_micros(&self) -> [u64; 2] {
        [self.kafka.process(0), self.cassandra.process()].map(cpu_micros_of)
    }
}

/// A campaign to so many contacts, imported and not started.
///
/// # Errors
/// When the node refuses.
pub async fn draft(client: &NodeClient, recipients: u64) -> Result<CampaignId, BenchError> {
    let mut contacts = Vec::new();
    let written = recipients::write(&mut contacts, recipients);
    written.map_err(machine("the contacts"))?;
    let contacts = String::from_utf8(contacts).map_err(refused("the contacts"))?;
    customer::draft(client, contacts, TEMPLATE.to_owned()).await
}

/// Waits until nothing of a campaign is pending.
pub async fn ended(
    client: &NodeClient,
    campaign: CampaignId,
) -> Result<CampaignNumbers, BenchError> {
    let path = format!("/v1/campaigns/{campaign}");
    let (mut before, mut changed_at) = (None, boot_micros());
    loop {
        // While servers are away it says so.
        if let Ok(body) = client.get::<CampaignBody>(&path).await {
            let numbers = body.numbers;
            if numbers.pending == 0 && !numbers.still_counting && numbers.total_recipients > 0 {
                return Ok(numbers);
            }
            if before.as_ref() != Some(&numbers) {
                (before, changed_at) = (Some(numbers), boot_micros());
            }
        }
        stands_still(changed_at, "the campaign")?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the counter has counted so many texts.
pub fn counted(counter: &mut Process, texts: u64) -> Result<Counted, BenchError> {
    let (mut before, mut changed_at) = (0, boot_micros());
    loop {
        let counted: Counted = counter.ask("count")?;
        if counted.texts >= texts {
            return Ok(counted);
        }
        if counted.texts != before {
            (before, changed_at) = (counted.texts, boot_micros());
        }
        stands_still(changed_at, "the counter")?;
        std::thread::sleep(LOOK_EVERY);
    }
}

fn stands_still(since: u64, what: &str) -> Result<(), BenchError> {
    if boot_micros() - since > STANDSTILL_MICROS {
        return Err(BenchError::Invalid(format!("{what} stands still")));
    }
    Ok(())
}
