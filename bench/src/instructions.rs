//! Instructions that a text costs, counted by valgrind's callgrind: the whole node in one
//! thread and in virtual time, so that a busy machine counts what a quiet one does and a
//! slower hot path shows before anybody's clock does.
//!
//! Two campaigns are run, and what the larger one has more is divided by its further
//! recipients: what a start and an end cost falls out.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Serialize;

use crate::failure::{BenchError, machine};
use crate::report::{Verdict, print_json, say};

/// What is counted: lives of the process, and not what judges them afterwards.
const COUNTED: &str = "tests::simulation::life::live";

/// Recipients of the two campaigns: some group commits, and some seconds under valgrind.
const RECIPIENTS: [u64; 2] = [1_000, 3_000];

/// The figure that was last written down.
const WRITTEN_DOWN: &str = include_str!("../instructions.txt");

/// By how much of it a text may cost more. Another processor's `memcpy` is worth a
/// thousandth.
const TOLERANCE: f64 = 0.02;

/// How the instructions of a text are counted.
#[derive(Args, Clone, Debug)]
pub struct InstructionsOptions {
    /// Prints the report as one line of JSON to standard output too.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    instructions_per_text: f64,
    written_down: f64,
    verdict: Verdict,
}

/// Counts, and tells whether a text costs no more than was written down.
///
/// # Errors
/// When valgrind is missing or a campaign fails.
pub fn run(options: &InstructionsOptions) -> Result<bool, BenchError> {
    let written_down: f64 = WRITTEN_DOWN
        .trim()
        .parse()
        .map_err(|_| BenchError::Invalid("bench/instructions.txt is not a number".to_owned()))?;
    let [small, large] = RECIPIENTS;
    let more = count(large)? - count(small)?;
    let instructions_per_text = more as f64 / (large - small) as f64;
    say(&format!(
        "{instructions_per_text:.0} instructions a text, {written_down} written down"
    ));
    let most = (written_down * (1.0 + TOLERANCE)).round();
    let verdict = Verdict::at_most("instructions a text", instructions_per_text, most);
    say(&verdict.text());
    if instructions_per_text < written_down * (1.0 - TOLERANCE) {
        say("it costs less now: write the figure down in bench/instructions.txt");
    }
    let met = verdict.met;
    if options.json {
        print_json(&Report {
            instructions_per_text,
            written_down,
            verdict,
        });
    }
    Ok(met)
}

/// Instructions of a campaign to so many people.
fn count(recipients: u64) -> Result<u64, BenchError> {
    let myself = std::env::current_exe().map_err(machine("this program's own path"))?;
    let folder = std::env::temp_dir().join(format!("volley-hot-path-{}", std::process::id()));
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(myself)
        .args(["hot-path", "--recipients", &recipients.to_string()])
        .arg("--folder")
        .arg(&folder)
        .output()
        .map_err(machine("valgrind"))?;
    // What it uploaded; nothing else is on a disk.
    let _ = std::fs::remove_dir_all(&folder);
    let told = String::from_utf8_lossy(&ran.stderr);
    // `==4711== Collected : 123456`
    let collected = told.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok());
    match collected.filter(|count| ran.status.success() && *count > 0) {
        Some(collected) => Ok(collected),
        None => Err(BenchError::Child {
            role: "valgrind".to_owned(),
            said: told.into_owned(),
        }),
    }
}

/// The child process `hot-path`: nothing but the campaign.
///
/// # Errors
/// When something was not as it must be.
pub fn run_hot_path(folder: &Path, recipients: u64) -> Result<(), BenchError> {
    let violations = tests::simulation::hot_path(recipients, &PathBuf::from(folder));
    match violations.first() {
        None => Ok(()),
        Some(violation) => Err(BenchError::Invalid(violation.clone())),
    }
}
