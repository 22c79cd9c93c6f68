//! How the tables come to be: `volley migrate` runs what the files of `schemas/cql` say, version
//! by version, and writes into the table `volley_schema` which it has run.
//!
//! Everything it runs does no harm when run twice, so one that is killed is simply run again.
//! Two at once take turns, by a lock that ends by itself when its holder does not renew it.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::{Consistency, Statement};
use scylla::value::{CqlValue, Row};

use super::error::{failed, of_execution};
use super::session::session;
use super::table::{CqlTable, Schema};
use crate::runtime::Runtime;
use crate::settings::CqlSettings;
use crate::store::error::StoreError;

/// The table of versions; a row of the scope `version` for each that was run, and one of the
/// scope `lock` while somebody runs one.
const TABLE: &str = "volley_schema";

/// The lock ends so many seconds after its holder's last word. One statement takes 30 s at most.
const LOCK_SECONDS: i32 = 60;

/// How often and how long one waits for another that holds the lock: twice its length.
const WAIT: Duration = Duration::from_millis(500);
const WAITS: u32 = 240;

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Whether it made the keyspace.
    pub made_keyspace: bool,
    /// The version before, 0 for none.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The tables that it made or changed.
    pub tables: Vec<&'static str>,
}

/// Why the tables are not as this release needs them.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer release has been here.
    #[error(
        "keyspace {keyspace} has version {found} of the tables, and this release knows {known}: \
         use the newer release"
    )]
    Newer {
        /// The keyspace.
        keyspace: String,
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Somebody else held the lock all the time, or took it away.
    #[error("another `volley migrate` is at work on keyspace {keyspace}: try again")]
    Busy {
        /// The keyspace.
        keyspace: String,
    },
    /// The servers failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the keyspace and the tables, or changes them, up to the version of this release.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(settings: &CqlSettings, runtime: &Runtime) -> Result<Migrated, MigrateError> {
    let migration = Migration {
        session: session(settings).await?,
        runtime,
        keyspace: &settings.keyspace,
        schema: Schema::of_files()?,
        holder: runtime.random_bytes(),
    };
    let made_keyspace = migration.make_keyspace(settings.replication).await?;
    migration.make_versions().await?;
    let mut migrated = Migrated {
        made_keyspace,
        from: migration.version().await?,
        to: migration.schema.version(),
        tables: Vec::new(),
    };
    if migrated.from == migrated.to {
        return Ok(migrated);
    }
    migration.lock().await?;
    let ran = migration.run(&mut migrated).await;
    // Should this fail, the lock ends by itself.
    let unlocked = migration.unlock().await;
    ran?;
    unlocked?;
    Ok(migrated)
}

/// Whether the tables are there in a version that this release can use: its own, or a newer
/// one, whose further columns it leaves alone.
///
/// # Errors
/// [`StoreError::Backend`] with the cure.
pub(super) async fn check(session: &Session, settings: &CqlSettings) -> Result<(), StoreError> {
    let (keyspace, known) = (&settings.keyspace, Schema::of_files()?.version());
    let found = match has_versions(session, keyspace).await? {
        true => version(session, keyspace).await?,
        false => 0,
    };
    if found < known {
        return Err(StoreError::Backend {
            detail: format!(
                "keyspace {keyspace} has version {found} of the tables and {known} is needed: \
                 run `volley migrate`"
            ),
        });
    }
    Ok(())
}

struct Migration<'a> {
    session: Session,
    runtime: &'a Runtime,
    keyspace: &'a str,
    schema: &'static Schema,
    holder: [u8; 16],
}

