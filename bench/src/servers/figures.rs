//! `bench servers`: what goes through one node on a Kafka and a Cassandra that share its two
//! processors, and what a message costs there.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tests::backends::kafka::PRODUCER;

use super::numbers::Numbers;
use super::{Servers, counted, draft, ended};
use crate::customer;
use crate::engine_run::{RunStore, start_counter};
use crate::failure::BenchError;
use crate::machine::{Machine, boot_micros, cpu_micros_of, load_average, require_disk};
use crate::options::{Place, count};
use crate::provider::Reach;
use crate::report::{Verdict, mebibytes, print_json, say};
use crate::serving::Serving;

/// Statements that write, as `volley_cql_statements_total` names them.
const WRITES: [&str; 4] = ["put", "put_once", "replace", "delete"];

/// What happens less often than this for each message is not told.
const SELDOM: f64 = 0.005;

/// Rows of CQL that may be written for a recipient of a campaign: the message and the binding of the
/// provider's text to it, one each, and a tenth for what is written once for each group.
const WRITES_CEILING: f64 = 2.1;

/// How often the node is asked how much it has taken in.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct FiguresOptions {
    /// Recipients of the campaign, such as 20k.
    #[arg(long, value_parser = count, default_value = "20k")]
    recipients: u64,
    /// Requests in Kafka.
    #[arg(long, value_parser = count, default_value = "10k")]
    records: u64,
    /// Segments per second of the provider account.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Connections to the provider, one request in flight on each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    #[command(flatten)]
    place: Place,
}

/// What some messages cost.
#[derive(Debug, Serialize)]
struct Cost {
    messages: u64,
    /// Until the provider had them all.
    messages_per_second: f64,
    /// CPU seconds for 1,000 of them: the node's.
    node_cpu_per_1000: f64,
    /// Kafka's.
    kafka_cpu_per_1000: f64,
    /// Cassandra's.
    cassandra_cpu_per_1000: f64,
    /// The servers' part of the CPU time of node and servers.
    servers_share: f64,
    /// Rows written to CQL for each, by table and verb.
    rows: Vec<(String, f64)>,
    /// Records written to Kafka for each, by kind of topic.
    records: Vec<(String, f64)>,
    /// Statements that read from CQL, for each, by table and verb.
    reads: Vec<(String, f64)>,
    /// Messages for each group commit, and what one took, in milliseconds.
    messages_per_commit: f64,
    commit_ms: f64,
}

impl Cost {
    fn rows_written(&self) -> f64 {
        sum(&self.rows)
    }

    fn text(&self, what: &str) -> String {
        let list = |list: &[(String, f64)]| {
            let each = list.iter().map(|(name, each)| format!("{name} {each:.2}"));
            each.collect::<Vec<_>>().join(", ")
        };
        format!(
            "{what}: {:.0}/s; CPU-s per 1,000: node {:.3}, Kafka {:.3}, Cassandra {:.3} \
             (the servers {:.0} % of all)\n  \
             a group commit for {:.1} messages, in {:.1} ms\n  \
             {:.2} rows written for each: {}\n  \
             {:.2} rows read for each: {}\n  \
             {:.2} records in Kafka for each: {}",
            self.messages_per_second,
            self.node_cpu_per_1000,
            self.kafka_cpu_per_1000,
            self.cassandra_cpu_per_1000,
            100.0 * self.servers_share,
            self.messages_per_commit,
            self.commit_ms,
            self.rows_written(),
            list(&self.rows),
            sum(&self.reads),
            list(&self.reads),
            sum(&self.records),
            list(&self.records),
        )
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_average: f64,
    rate: f64,
    connections: u32,
    /// Records that were taken in from Kafka in a second, while their texts left.
    records_in_per_second: f64,
    from_kafka: Cost,
    campaign: Cost,
    peak_memory_mib: f64,
    verdicts: Vec<Verdict>,
}

fn sum(list: &[(String, f64)]) -> f64 {
    list.iter().map(|(_, each)| each).sum()
}

/// What an operator reads as `table put`.
fn words(labels: &str) -> String {
    let values = labels.split('"').skip(1).step_by(2);
    values.collect::<Vec<_>>().join(" ")
}

/// A node at work, with what is known of it before.
struct Watched<'a> {
    servers: &'a Servers,
    node: &'a Serving,
    url: &'a str,
    began: u64,
    node_cpu: u64,
    servers_cpu: [u64; 2],
    numbers: Numbers,
}

impl<'a> Watched<'a> {
    fn begin(servers: &'a Servers, node: &'a Serving, url: &'a str) -> Result<Self, BenchError> {
        Ok(Self {
            numbers: Numbers::ask(url)?,
            node_cpu: cpu_micros_of(node.process()),
            servers_cpu: servers.cpu_micros(),
            began: boot_micros(),
            servers,
            node,
            url,
        })
    }

