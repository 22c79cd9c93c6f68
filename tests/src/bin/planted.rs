//! Plants known bugs, one at a time, and tells whether the simulation catches them:
//! `planted` for all of them, `planted --pick 3` for three that the commit chooses,
//! `planted --check` for whether all still apply. Ends with 1 if one is missed.
//!
//! A bug is a patch in `tests/planted` that undoes one protection of the product. It is
//! applied to a copy of the sources, never to the sources themselves.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

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
    /// Only looks whether the patches still apply, those in `open` too.
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
    let (caught, open) = (root.join("tests/planted"), root.join("tests/planted/open"));
    let folders = if arguments.check || !arguments.names.is_empty() {
        vec![caught, open]
    } else if arguments.open {
        vec![open]
    } else {
        vec![caught]
    };
    let mut patches = patches(&folders, &arguments.names)?;
    if let Some(pick) = arguments.pick {
        patches = chosen(patches, pick, &git(&root, &["rev-parse", "HEAD"])?);
    }
    if !arguments.check {
        let sound = build(&copy, &target)?.map_err(io::Error::other)?;
        std::fs::copy(sound, target.join(SOUND))?;
    }
    let (mut caught, mut wrong) = (0, 0);
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        let outcome = if arguments.check {
            match apply(&copy, patch, &["--check"]) {
                Ok(()) => continue,
                Err(error) => Outcome::Broken(error),
            }
        } else {
            try_out(&copy, &target, patch, arguments.seeds)?
        };
        match outcome {
            Outcome::Caught(how) => {
                caught += 1;
                say(&format!("caught  {name}: {how}"));
            }
            Outcome::Missed => {
                wrong += 1;
                say(&format!("MISSED  {name}"));
            }
            Outcome::Broken(why) => {
                wrong += 1;
                say(&format!("BROKEN  {name}: {why}"));
            }
        }
    }
    let all = patches.len();
    if arguments.check {
        say(&format!("{} of {all} planted bugs apply", all - wrong));
    } else {
        say(&format!("{caught} of {all} planted bugs caught"));
    }
    Ok(wrong == 0)
}

/// Applies a patch, simulates, and takes it back.
fn try_out(copy: &Path, target: &Path, patch: &Path, seeds: u64) -> io::Result<Outcome> {
    if let Err(error) = apply(copy, patch, &[]) {
        return Ok(Outcome::Broken(error));
    }
    let built = build(copy, target);
    apply(copy, patch, &["--reverse"]).map_err(io::Error::other)?;
    match built? {
        Ok(simulate) => hunt(&simulate, &target.join(SOUND), seeds),
        Err(error) => Ok(Outcome::Broken(error)),
    }
}

/// Where the simulation without any bug is kept.
const SOUND: &str = "planted-sound";

/// Compiles the copy; gives back the simulation, or the first error.
fn build(copy: &Path, target: &Path) -> io::Result<Result<PathBuf, String>> {
    let built = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--quiet",
            // With the features of the whole workspace, so that what is compiled is shared.
            "--workspace",
            "--bin",
            "simulate",
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(copy)
        .stderr(Stdio::piped())
        .output()?;
    if built.status.success() {
        return Ok(Ok(target.join("release/simulate")));
    }
    let error = String::from_utf8_lossy(&built.stderr);
    let first = error.lines().find(|line| line.starts_with("error"));
    Ok(Err(first.unwrap_or("does not compile").to_owned()))
}

/// Simulates until a seed is violated that is not without the bug.
fn hunt(simulate: &Path, sound: &Path, seeds: u64) -> io::Result<Outcome> {
    let mut from = 0;
    loop {
        let mut simulating = Command::new(simulate)
            .arg("--seeds")
            .arg(format!("{from}..{seeds}"))
            .args(["--fail-fast", "--quiet"])
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
        let alone = Command::new(sound).args(["--seed", seed]).output()?;
        if alone.status.success() {
            return Ok(Outcome::Caught(caught.to_owned()));
        }
        say(&format!("violated without the bug as well: {caught}"));
        from = seed.parse::<u64>().map_err(io::Error::other)? + 1;
    }
}

/// Where cargo builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The file that gives all packages their version.
const WORKSPACE: &str = "Cargo.toml";

/// In one target folder cargo takes packages of one name and version for the same,
/// whichever copy they come from, and would use what it built of a copy with a bug in it.
fn with_a_version_of_its_own(workspace: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(workspace);
    let ours = text
        .find("\nversion = \"")
        .map(|at| at + "\nversion = \"".len());
    let end = ours.and_then(|from| text[from..].find('"').map(|length| from + length));
    let Some(end) = end else {
        return workspace.to_vec();
    };
    format!("{}-planted{}", &text[..end], &text[end..]).into_bytes()
}

/// Copies what git knows of. A file that has not changed is left alone, so that as little
/// as possible is compiled again.
fn copy_sources(root: &Path, copy: &Path) -> io::Result<()> {
    for name in git(root, &["ls-files"])?.lines() {
        let (from, to) = (root.join(name), copy.join(name));
        let Ok(mut content) = std::fs::read(&from) else {
            continue;
        };
        if name == WORKSPACE {
            content = with_a_version_of_its_own(&content);
        }
        if std::fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&to, content)?;
    }
    Ok(())
}

fn patches(folders: &[PathBuf], names: &[String]) -> io::Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    let mut entries = Vec::new();
    for folder in folders {
        match std::fs::read_dir(folder) {
            // Git keeps no empty folder: all that were open have been caught.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => entries.extend(read?),
        }
    }
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_patch = path
            .extension()
            .is_some_and(|extension| extension == "patch");
        if is_patch && (names.is_empty() || names.contains(&name)) {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}

/// So many of them, spread over all by the commit's hash.
fn chosen(patches: Vec<PathBuf>, pick: usize, hash: &str) -> Vec<PathBuf> {
    let number = u64::from_str_radix(hash.get(..12).unwrap_or("0"), 16).unwrap_or(0);
    let all = patches.len();
    let first = number as usize % all.max(1);
    let apart = all.div_ceil(pick.max(1)).max(1);
    (0..pick.min(all))
        .filter_map(|place| patches.get((first + place * apart) % all).cloned())
        .collect()
}

fn apply(copy: &Path, patch: &Path, options: &[&str]) -> Result<(), String> {
    let applied = Command::new("git")
        .arg("apply")
        .args(options)
        .arg(patch)
        .current_dir(copy)
        // The copy may lie inside the repository, and is none.
        .env("GIT_CEILING_DIRECTORIES", copy.parent().unwrap_or(copy))
        .output()
        .map_err(|error| error.to_string())?;
    if applied.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&applied.stderr);
    Err(error
        .lines()
        .next()
        .unwrap_or("it does not apply")
        .to_owned())
}

fn git(root: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git {arguments:?} failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
