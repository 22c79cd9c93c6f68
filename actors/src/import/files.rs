//! Where uploaded files are kept until they are read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use schemas::{JobId, PartitionRange};

/// What the names of files end with that are not whole.
const UNFINISHED: &str = ".part";

/// And of those that are.
const WHOLE: &str = ".csv";

/// A folder of uploaded files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imports {
    folder: PathBuf,
    are_shared: bool,
}

impl Imports {
    /// The folder of a node that reads them itself.
    pub fn own(folder: PathBuf) -> Self {
        Self {
            folder,
            are_shared: false,
        }
    }

    /// The folder of a node that takes turns with others: they are kept as rows, too.
    pub fn shared(folder: PathBuf) -> Self {
        Self {
            folder,
            are_shared: true,
        }
    }

    /// Where the owner of a range reads files that are rows as well, beside others in the same
    /// process that read the same.
    pub fn of(&self, range: PartitionRange) -> Self {
        if range.ranges() == 1 || !self.are_shared {
            return self.clone();
        }
        Self {
            folder: self.folder.join(range.place().to_string()),
            are_shared: self.are_shared,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether another node may have to read them.
    pub(super) fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// Where the file of a job is kept.
    pub fn file_of(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}{WHOLE}"))
    }

    /// Where a file is written until it is whole. It is deleted at the next start.
    pub fn unfinished_of(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}{UNFINISHED}"))
    }

    /// Makes the folder, and deletes what a crash cut off, and whatever is there of files that are
    /// rows as well. For a start, before the doors open.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.to_string_lossy();
            if name.ends_with(UNFINISHED) || self.are_shared && name.ends_with(WHOLE) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Makes a whole file, which is at `unfinished`, durable as that of a job. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, file: &File, unfinished: &Path, job: JobId) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(unfinished, self.file_of(job))?;
        // A name is durable when its folder is.
        File::open(&self.folder)?.sync_all()
    }
}
