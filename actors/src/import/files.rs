//! Where uploaded files are kept until they are read.

use std::path::{Path, PathBuf};

use schemas::JobId;

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

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether another node may have to read them.
    pub fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// Where the file of a job is kept.
    pub fn file_of(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}.csv"))
    }
}
