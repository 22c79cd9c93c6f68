//! `bench dispatch`: messages per second of the whole engine, beside what the box
//! allows, in the same run and against the same bare counter.

use clap::Args;
use serde::Serialize;

use crate::engine_run::{EngineRun, Stores, against_counter, against_sandbox, start_counter};
use crate::failure::{BenchError, machine};
use crate::machine::{Machine, boot_micros, cpu_micros, load_average, require_disk};
use crate::options::{Place, count};
use crate::report::{Spread, Verdict, print_json, say};
use crate::request::{self, CapturedRequest};
use crate::{hyper_client, raw, wrk};

/// Requests of one run of a client: some two seconds.
const CLIENT_TEXTS: u64 = 150_000;

/// Threads of the raw and hyper clients. With two they share both processors with the
/// counter, as the engine does.
const CLIENT_THREADS: usize = 2;

/// The share of the box's limit that the engine must reach.
const SHARE_FLOOR: f64 = 0.20;

/// MiB that a node may take with this many recipients or more in flight.
const MEMORY_FLOOR: (u64, f64) = (1_000_000, 64.0);

/// MiB that it may take above its peak at the smaller number.
const GROWTH_FLOOR: (u64, u64, f64) = (100_000, 1_000_000, 8.0);

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct DispatchOptions {
    /// Sizes of campaigns, such as 10k,100k,1M.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "10k,100k,1M")]
    pub recipients: Vec<u64>,
    /// Connections to the provider, one request in flight on each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Rounds, in which the engine and the clients take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    #[command(flatten)]
    pub place: Place,
}

/// A client's figures.
#[derive(Clone, Debug, Default, Serialize)]
struct ClientRuns {
    messages_per_second: Vec<f64>,
    cpu_seconds_per_1000: Vec<f64>,
}

/// Everything measured for one size.
#[derive(Clone, Debug, Serialize)]
struct SizeReport {
    recipients: u64,
    contacts_imported_per_second: f64,
    load_average: f64,
    wrk: Option<Spread>,
    raw: Spread,
    raw_cpu_seconds_per_1000: Spread,
    hyper: Spread,
    hyper_cpu_seconds_per_1000: Spread,
    engine: Spread,
    engine_cpu_seconds_per_1000: Spread,
    engine_peak_memory_mib: Spread,
    engine_first_message_ms: Spread,
    /// The median over L: the higher median of wrk and raw.
    share_of_limit: f64,
    /// The median over H: the median of hyper.
    share_of_hyper: f64,
    /// On the sandbox with its book, receipts fetched; every text exactly once.
    exactly_once: EngineRun,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    connections: u32,
    rounds: u16,
    sizes: Vec<SizeReport>,
    verdicts: Vec<Verdict>,
}

/// Runs the benchmark and prints its report. Tells whether every floor was met.
///
/// # Errors
/// When a run fails or does not count.
pub fn run(options: &DispatchOptions) -> Result<bool, BenchError> {
    require_disk(&options.place.folder)?;
    let machine = Machine::look();
    say(&format!(
        "{}, {} processors, Linux {}, volley {}, {}",
        machine.cpu, machine.cores, machine.kernel, machine.volley, machine.rustc
    ));
    let clients = Clients::new(options)?;
    let stores = Stores::new(&options.place.folder);
    let mut sizes = Vec::new();
    for recipients in &options.recipients {
        let report = measure(options, &clients, &stores, *recipients);
        stores.forget(*recipients);
        let report = report?;
        print_size(&report);
        sizes.push(report);
    }
    let verdicts = verdicts(&sizes);
    verdicts.iter().for_each(|verdict| say(&verdict.text()));
    let met = verdicts.iter().all(|verdict| verdict.met);
    if options.place.json {
        let (connections, rounds) = (options.connections, options.rounds);
        print_json(&Report {
            machine,
            connections,
            rounds,
            sizes,
            verdicts,
        });
    }
    Ok(met)
}

fn measure(
    options: &DispatchOptions,
    clients: &Clients,
    stores: &Stores,
    recipients: u64,
) -> Result<SizeReport, BenchError> {
    let prepared = stores.prepare(recipients)?;
    let mut load = Vec::new();
    let (mut wrk, mut raw, mut hyper) = (Vec::new(), ClientRuns::default(), ClientRuns::default());
    let mut engine: Vec<EngineRun> = Vec::new();
    for round in 1..=options.rounds {
        load.push(load_average());
        wrk.extend(clients.wrk(options)?);
        clients.raw(&mut raw)?;
        clients.hyper(&mut hyper)?;
        let run = against_counter(stores, recipients, options.connections)?;
        let (last, of) = (raw.messages_per_second.last(), options.rounds);
        let raw_rate = last.copied().unwrap_or(0.0);
        let EngineRun {
            messages_per_second: rate,
            cpu_seconds_per_1000: cpu,
            peak_memory_mib: memory,
            ..
        } = &run;
        say(&format!(
            "{recipients}, round {round} of {of}: raw {raw_rate:.0}/s, engine {rate:.0}/s, \
             {cpu:.4} CPU-s per 1,000, peak {memory:.1} MiB"
        ));
        engine.push(run);
    }
    let exactly_once = against_sandbox(stores, recipients, options.connections)?;
    let spread = |figures: Vec<f64>| {
        Spread::of(figures).ok_or_else(|| BenchError::Invalid("no round was run".to_owned()))
    };
    let of_engine = |figure: fn(&EngineRun) -> f64| spread(engine.iter().map(figure).collect());
    let rate = of_engine(|run| run.messages_per_second)?;
    let (raw_rate, hyper_rate) = (
        spread(raw.messages_per_second)?,
        spread(hyper.messages_per_second)?,
    );
    let wrk = Spread::of(wrk);
    let limit = wrk.map_or(raw_rate.median, |wrk| wrk.median.max(raw_rate.median));
    Ok(SizeReport {
        recipients,
        contacts_imported_per_second: recipients as f64 / prepared.seconds,
        load_average: spread(load)?.median,
        wrk,
        raw: raw_rate,
        raw_cpu_seconds_per_1000: spread(raw.cpu_seconds_per_1000)?,
        hyper: hyper_rate,
        hyper_cpu_seconds_per_1000: spread(hyper.cpu_seconds_per_1000)?,
        engine: rate,
        engine_cpu_seconds_per_1000: of_engine(|run| run.cpu_seconds_per_1000)?,
        engine_peak_memory_mib: of_engine(|run| run.peak_memory_mib)?,
        engine_first_message_ms: of_engine(|run| run.first_message_ms.unwrap_or(f64::NAN))?,
        share_of_limit: rate.median / limit,
        share_of_hyper: rate.median / hyper_rate.median,
        exactly_once,
    })
}

