//! The copy of the sources in which bugs are planted, and the patches that plant them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo builds.
pub fn target(root: &Path) -> PathBuf {
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

/// Copies what git knows of, and removes what it no longer does. A file that has not
/// changed is left alone, so that as little as possible is compiled again.
pub fn copy_sources(root: &Path, copy: &Path) -> io::Result<()> {
    let listed = git(root, &["ls-files"])?;
    let known: BTreeSet<PathBuf> = listed.lines().map(|name| copy.join(name)).collect();
    remove_others(copy, &known)?;
    for name in listed.lines() {
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

fn remove_others(folder: &Path, known: &BTreeSet<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, known)?;
        } else if !known.contains(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The patches in `folders`; those of `names` only, if there are any.
pub fn patches(folders: &[PathBuf], names: &[String]) -> io::Result<Vec<PathBuf>> {
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
pub fn chosen(patches: Vec<PathBuf>, pick: usize, hash: &str) -> Vec<PathBuf> {
    let number = u64::from_str_radix(hash.get(..12).unwrap_or("0"), 16).unwrap_or(0);
    let all = patches.len();
    let first = number as usize % all.max(1);
    let apart = all.div_ceil(pick.max(1)).max(1);
    (0..pick.min(all))
        .filter_map(|place| patches.get((first + place * apart) % all).cloned())
        .collect()
}

/// Applies a patch to the copy, or tells why it cannot be.
pub fn apply(copy: &Path, patch: &Path, options: &[&str]) -> Result<(), String> {
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

/// What git says.
pub fn git(root: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git {arguments:?} failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