    /// So many messages have gone through by now.
    fn end(self, messages: u64, sent_at: u64) -> Result<Cost, BenchError> {
        let numbers = Numbers::ask(self.url)?;
        let each = |sum: f64| sum / messages as f64;
        let node = (cpu_micros_of(self.node.process()) - self.node_cpu) as f64;
        let [kafka, cassandra] = self.servers.cpu_micros();
        let kafka = (kafka - self.servers_cpu[0]) as f64;
        let cassandra = (cassandra - self.servers_cpu[1]) as f64;
        let statements = numbers.grown(&self.numbers, "volley_cql_statements_total");
        let statements = statements.map(|(labels, grown)| (words(labels), each(grown)));
        let seldom = |(_, each): &(String, f64)| *each >= SELDOM;
        let (rows, reads) = statements.filter(seldom).partition(|(words, _)| {
            let verb = words.rsplit(' ').next();
            verb.is_some_and(|verb| WRITES.contains(&verb))
        });
        let commits = |of: &str| numbers.sum(of, "") - self.numbers.sum(of, "");
        let number_of_commits = commits("volley_store_commit_seconds_count").max(1.0);
        let records = numbers.grown(&self.numbers, "volley_kafka_written_records_total");
        let records = records.map(|(labels, grown)| (words(labels), each(grown)));
        Ok(Cost {
            messages,
            messages_per_second: messages as f64 * 1e6 / (sent_at - self.began) as f64,
            node_cpu_per_1000: each(node) / 1e3,
            kafka_cpu_per_1000: each(kafka) / 1e3,
            cassandra_cpu_per_1000: each(cassandra) / 1e3,
            servers_share: (kafka + cassandra) / (node + kafka + cassandra),
            records: records.collect(),
            reads,
            rows,
            messages_per_commit: messages as f64 / number_of_commits,
            commit_ms: 1e3 * commits("volley_store_commit_seconds_sum") / number_of_commits,
        })
    }
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When the run fails.
pub fn run(options: &FiguresOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let servers = Servers::start()?;
    let store = RunStore::empty(&options.place.folder)?;
    let (mut counter, listening) = start_counter()?;
    let reach = Reach {
        address: listening.address,
        connections: options.connections,
        rate: options.rate,
        callbacks: true,
    };
    let node = servers.node(&store, &reach)?;
    let root = servers.tasks.block_on(node.root(&store))?;
    let url = root.1.clone();
    let (user, key) = servers.tasks.block_on(customer::sign_up(&root))?;

    let watched = Watched::begin(&servers, &node, &url)?;
    produce(&servers, key.expose(), options.records);
    let taken = "volley_kafka_records_total";
    while Numbers::ask(&url)?.sum(taken, "accepted") < options.records as f64 {
        std::thread::sleep(LOOK_EVERY);
    }
    let all_in = boot_micros();
    let records_in_per_second = options.records as f64 * 1e6 / (all_in - watched.began) as f64;
    counted(&mut counter, options.records)?;
    let from_kafka = watched.end(options.records, boot_micros())?;

    let tasks = &servers.tasks;
    let campaign = tasks.block_on(draft(&user, options.recipients))?;
    let watched = Watched::begin(&servers, &node, &url)?;
    tasks.block_on(customer::start(&user, campaign))?;
    let numbers = tasks.block_on(ended(&user, campaign))?;
    let counted = counted(&mut counter, options.records + options.recipients)?;
    let campaign = watched.end(options.recipients, boot_micros())?;
    if counted.texts != options.records + options.recipients || numbers.accepted == 0 {
        let texts = counted.texts;
        return Err(BenchError::Invalid(format!("{texts} texts, {numbers:?}")));
    }
    let report = Report {
        machine: Machine::look(),
        load_average: load_average(),
        rate: options.rate,
        connections: options.connections,
        records_in_per_second,
        peak_memory_mib: mebibytes(node.peak_memory_bytes()),
        verdicts: vec![Verdict::at_most(
            "rows written for a recipient",
            campaign.rows_written(),
            WRITES_CEILING,
        )],
        from_kafka,
        campaign,
    };
    Ok(tell(&report, options.place.json))
}

fn tell(report: &Report, json: bool) -> bool {
    say(&format!(
        "{:.0} records/s taken in from Kafka; peak {:.0} MiB",
        report.records_in_per_second, report.peak_memory_mib
    ));
    say(&report.from_kafka.text("from Kafka"));
    say(&report.campaign.text("campaign"));
    report.verdicts.iter().for_each(|floor| say(&floor.text()));
    if json {
        print_json(report);
    }
    report.verdicts.iter().all(|verdict| verdict.met)
}

/// Puts requests into Kafka with its own producer, each for another person.
fn produce(servers: &Servers, key: &str, records: u64) {
    let topic = format!("{}.requests.marketing", servers.prefix());
    let lines = (0..records).map(|index| {
        let number = 5_000_000 + index;
        format!("volley-key:{key}\t{{\"to\":\"+1202{number:07}\",\"body\":\"Hello {index}\"}}\n")
    });
    let arguments = ["--topic", &topic, "--reader-property", "parse.headers=true"];
    servers
        .kafka
        .tool(PRODUCER, &arguments, &lines.collect::<String>());
}
