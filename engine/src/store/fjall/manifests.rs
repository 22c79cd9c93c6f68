//! The lists of files of each keyspace, checked before the database opens them.
//!
//! lsm-tree writes a list's checksum beside its number and does not compare it when it
//! reads the list: a flipped bit in a count makes it ask for tens of gigabytes, which
//! ends the process with no word about the folder. A keyspace whose list is not named
//! at all is removed by fjall, as one whose creation was cut off; ours are all there
//! once the folder's marker says so, and what is left of them is to stay.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// Where fjall keeps a folder for each keyspace.
const KEYSPACES: &str = "keyspaces";

/// Which list a keyspace has now: its number (8 bytes), its checksum (16 bytes, XXH3),
/// both little-endian, and the kind of the checksum (0). As lsm-tree 3.1 writes it.
const CURRENT: &str = "current";

/// What is in [`CURRENT`].
const CURRENT_BYTES: usize = 8 + 16 + 1;

/// Compares every keyspace's list of files with its checksum.
///
/// # Errors
/// `InvalidData` names the list that is not what was written; others are the disk's.
pub(super) fn check(database: &Path) -> io::Result<()> {
    let keyspaces = match fs::read_dir(database.join(KEYSPACES)) {
        // A new folder has no database yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    for keyspace in keyspaces {
        let keyspace = keyspace?;
        if keyspace.file_type()?.is_dir() {
            check_keyspace(&keyspace.path())?;
        }
    }
    Ok(())
}

fn check_keyspace(keyspace: &Path) -> io::Result<()> {
    let file = keyspace.join(CURRENT);
    let current = fs::read(&file).map_err(|error| named(&file, &error))?;
    let current = <[u8; CURRENT_BYTES]>::try_from(current).map_err(|_| damaged(&file))?;
    let (number, rest) = current.split_at(8);
    let (checksum, kind) = rest.split_at(16);
    let (Ok(number), Ok(checksum), [0]) = (number.try_into(), checksum.try_into(), kind) else {
        return Err(damaged(&file));
    };
    let list = keyspace.join(format!("v{}", u64::from_le_bytes(number)));
    let written = fs::read(&list).map_err(|error| named(&list, &error))?;
    if xxh3_128(&written) == u128::from_le_bytes(checksum) {
        Ok(())
    } else {
        Err(damaged(&list))
    }
}

fn damaged(file: &Path) -> io::Error {
    let told = format!("{} is not what was written", short(file));
    io::Error::new(ErrorKind::InvalidData, told)
}

fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", short(file)))
}

/// The last two parts of a path: the folder is named by whoever tells of it.
fn short(file: &Path) -> String {
    let mut parts: Vec<_> = file.components().rev().take(2).collect();
    parts.reverse();
    let parts: std::path::PathBuf = parts.into_iter().collect();
    parts.display().to_string()
}