fn print_size(size: &SizeReport) {
    say(&format!(
        "\n{} recipients, load average {:.1}",
        size.recipients, size.load_average
    ));
    match &size.wrk {
        Some(wrk) => say(&format!("  wrk     {}/s", wrk.text(0))),
        None => say("  wrk     skipped: needs wrk"),
    }
    let client = |name: &str, rate: &Spread, cpu: &Spread| {
        say(&format!(
            "  {name}  {}/s, {} CPU-s per 1,000",
            rate.text(0),
            cpu.text(4)
        ));
    };
    client("raw   ", &size.raw, &size.raw_cpu_seconds_per_1000);
    client("hyper ", &size.hyper, &size.hyper_cpu_seconds_per_1000);
    client("engine", &size.engine, &size.engine_cpu_seconds_per_1000);
    say(&format!(
        "          {:.3} L, {:.3} H",
        size.share_of_limit, size.share_of_hyper
    ));
    let (memory, first) = (&size.engine_peak_memory_mib, &size.engine_first_message_ms);
    say(&format!(
        "          peak {} MiB, first after {} ms",
        memory.text(1),
        first.text(1)
    ));
    let EngineRun {
        messages_per_second,
        cpu_seconds_per_1000,
        peak_memory_mib,
        ..
    } = &size.exactly_once;
    say(&format!(
        "  exactly once, on the sandbox  {messages_per_second:.0}/s, \
         {cpu_seconds_per_1000:.4} CPU-s per 1,000, peak {peak_memory_mib:.1} MiB"
    ));
    let imported = size.contacts_imported_per_second;
    say(&format!("  contacts imported before  {imported:.0}/s\n"));
}

fn verdicts(sizes: &[SizeReport]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let peak = |recipients| {
        let size = sizes.iter().find(|size| size.recipients == recipients);
        size.map(|size| size.engine_peak_memory_mib.max)
    };
    for size in sizes {
        let what = format!("share of L at {}", size.recipients);
        verdicts.push(Verdict::at_least(&what, size.share_of_limit, SHARE_FLOOR));
        if size.recipients >= MEMORY_FLOOR.0 {
            let what = format!("MiB at {}", size.recipients);
            let memory = size.engine_peak_memory_mib.max;
            verdicts.push(Verdict::at_most(&what, memory, MEMORY_FLOOR.1));
        }
    }
    if let (Some(small), Some(large)) = (peak(GROWTH_FLOOR.0), peak(GROWTH_FLOOR.1)) {
        let what = format!("MiB at {} above {}", GROWTH_FLOOR.1, GROWTH_FLOOR.0);
        verdicts.push(Verdict::at_most(&what, large - small, GROWTH_FLOOR.2));
    }
    verdicts
}

/// The clients that tell what the box allows.
struct Clients {
    runtime: tokio::runtime::Runtime,
    request: CapturedRequest,
    connections: u32,
}

impl Clients {
    fn new(options: &DispatchOptions) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CLIENT_THREADS)
            .enable_all()
            .build()
            .map_err(machine("the clients' threads"))?;
        let request = runtime.block_on(request::capture(true))?;
        Ok(Self {
            runtime,
            request,
            connections: options.connections,
        })
    }

    fn wrk(&self, options: &DispatchOptions) -> Result<Option<f64>, BenchError> {
        let (_counter, listening) = start_counter()?;
        let address = listening.address;
        wrk::requests_per_second(
            &options.place.folder,
            address,
            &self.request,
            self.connections,
        )
    }

    fn raw(&self, runs: &mut ClientRuns) -> Result<(), BenchError> {
        let (_counter, listening) = start_counter()?;
        let posted = raw::post(
            listening.address,
            &self.request,
            self.connections,
            CLIENT_TEXTS,
        );
        self.time(runs, posted)
    }

    fn hyper(&self, runs: &mut ClientRuns) -> Result<(), BenchError> {
        let (_counter, listening) = start_counter()?;
        let address = listening.address;
        let posted = hyper_client::post(address, &self.request, self.connections, CLIENT_TEXTS);
        self.time(runs, posted)
    }

    /// This process does nothing else meanwhile, so its CPU time is the client's.
    fn time(
        &self,
        runs: &mut ClientRuns,
        posting: impl Future<Output = Result<(), BenchError>>,
    ) -> Result<(), BenchError> {
        let (begun, cpu) = (boot_micros(), cpu_micros());
        self.runtime.block_on(posting)?;
        let (micros, cpu) = (boot_micros() - begun, cpu_micros() - cpu);
        runs.messages_per_second
            .push(CLIENT_TEXTS as f64 * 1e6 / micros as f64);
        runs.cpu_seconds_per_1000
            .push(cpu as f64 / 1e3 / CLIENT_TEXTS as f64);
        Ok(())
    }
}
