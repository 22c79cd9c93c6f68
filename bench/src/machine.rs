//! What the machine says: clocks, memory, load and versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::failure::{BenchError, machine};

/// Microseconds since boot; comparable between processes.
pub fn boot_micros() -> u64 {
    micros(ClockId::Boottime)
}

/// Microseconds since 1970, by the wall clock.
pub fn wall_micros() -> u64 {
    micros(ClockId::Realtime)
}

/// CPU time of this process, user and system of all threads, in microseconds.
pub fn cpu_micros() -> u64 {
    micros(ClockId::ProcessCPUTime)
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000).unwrap_or(0)
}

/// The most memory that this process ever held at once, in bytes: `VmHWM`.
pub fn peak_memory_bytes() -> u64 {
    peak_memory_bytes_of("self")
}

/// The same of another process, by its number.
pub fn peak_memory_bytes_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

/// CPU time of another process so far, user and system of all threads, in microseconds.
#[cfg(feature = "cluster")]
pub fn cpu_micros_of(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Its name may hold anything, and ends with the last bracket; the fields are 14 and 15.
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<u64>() * 1_000_000 / rustix::param::clock_ticks_per_second()
}

/// One thread for those who ask a node, so that they take no more than one processor.
///
/// # Errors
/// When the system refuses.
pub fn asking_thread() -> Result<tokio::runtime::Runtime, BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(machine("a runtime cannot be started"))
}

/// Where and with what the figures were measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Release of this software.
    pub volley: &'static str,
    /// The compiler's release; empty when it is not installed here.
    pub rustc: String,
}

impl Machine {
    /// Asks the machine.
    pub fn look() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            cpu: model
                .unwrap_or("unknown")
                .trim_start_matches([' ', '\t', ':'])
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            volley: env!("CARGO_PKG_VERSION"),
            rustc: rustc.unwrap_or_default(),
        }
    }
}

/// Processes that ran or wanted to run, averaged over the last minute.
pub fn load_average() -> f64 {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

/// `f_type` of a file system in memory (`linux/magic.h`). Its type differs between
/// targets; this one holds them all.
const TMPFS_MAGIC: i128 = 0x0102_1994;

/// Refuses a folder that lies in memory: a durable write there costs nothing.
///
/// # Errors
/// When it does, or cannot be made.
pub fn require_disk(folder: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(folder).map_err(machine("the folder for the stores cannot be made"))?;
    let found = rustix::fs::statfs(folder)
        .map_err(|error| machine("the folder's file system is unknown")(error.into()))?;
    if i128::from(found.f_type) == TMPFS_MAGIC {
        let folder = folder.display();
        return Err(BenchError::Invalid(format!(
            "{folder} lies in memory: choose another --folder"
        )));
    }
    Ok(())
}

/// Copies a folder with everything in it and syncs each file, so that no write of the
/// copy is still under way while something is measured.
///
/// # Errors
/// What the file system says.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), BenchError> {
    let failed = machine("a store cannot be copied");
    fs::create_dir_all(to).map_err(&failed)?;
    for entry in fs::read_dir(from).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(&failed)?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(&failed)?;
            let copied = fs::OpenOptions::new()
                .write(true)
                .open(&target)
                .map_err(&failed)?;
            copied.sync_all().map_err(&failed)?;
        }
    }
    Ok(())
}
