//! Writes down how provider accounts do, so that whoever asks need not ask an actor: one row
//! each, whenever something changed.

use std::sync::Arc;
use std::time::Duration;

use engine::pacing::{Noted, millionths};
use engine::provider::ProviderAccount;
use engine::runtime::{BootMicros, Runtime};
use engine::store::{Replaced, Store, StoreError};
use schemas::UnixMicros;
use schemas::health::{HealthChange, ProviderHealth};

use super::pacing::Pacing;
use crate::supervision::Escalation;

/// How often they are looked at. A rate that comes back changes several times a second, and
/// nobody needs to see each of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes the health of provider accounts down.
pub struct HealthWriter {
    runtime: Runtime,
    store: Store,
    watched: Vec<Watched>,
    escalation: Escalation,
}

/// An account, and its row as it was last written or read.
struct Watched {
    pacing: Pacing,
    row: ProviderHealth,
}

impl HealthWriter {
    /// A writer that knows nothing of earlier rows yet.
    pub fn new(
        (runtime, store): (Runtime, Store),
        accounts: impl Iterator<Item = (Arc<ProviderAccount>, Pacing)>,
        escalation: Escalation,
    ) -> Self {
        let watched = accounts.map(|(account, pacing)| Watched {
            row: ProviderHealth::unknown(account.id, millionths(account.rate)),
            pacing,
        });
        Self {
            runtime,
            store,
            watched: watched.collect(),
            escalation,
        }
    }

    /// Writes until the store fails.
    pub async fn run(mut self) {
        if let Err(error) = self.look_and_write().await {
            self.escalation.raise(error.to_string());
        }
    }

    async fn look_and_write(&mut self) -> Result<(), StoreError> {
        for watched in &mut self.watched {
            let key = ProviderHealth::key_of(watched.row.provider);
            if let Some(row) = self.store.get(&key).await? {
                watched.row = row;
            }
        }
        loop {
            self.runtime.sleep(LOOK_EVERY).await;
            for watched in &mut self.watched {
                watched.write(&self.runtime, &self.store).await?;
            }
        }
    }
}

impl Watched {
    async fn write(&mut self, runtime: &Runtime, store: &Store) -> Result<(), StoreError> {
        let (state, rate) = self.pacing.health();
        let noted = self.pacing.notes().take();
        let rate_millionths = millionths(rate);
        let is_same = self.row.state == state && self.row.rate_millionths == rate_millionths;
        if is_same && noted.is_empty() {
            return Ok(());
        }
        let (boot, at) = (runtime.boot(), runtime.now());
        let mut row = ProviderHealth {
            state,
            rate_millionths,
            at,
            ..self.row.clone()
        };
        row.add(noted.iter().map(|noted| change(noted, (boot, at))));
        match store.replace(row).await {
            Ok(Replaced::Stored(row)) => self.row = row,
            // Of another node's time: that one is gone on with.
            Ok(Replaced::Conflict(other)) => {
                let none = ProviderHealth::unknown(self.row.provider, rate_millionths);
                self.row = other.unwrap_or(none);
                self.pacing.notes().put_back(noted);
            }
            Err(StoreError::DiskFull { .. }) => self.pacing.notes().put_back(noted),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A change at its time of day; `boot` and `at` were read together.
fn change(noted: &Noted, (boot, at): (BootMicros, UnixMicros)) -> HealthChange {
    let ago = i64::try_from(boot.saturating_sub(noted.at)).unwrap_or(0);
    HealthChange {
        at: UnixMicros(at.0.saturating_sub(ago)),
        event: noted.event,
        cause: noted.cause.to_owned(),
        rate_millionths: millionths(noted.rate),
    }
}
