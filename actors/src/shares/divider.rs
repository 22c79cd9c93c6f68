//! Reads the rows by which owners divide limits, and writes what this one takes and gives back.

use std::pin::pin;
use std::time::Duration;

use engine::journal::{CommitError, Journal};
use engine::runtime::Runtime;
use engine::store::{Replaced, Store, StoreError};
use futures::future::select;
use futures::{StreamExt, TryStreamExt, stream};
use schemas::limit::LimitDivision;
use schemas::record::Key;

use super::{Of, Shares};

/// How often the rows are read of limits that others may wait for, or that texts wait for here.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Rows that are written at once: a node that takes over writes its name into many.
const WRITES_AT_ONCE: usize = 16;

/// Dividing the limits failed.
#[derive(Debug, thiserror::Error)]
pub enum DivideError {
    /// The rows cannot be read or written.
    #[error("a limit cannot be divided")]
    Store(#[from] StoreError),
    /// The journal takes nothing more.
    #[error("a limit cannot be divided")]
    Commit(#[from] CommitError),
}

/// See the module.
#[derive(Debug)]
pub struct Divider {
    /// Time.
    pub runtime: Runtime,
    /// The rows.
    pub store: Store,
    /// Whose owner this is.
    pub journal: Journal,
    /// What it may use.
    pub shares: Shares,
}

impl Divider {
    /// Divides until something fails.
    ///
    /// # Errors
    /// [`DivideError`].
    pub async fn run(self) -> Result<(), DivideError> {
        loop {
            self.look().await?;
            let pause = pin!(self.runtime.sleep(LOOK_EVERY));
            select(pause, pin!(self.shares.0.wanted.notified())).await;
        }
    }

    async fn look(&self) -> Result<(), DivideError> {
        let limits = self.shares.to_be_read();
        let keys = limits.iter().map(|(_, name)| LimitDivision::key_of(name));
        let keys: Vec<Key> = keys.collect();
        let rows = self.store.get_each::<LimitDivision>(&keys).await?;
        let (mut next, mut is_to_show) = (Vec::new(), false);
        for ((who, _), row) in limits.into_iter().zip(rows) {
            self.shares.know(who, row);
            if let Some((row, is_anothers)) = self.shares.next(who) {
                next.push((who, row));
                is_to_show |= is_anothers;
            }
        }
        if is_to_show {
            // A node that froze and lost the range must not take the part of who has it now. It
            // cannot commit any more, and whoever has it since wrote its rows after they were read.
            self.journal.checkpoint().await?;
        }
        let written = next.into_iter().map(|(who, row)| self.write(who, row));
        let mut written = pin!(stream::iter(written).buffered(WRITES_AT_ONCE));
        while let Some((who, row)) = written.try_next().await? {
            self.shares.know(who, row);
        }
        Ok(())
    }

    /// Writes a row, unless it has changed since it was read, and tells how it is now.
    async fn write(
        &self,
        of: Of,
        row: LimitDivision,
    ) -> Result<(Of, Option<LimitDivision>), StoreError> {
        match self.store.for_commands().replace(row).await? {
            Replaced::Stored(row) => Ok((of, Some(row))),
            Replaced::Conflict(row) => Ok((of, row)),
        }
    }
}
