//! Plants known bugs, one at a time, and tells whether the simulation catches them:
//! `planted` for all of them, `planted --pick 3` for three that the commit chooses,
//! `planted --check` for whether all still apply and compile. Ends with 1 if one is missed.
//!
//! A bug is a patch in `tests/planted` that undoes one protection of the product. It is
//! applied to a copy of the sources, never to the sources themselves. Those in `servers` undo
//! what several nodes on the same servers need, and are looked for there.

mod copy;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

use copy::{apply, chosen, copy_sources, git, patches, target};

/// Plants bugs and looks whether they are caught.
#[derive(Parser)]
struct Arguments {
    /// Seeds that each bug gets.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// Names of bugs; all if none is given.
    names: Vec<String>,
    /// Only so many, chosen by the hash of the commit.
    #[arg(long)]
    pick: Option<usize>,
    /// Only looks whether the patches still apply and compile, those in `open` too.
    #[arg(long)]
    check: bool,
    /// Those in `tests/planted/open`, which no simulation has been seen to catch.
    #[arg(long)]
    open: bool,
}

/// What came of a planted bug.
enum Outcome {
    /// This was violated.
    Caught(String),
    /// Nothing was.
    Missed,
    /// The patch no longer applies, or does not compile.
    Broken(String),
}

fn main() -> ExitCode {
    match plant(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("cannot plant: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn plant(arguments: &Arguments) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let target = target(&root);
    let copy = target.join("planted");
    copy_sources(&root, &copy)?;
    let planted = root.join("tests/planted");
    let (on_servers, open) = (planted.join(SERVERS), planted.join("open"));
    let folders = if arguments.check || !arguments.names.is_empty() {
        vec![planted, on_servers, open]
    } else if arguments.open {
        vec![open]
    } else {
        vec![planted, on_servers]
    };
    let mut patches = patches(&folders, &arguments.names)?;
    if let Some(pick) = arguments.pick {
        patches = chosen(patches, pick, &git(&root, &["rev-parse", "HEAD"])?);
    }
    if arguments.check {
        return check(&copy, &target, &patches);
    }
    let sound = build(&copy, &target)?.map_err(io::Error::other)?;
    std::fs::copy(sound, target.join(SOUND))?;
    let mut caught = 0;
    for patch in &patches {
        let name = name(patch);
        match try_out(&copy, &target, patch, arguments.seeds)? {
            Outcome::Caught(how) => {
                caught += 1;
                say(&format!("caught  {name}: {how}"));
            }
            Outcome::Missed => say(&format!("MISSED  {name}")),
            Outcome::Broken(why) => say(&format!("BROKEN  {name}: {why}")),
        }
    }
    say(&format!(
        "{caught} of {} planted bugs caught",
        patches.len()
    ));
    Ok(caught == patches.len())
}

/// The folder of those that several nodes on the same servers catch.
const SERVERS: &str = "servers";

/// Whether all of them apply and compile. As many are planted at once as apply beside
/// each other: so a few compilations answer for all.
fn check(copy: &Path, target: &Path, patches: &[PathBuf]) -> io::Result<bool> {
    let (mut left, mut sound) = (Vec::new(), true);
    for patch in patches {
        match apply(copy, patch, &["--check"]) {
            Ok(()) => left.push(patch),
            Err(error) => {
                sound = false;
                say(&format!("BROKEN  {}: {error}", name(patch)));
            }
        }
    }
    say(&format!(
        "{} of {} planted bugs apply",
        left.len(),
        patches.len()
    ));
    while !left.is_empty() {
        let (together, rest): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|patch| apply(copy, patch, &[]).is_ok());
        let compiled = cargo(copy, target, &["check"])?;
        for patch in together.iter().rev() {
            apply(copy, patch, &["--reverse"]).map_err(io::Error::other)?;
        }
        match compiled {
            Ok(()) => say(&format!("{} of them compile together", together.len())),
            Err(errors) => {
                sound = false;
                say(&format!("BROKEN  one of {}:\n{errors}", together.len()));
            }
        }
        left = rest;
    }
    Ok(sound)
}

fn is_on_servers(patch: &Path) -> bool {
    let folder = patch.parent();
    folder.is_some_and(|folder| folder.ends_with(SERVERS))
}

fn name(patch: &Path) -> String {
    let stem = patch.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Applies a patch, simulates, and takes it back.
fn try_out(copy: &Path, target: &Path, patch: &Path, seeds: u64) -> io::Result<Outcome> {
    if let Err(error) = apply(copy, patch, &[]) {
        return Ok(Outcome::Broken(error));
    }
    let built = build(copy, target);
    apply(copy, patch, &["--reverse"]).map_err(io::Error::other)?;
    match built? {
        Ok(simulate) => {
            let kind: &[&str] = if is_on_servers(patch) {
                &["--servers"]
            } else {
                &[]
            };
            hunt(&simulate, &target.join(SOUND), kind, seeds)
        }
        Err(error) => Ok(Outcome::Broken(error)),
    }
}

/// Where the simulation without any bug is kept.
const SOUND: &str = "planted-sound";

/// Compiles the copy; gives back the simulation, or the errors.
fn build(copy: &Path, target: &Path) -> io::Result<Result<PathBuf, String>> {
    let built = cargo(copy, target, &["build", "--release"])?;
    Ok(built.map(|()| target.join("release/simulate")))
}

/// What cargo makes of the copy: nothing, or each error with its place.
fn cargo(copy: &Path, target: &Path, verb: &[&str]) -> io::Result<Result<(), String>> {
    let ran = Command::new("cargo")
        .args(verb)
        // With the features of the whole workspace, so that what is compiled is shared.
        .args(["--quiet", "--workspace", "--bin", "simulate"])
        .args(["--message-format", "short", "--target-dir"])
        .arg(target)
        .current_dir(copy)
        .stderr(Stdio::piped())
        .output()?;
    if ran.status.success() {
        return Ok(Ok(()));
    }
    let told = String::from_utf8_lossy(&ran.stderr);
    let errors: Vec<&str> = told.lines().filter(|line| line.contains("error")).collect();
    Ok(Err(errors.join("\n")))
}

/// Simulates until a seed is violated that is not without the bug.
fn hunt(simulate: &Path, sound: &Path, kind: &[&str], seeds: u64) -> io::Result<Outcome> {
    let mut from = 0;
    loop {
        let mut simulating = Command::new(simulate)
            .arg("--seeds")
            .arg(format!("{from}..{seeds}"))
            .args(["--fail-fast", "--quiet"])
            .args(kind)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut told = String::new();
        if let Some(output) = &mut simulating.stdout {
            output.read_to_string(&mut told)?;
        }
        let ended = simulating.wait()?;
        let Some(caught) = told.lines().find(|line| line.starts_with("seed ")) else {
            // A process that the bug takes with it is a catch as well.
            return Ok(match ended.code() {
                None => Outcome::Caught("the simulation itself died".to_owned()),
                Some(_) => Outcome::Missed,
            });
        };
        let seed = caught.split([' ', ':']).nth(1).unwrap_or_default();
        let mut alone = Command::new(sound);
        let alone = alone.args(["--seed", seed]).args(kind).output()?;
        if alone.status.success() {
            return Ok(Outcome::Caught(caught.to_owned()));
        }
        say(&format!("violated without the bug as well: {caught}"));
        from = seed.parse::<u64>().map_err(io::Error::other)? + 1;
    }
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