impl Migration<'_> {
    async fn make_keyspace(&self, replication: u8) -> Result<bool, StoreError> {
        let keyspace = self.keyspace;
        let there = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if !ask(&self.session, there, (keyspace,)).await?.is_empty() {
            return Ok(false);
        }
        let make = format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
        );
        ask(&self.session, make.as_str(), ()).await?;
        Ok(true)
    }

    /// Asked for even when it is there: another may be making it, or the keyspace, right now.
    /// `system_schema` shows either before the node itself knows it, and this waits its turn.
    async fn make_versions(&self) -> Result<(), StoreError> {
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {}.{TABLE} (scope text, version int, holder blob, \
             at bigint, PRIMARY KEY ((scope), version))",
            self.keyspace
        );
        ask(&self.session, make.as_str(), ()).await.map(|_| ())
    }

    /// The version that is there.
    ///
    /// # Errors
    /// [`MigrateError::Newer`] when it is newer than what is known.
    async fn version(&self) -> Result<u32, MigrateError> {
        let (found, known) = (
            version(&self.session, self.keyspace).await?,
            self.schema.version(),
        );
        if found > known {
            let keyspace = self.keyspace.to_owned();
            return Err(MigrateError::Newer {
                keyspace,
                found,
                known,
            });
        }
        Ok(found)
    }

    /// Waits for the lock.
    async fn lock(&self) -> Result<(), MigrateError> {
        let take = format!(
            "INSERT INTO {}.{TABLE} (scope, version, holder, at) VALUES ('lock', 0, ?, ?) \
             IF NOT EXISTS USING TTL {LOCK_SECONDS}",
            self.keyspace
        );
        for _ in 0..WAITS {
            let values = (self.holder.as_slice(), self.runtime.now().0);
            if is_applied(&ask(&self.session, take.as_str(), values).await?)? {
                return Ok(());
            }
            self.runtime.sleep(WAIT).await;
        }
        Err(self.busy())
    }

    /// Runs what is missing by now.
    async fn run(&self, migrated: &mut Migrated) -> Result<(), MigrateError> {
        // Another may have run it meanwhile.
        let there = self.version().await?;
        migrated.from = there;
        for version in there + 1..=self.schema.version() {
            for table in self.schema.tables.values() {
                let statements = table.statements.iter().filter(|(of, _)| *of == version);
                for (_, statement) in statements {
                    self.renew().await?;
                    self.change(table, statement).await?;
                    if !migrated.tables.contains(&table.name) {
                        migrated.tables.push(table.name);
                    }
                }
            }
            self.renew().await?;
            let done = format!(
                "INSERT INTO {}.{TABLE} (scope, version, at) VALUES ('version', ?, ?) \
                 IF NOT EXISTS",
                self.keyspace
            );
            let number = i32::try_from(version).unwrap_or(i32::MAX);
            ask(&self.session, done.as_str(), (number, self.runtime.now().0)).await?;
        }
        Ok(())
    }

    /// Makes a table or adds a column, unless it is there.
    async fn change(&self, table: &CqlTable, statement: &str) -> Result<(), StoreError> {
        let added = statement.strip_prefix(&format!("ALTER TABLE {} ADD ", table.name));
        if let Some(column) = added.and_then(|added| added.split(' ').next()) {
            let there = "SELECT column_name FROM system_schema.columns \
                         WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
            let values = (self.keyspace, table.name, column);
            if !ask(&self.session, there, values).await?.is_empty() {
                return Ok(());
            }
        }
        let (short, whole) = (
            format!(" {} ", table.name),
            format!(" {}.{} ", self.keyspace, table.name),
        );
        let statement = statement.replacen(&short, &whole, 1);
        ask(&self.session, statement.as_str(), ()).await.map(|_| ())
    }

    /// Keeps the lock for another while.
    async fn renew(&self) -> Result<(), MigrateError> {
        let renew = format!(
            "UPDATE {}.{TABLE} USING TTL {LOCK_SECONDS} SET holder = ?, at = ? \
             WHERE scope = 'lock' AND version = 0 IF holder = ?",
            self.keyspace
        );
        let holder = self.holder.as_slice();
        let values = (holder, self.runtime.now().0, holder);
        match is_applied(&ask(&self.session, renew.as_str(), values).await?)? {
            true => Ok(()),
            false => Err(self.busy()),
        }
    }

    async fn unlock(&self) -> Result<(), StoreError> {
        let leave = format!(
            "DELETE FROM {}.{TABLE} WHERE scope = 'lock' AND version = 0 IF holder = ?",
            self.keyspace
        );
        let leave = ask(&self.session, leave.as_str(), (self.holder.as_slice(),));
        leave.await.map(|_| ())
    }

    fn busy(&self) -> MigrateError {
        MigrateError::Busy {
            keyspace: self.keyspace.to_owned(),
        }
    }
}

async fn has_versions(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let there = "SELECT table_name FROM system_schema.tables \
                 WHERE keyspace_name = ? AND table_name = ?";
    let found = ask(session, there, (keyspace, TABLE)).await?;
    Ok(!found.is_empty())
}

/// The newest version that was run, 0 for none.
async fn version(session: &Session, keyspace: &str) -> Result<u32, StoreError> {
    let newest = format!(
        "SELECT version FROM {keyspace}.{TABLE} WHERE scope = 'version' \
         ORDER BY version DESC LIMIT 1"
    );
    let mut statement = Statement::new(newest);
    // It was written by a condition.
    statement.set_consistency(Consistency::LocalSerial);
    let rows = ask(session, statement, ()).await?;
    match rows.first().and_then(|row| row.get("version")) {
        None => Ok(0),
        Some(CqlValue::Int(version)) => {
            u32::try_from(*version).map_err(|_| failed(TABLE, "a version is negative"))
        }
        Some(_) => Err(failed(TABLE, "a version is no number")),
    }
}

/// A row by its columns' names; those that are null are left out.
type Named = std::collections::BTreeMap<String, CqlValue>;

/// Statements of a migration are few, and each is run once.
async fn ask(
    session: &Session,
    statement: impl Into<Statement>,
    values: impl SerializeRow,
) -> Result<Vec<Named>, StoreError> {
    let asked = session.query_unpaged(statement, values).await;
    let result = asked.map_err(|error: ExecutionError| of_execution(TABLE, &error))?;
    if !result.is_rows() {
        return Ok(Vec::new());
    }
    let unreadable = || failed(TABLE, "an answer cannot be read");
    let result: QueryRowsResult = result.into_rows_result().map_err(|_| unreadable())?;
    let specs = result.column_specs();
    let names: Vec<String> = specs.iter().map(|spec| spec.name().to_owned()).collect();
    let rows = result.rows::<Row>().map_err(|_| unreadable())?;
    let named = rows.map(|row| {
        let columns = row.map_err(|_| unreadable())?.columns;
        let pairs = names.iter().cloned().zip(columns);
        Ok(pairs
            .filter_map(|(name, cell)| Some((name, cell?)))
            .collect())
    });
    named.collect()
}

fn is_applied(rows: &[Named]) -> Result<bool, StoreError> {
    match rows.first().and_then(|row| row.get("[applied]")) {
        Some(CqlValue::Boolean(is_applied)) => Ok(*is_applied),
        _ => Err(failed(TABLE, "an answer does not say whether it was done")),
    }
}
