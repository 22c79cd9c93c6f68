//! A second account of what was committed, so that lost commits show.
//!
//! fjall's recovery ends at the first broken entry of its write-ahead log and takes
//! what follows for a write that was cut off. That is right for the tail of a crash
//! and silent about damage anywhere before it. So every commit is numbered, each space
//! it touches stores the number in the same batch, and once the commit is durable the
//! number is also written to a small file. On opening, no space may be behind the
//! file. The file is not synced: it is written after the commit is durable, so
//! whatever of it survives never runs ahead of what must be there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::kv::Space;

const FILE: &str = "commits";
const BYTES: usize = 8 * Space::ALL.len();

/// The key that holds a space's last commit. It lies above every other key.
pub(crate) const KEY: &[u8] = &[u8::MAX, u8::MAX];

/// The number of the last commit that touched each space.
pub(crate) type Commits = [u64; Space::ALL.len()];

/// The file with the numbers of the last commits.
#[derive(Debug)]
pub(crate) struct CommitRecord {
    file: File,
}

impl CommitRecord {
    /// Opens the record of a data folder, or begins one, and reads it. Deleting the
    /// file accepts whatever the database still holds.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Commits)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(FILE))?;
        let mut commits = Commits::default();
        // Spaces that came later are not in what an earlier release noted.
        let mut bytes = vec![
            0;
            usize::try_from(file.metadata()?.len())
                .unwrap_or(BYTES)
                .min(BYTES)
        ];
        file.read_exact_at(&mut bytes, 0)?;
        for (commit, bytes) in commits.iter_mut().zip(bytes.chunks(8)) {
            *commit = decode(bytes);
        }
        Ok((Self { file }, commits))
    }

    /// Notes commits that are durable.
    pub(crate) fn note(&self, commits: &Commits) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        for (bytes, commit) in bytes.chunks_exact_mut(8).zip(commits) {
            bytes.copy_from_slice(&commit.to_be_bytes());
        }
        self.file.write_all_at(&bytes, 0)
    }
}

/// A stored number; what is none counts as 0, which is behind everything.
pub(crate) fn decode(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
