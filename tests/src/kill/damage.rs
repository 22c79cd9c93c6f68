//! Flipped bytes and cut tails in the folder of a stopped node, on copies, for each file
//! of it at drawn places. Damage must be detected, with a message that names the folder
//! or row, or be harmless: everything verifies and every row is as it was.
//!
//! What is right for a cut tail of the newest write-ahead file: after a power cut the
//! tail of what was *not* synced may be missing or torn, and recovery drops it; nobody
//! was told of it. The tail of a stopped node was synced, commit by commit, so a disk
//! on which it is missing has lied. Dropping it in silence would take back what people
//! were told, and send texts a second time; so it must be detected as well. Cutting
//! zeros that nothing was written to yet is harmless.

mod cases;
pub mod reading;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use self::cases::{Case, cases, copy_folder};
use super::figures::{Figures, Kind};
use super::running::{Running, Stage};
use crate::child::{ChildNode, ChildSettings};
use crate::world::{Plan, say};

/// Recipients of the campaign that leaves the folder: enough for the store to have
/// written sorted files.
const RECIPIENTS: u32 = 12_000;

/// The node is stopped when so many texts were taken: work is left in every source.
const STOPPED_AT: u64 = 8_000;

/// Damages that are found on opening are shown to a real node too, this many of them.
const SHOWN_TO_A_NODE: usize = 6;

/// What became of a damage.
enum Found {
    Harmless,
    Detected(String),
    Wrong(String),
}

/// Damages every file of a stopped node's folder.
pub fn run(plan: Plan, figures: &mut Figures) {
    let (mut random, partitions) = (super::random(&plan), plan.partitions);
    say(&format!("damage: seed {}", plan.seed));
    let mut running = Running::start(plan, RECIPIENTS);
    let (runtime, begun) = (running.world.runtime.clone(), running.world.runtime.boot());
    running.wait("the start", |running| running.is_at(Stage::Starting));
    running.wait("texts", |running| running.world.taken() >= STOPPED_AT);
    running.stop(figures);
    let settings = running.world.settings.clone();
    let Read::All(whole) = read(&settings.folder, partitions) else {
        panic!("what is not damaged cannot be read");
    };
    let mut copy = settings.clone();
    copy.folder = settings.folder.join("damaged");
    let mut how = BTreeMap::<String, u64>::new();
    let mut shown = 0;
    for case in cases(&settings.data(), &mut random) {
        copy_folder(&settings.data(), &copy.data());
        case.damage(&copy.data());
        figures.count(Kind::Damage);
        let found = look(&copy.folder, partitions, &whole);
        let word = count(&case, &found, &mut how, figures);
        if word == "detected on opening" && shown < SHOWN_TO_A_NODE {
            shown += 1;
            show_to_a_node(&case, &settings, &copy, figures);
        }
    }
    for (told, count) in how {
        say(&format!("  {count:>4} × {told}"));
    }
    let took = (runtime.boot() - begun) as f64 / 1e6;
    figures.seconds.insert("damage", took);
}

/// What a process said of a folder.
enum Read {
    All(String),
    Detected(String),
    Ended(String),
}

/// Reads a damaged folder, as a node's start and `verify` do, and compares.
fn look(folder: &Path, partitions: u16, whole: &str) -> Found {
    match read(folder, partitions) {
        Read::All(reading) if reading == whole => Found::Harmless,
        Read::All(reading) => Found::Wrong(format!("{reading} instead of {whole}")),
        Read::Detected(detected) => Found::Detected(detected),
        Read::Ended(how) => Found::Wrong(how),
    }
}

/// Reads a folder in a process of its own: damage may end the one that meets it, and
/// then this one tells of it.
fn read(folder: &Path, partitions: u16) -> Read {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut reader = Command::new(program);
    reader.arg(reading::COMMAND).arg(folder);
    let output = reader.arg(partitions.to_string()).output();
    let output = output.expect("the reader starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(reading::READ) => Read::All(said),
        Some(reading::DETECTED) => Read::Detected(said),
        _ => {
            let last = String::from_utf8_lossy(&output.stderr);
            let last = last.lines().last().unwrap_or("nothing");
            Read::Ended(format!("the reader ended with {}: {last}", output.status))
        }
    }
}

fn count(
    case: &Case,
    found: &Found,
    how: &mut BTreeMap<String, u64>,
    figures: &mut Figures,
) -> &'static str {
    let (word, told) = match found {
        Found::Harmless => ("harmless", String::new()),
        Found::Detected(told) if told.starts_with(reading::OPENING) => {
            ("detected on opening", told.clone())
        }
        Found::Detected(told) => ("detected on reading", told.clone()),
        Found::Wrong(told) => {
            figures.wrong(&format!("SERVED WRONG: {case}: {told}"));
            ("SERVED WRONG", told.clone())
        }
    };
    *figures.damage.entry(word).or_default() += 1;
    let told = without_particulars(&told);
    let kind = case.kind();
    *how.entry(format!("{kind}: {word} {told}")).or_default() += 1;
    word
}

/// A message without folder, checksums and other numbers: cases of a kind are one line.
fn without_particulars(told: &str) -> String {
    let detail = told.split(" is damaged (").last().unwrap_or_default();
    let detail = detail.split("): restore").next().unwrap_or_default();
    let letters = detail.chars().filter(|letter| !letter.is_ascii_digit());
    letters.collect()
}

/// A node must not serve such a folder.
fn show_to_a_node(
    case: &Case,
    settings: &ChildSettings,
    copy: &ChildSettings,
    figures: &mut Figures,
) {
    copy_folder(&settings.data(), &copy.data());
    case.damage(&copy.data());
    let from = settings.folder.join("settings.toml");
    std::fs::copy(from, copy.folder.join("settings.toml")).expect("settings are copied");
    let mut node = ChildNode::spawn(copy);
    let mut serves = false;
    let ended = node.ended_before(|| {
        serves = times_served(copy) > 0;
        serves
    });
    let is_told = ended.is_some_and(|status| status.code() == Some(DATA_FOLDER_EXIT));
    if serves || !is_told {
        figures.wrong(&format!("{case}: a node ended with {ended:?}"));
    }
    *figures
        .damage
        .entry("  real nodes that refused to serve")
        .or_default() += 1;
}

/// What a node ends with when its folder cannot be used.
const DATA_FOLDER_EXIT: i32 = 5;

fn times_served(settings: &ChildSettings) -> usize {
    let log = std::fs::read_to_string(settings.folder.join("log"));
    log.unwrap_or_default().matches("volley serves").count()
}
