//! The same seed tells the same story: in processes that hash differently, on one core and
//! on all, in debug and in release. The committed hash stands for what the node does; who
//! changes what it does writes the new one down.

use std::process::Command;

/// Seeds that the committed hash is of.
const SEEDS: &[&str] = &["--seeds", "0..40"];

/// The same of several nodes on servers.
const ON_SERVERS: &[&str] = &["--servers", "--seeds", "0..40"];

#[test]
fn a_seed_tells_one_story() {
    let committed = include_str!("../simulation.hash").trim();
    is_one_story(SEEDS, committed, "simulation.hash");
}

#[test]
fn several_nodes_tell_one_story() {
    let committed = include_str!("../servers.hash").trim();
    is_one_story(ON_SERVERS, committed, "servers.hash");
}

fn is_one_story(seeds: &[&str], committed: &str, file: &str) {
    let freely = hash(Command::new(simulate()), seeds);
    assert_eq!(
        freely, committed,
        "if the node is meant to behave differently, write the new hash into tests/{file}"
    );
    assert_eq!(
        hash(on_one_core(), seeds),
        freely,
        "on one core it is another story"
    );
}

fn simulate() -> &'static str {
    env!("CARGO_BIN_EXE_simulate")
}

/// The same pinned to one core, where the system has a way to say so.
fn on_one_core() -> Command {
    let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
    if has_taskset {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0", simulate()]);
        return pinned;
    }
    let is_required = std::env::var_os("VOLLEY_REQUIRE_TOOLS").is_some();
    assert!(!is_required, "taskset is missing");
    skipped();
    Command::new(simulate())
}

fn hash(mut simulate: Command, seeds: &[&str]) -> String {
    let output = simulate
        .args(seeds)
        .args(["--quiet", "--only-hash"])
        .output()
        .expect("the simulation runs");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{told}");
    told.trim().to_owned()
}

#[allow(clippy::print_stdout)]
fn skipped() {
    println!("skipped: needs taskset");
}
