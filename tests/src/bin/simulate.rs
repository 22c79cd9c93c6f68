//! Simulates schedules and judges each: `simulate --seeds 0..5000`, or `simulate --seed 7
//! --trace` for the story of one. Ends with 1 if anything was violated, or if a fault
//! that is meant to be exercised never came about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use clap::Parser;
use tests::simulation::{EXERCISED, EXERCISED_ON_SERVERS, Kind, Report, catch_panics, run};
use tikv_jemallocator::Jemalloc;

/// A schedule is little but small allocations; this allocator hands out again first what was
/// freed last, and is still in the processor's cache.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Simulates schedules of the whole node.
#[derive(Parser)]
struct Arguments {
    /// Seeds, the first and the one behind the last: `0..5000`.
    #[arg(long, value_parser = seeds, default_value = "0..1000", conflicts_with = "seed")]
    seeds: (u64, u64),
    /// One seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Several nodes that share servers, instead of one with a disk.
    #[arg(long)]
    servers: bool,
    /// Tells what happens, line by line.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Threads; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Ends at the first schedule that is violated.
    #[arg(long)]
    fail_fast: bool,
    /// Prints nothing but violations and the last line.
    #[arg(long)]
    quiet: bool,
    /// Prints nothing but the hash of what happened.
    #[arg(long)]
    only_hash: bool,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("`{text}` is not like 0..5000");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let first = first.parse().map_err(|_| wrong())?;
    let end = end.parse().map_err(|_| wrong())?;
    if first < end {
        Ok((first, end))
    } else {
        Err(wrong())
    }
}

/// What came of many schedules.
#[derive(Default)]
struct Sum {
    schedules: u64,
    messages: u64,
    providers: u64,
    crashes: u64,
    violated: Vec<(u64, String)>,
    counts: BTreeMap<&'static str, u64>,
    /// Of every schedule, added so that their order does not matter.
    hash: u64,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.schedules += 1;
        self.messages += report.messages;
        self.providers += report.providers;
        self.crashes += report.crashes;
        self.hash = self.hash.wrapping_add(report.hash);
        for (name, count) in &report.counts {
            *self.counts.entry(name).or_default() += count;
        }
        if let Some(first) = report.violations.first() {
            self.violated.push((report.seed, first.clone()));
        }
    }
}

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    catch_panics();
    if let Some(seed) = arguments.seed {
        return one(kind(&arguments), seed, arguments.trace);
    }
    let began = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let sum = many(&arguments);
    let ended = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds =
        (ended.tv_sec - began.tv_sec) as f64 + (ended.tv_nsec - began.tv_nsec) as f64 / 1e9;
    if arguments.only_hash {
        println!("{:016x}", sum.hash);
        return if sum.violated.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let exercised = match kind(&arguments) {
        Kind::Embedded => &EXERCISED[..],
        Kind::Servers => &EXERCISED_ON_SERVERS,
    };
    let never: Vec<&str> = exercised
        .iter()
        .copied()
        .filter(|name| !sum.counts.contains_key(name))
        .collect();
    if !arguments.quiet {
        println!("{:>12}  what came about", "times");
        for (name, count) in &sum.counts {
            println!("{count:>12}  {name}");
        }
        let mean = |total: u64| total as f64 / sum.schedules as f64;
        println!(
            "means of a schedule: {:.0} messages, {:.1} provider accounts, {:.1} crashes",
            mean(sum.messages),
            mean(sum.providers),
            mean(sum.crashes)
        );
    }
    for name in &never {
        println!("never came about: {name}");
    }
    println!(
        "{} schedules in {seconds:.0} s, {:.1} a second; hash {:016x}; {} violated",
        sum.schedules,
        sum.schedules as f64 / seconds,
        sum.hash,
        sum.violated.len()
    );
    if sum.violated.is_empty() && never.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What kind of schedules is asked for.
fn kind(arguments: &Arguments) -> Kind {
    if arguments.servers {
        Kind::Servers
    } else {
        Kind::Embedded
    }
}

#[allow(clippy::print_stdout)]
fn one(kind: Kind, seed: u64, is_told: bool) -> ExitCode {
    let folder = folder(0);
    let report = run(kind, seed, &folder, is_told);
    remove(&folder);
    for line in &report.story {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("seed {seed}: {violation}");
    }
    println!(
        "seed {seed}: hash {:016x}; {} violations",
        report.hash,
        report.violations.len()
    );
    if report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Schedules after which a long run says how far it is: some minutes.
const TOLD_EVERY: u64 = 10_000;

/// Runs schedules on every core; each is on one thread.
#[allow(clippy::print_stdout, clippy::print_stderr)]
fn many(arguments: &Arguments) -> Sum {
    let (first, end) = arguments.seeds;
    let kind = kind(arguments);
    let next = AtomicU64::new(first);
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let sum = Mutex::new(Sum::default());
    let (reports, received) = mpsc::sync_channel::<Report>(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (next, reports) = (&next, reports.clone());
            scope.spawn(move || {
                let folder = folder(thread);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = run(kind, seed, &folder, false);
                    remove(&folder);
                    if reports.send(report).is_err() {
                        break;
                    }
                }
            });
        }
        drop(reports);
        for (done, report) in (1_u64..).zip(received) {
            if done.is_multiple_of(TOLD_EVERY) {
                eprintln!("{done} of {} schedules", end - first);
            }
            if let Some(violation) = report.violations.first() {
                println!("seed {}: {violation}", report.seed);
                if arguments.fail_fast {
                    next.store(end, Ordering::Relaxed);
                }
            }
            if let Ok(mut sum) = sum.lock() {
                sum.add(&report);
            }
        }
    });
    sum.into_inner().unwrap_or_default()
}

/// A folder for uploaded files, in memory where the system has such a place.
fn folder(thread: usize) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    parent.join(format!("volley-simulation-{}-{thread}", std::process::id()))
}

fn remove(folder: &std::path::Path) {
    // It may never have been made.
    let _ = std::fs::remove_dir_all(folder);
}
