//! A look at a data folder from outside: whose it is, and how its disk does. Nothing is
//! created or opened that a node would miss.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::folder::{FolderError, LOCK, Marker, read_marker};
use crate::runtime::Runtime;

/// How often a write is tried: of so many the middle one says what is usual.
const TRIES: usize = 21;

/// What is written at a time, in bytes: one page.
const PAGE: [u8; 4_096] = [0; 4_096];

/// How a data folder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// There is none yet, or an empty one: a node makes it.
    New,
    /// It holds data, and nobody serves it.
    Free,
    /// A process has it open.
    InUse {
        /// Its id, where it could be read.
        holder: Option<u32>,
    },
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Examined {
    /// Whose the folder is.
    pub standing: Standing,
    /// Bytes that its disk has left.
    pub free_bytes: u64,
    /// How long a page takes to be on the disk, as a rule: what every commit waits for.
    pub sync: Duration,
}

/// Looks at a folder that may not be there yet. For a moment its lock is tried.
///
/// # Errors
/// [`FolderError`], as a node would meet it.
pub fn examine(runtime: &Runtime, folder: &Path) -> Result<Examined, FolderError> {
    let standing = standing(folder)?;
    let probed = match standing {
        Standing::Free | Standing::InUse { .. } => folder,
        // What is new may hold nothing that is not a node's.
        Standing::New => existing(folder.parent().unwrap_or(folder)),
    };
    let failed = |error| FolderError::from_io(probed, error);
    let disk = rustix::fs::statvfs(probed).map_err(|error| failed(error.into()))?;
    Ok(Examined {
        standing,
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        sync: sync_time(runtime, probed).map_err(failed)?,
    })
}

fn standing(folder: &Path) -> Result<Standing, FolderError> {
    if !folder.try_exists().unwrap_or(true) {
        return Ok(Standing::New);
    }
    let marker = read_marker(folder)?;
    if let Some(holder) = holder(folder)? {
        return Ok(Standing::InUse { holder });
    }
    Ok(match marker {
        Marker::Absent | Marker::Creating => Standing::New,
        Marker::Complete => Standing::Free,
    })
}

/// Who holds the lock, if anybody does.
fn holder(folder: &Path) -> Result<Option<Option<u32>>, FolderError> {
    let failed = |error| FolderError::from_io(folder, error);
    let mut lock = match File::open(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Without a readable id nobody is named.
            let _ = lock.read_to_string(&mut text);
            Ok(Some(text.trim().parse().ok()))
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// The nearest folder above that there is.
fn existing(path: &Path) -> &Path {
    let mut path = path;
    while !path.as_os_str().is_empty() && !path.is_dir() {
        path = path.parent().unwrap_or(Path::new(""));
    }
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// The middle one of some writes that were waited for.
fn sync_time(runtime: &Runtime, folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".volley-doctor-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    // The name is gone at once, so that nothing is left of a process that is killed.
    fs::remove_file(&path)?;
    let mut times = [0; TRIES];
    for time in &mut times {
        let began = runtime.boot();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        *time = runtime.boot().saturating_sub(began);
    }
    times.sort_unstable();
    Ok(Duration::from_micros(times[TRIES / 2]))
}
