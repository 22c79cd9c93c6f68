//! What the `volley` process ends with.

use std::process::ExitCode;

/// Exit codes. They never change their meaning; new ones may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: it did what was asked.
    Success = 0,
    /// 1: something failed that has no code of its own.
    Failure = 1,
    /// 2: the command line cannot be understood.
    Usage = 2,
    /// 3: a setting is unknown or has a value that cannot be used.
    Settings = 3,
    /// 4: another process has the port of `http.listen`.
    AddressInUse = 4,
    /// 5: the data folder cannot be used: foreign, damaged, newer, full, not writable.
    DataFolder = 5,
    /// 6: another process has the data folder open.
    DataFolderInUse = 6,
    /// 7: the node that has the data folder, or the servers in its place, do not answer.
    Unreachable = 7,
    /// 8: the books of `volley demo` do not balance.
    Unbalanced = 8,
}

impl Exit {
    /// Ends the process here and now, without what libraries have registered for its end. For one
    /// with clients of Kafka: OpenSSL frees there what threads of theirs still use (seen: a node
    /// that had stopped in good order ended with SIGABRT, for a heap that was corrupted).
    #[cfg(feature = "cluster")]
    pub(crate) fn at_once(self) -> ! {
        use std::io::Write;
        // Nobody can be told that what was to be told could not be.
        let _ = std::io::stdout().flush();
        signal_hook::low_level::exit(self as i32)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
