//! The connection to the servers, and what is asked over it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, MaybeUnset, Row};

use super::CqlRows;
use super::columns::Cell;
use super::error::{of_execution, of_session, silent};
use super::migration;
use super::statement::{Statements, Verb};
use super::table::CqlTable;
use super::tls;
use crate::runtime::Runtime;
use crate::settings::CqlSettings;
use crate::store::error::StoreError;
use crate::store::{Backend, Store};

/// How long a node may take to take a connection. One that takes longer is as good as dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what is not prepared here may take, such as statements that change the schema.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a statement may take to be prepared. The driver itself gives up when it gives up
/// the connection, after a minute without a word.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(6);

/// The way to the tables of one keyspace. Cloning is cheap and shares it.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) session: Arc<Session>,
    pub(super) runtime: Runtime,
    keyspace: Arc<str>,
    statements: Arc<Statements>,
}

/// Rows as they came, and where the next ones are.
pub(super) struct CellPage {
    /// The columns' names, as the server has them.
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) next: PagingStateResponse,
}

/// Connects to the servers and opens the store in their tables. The driver's own tasks run on
/// the tokio runtime that this is called on, and end when the last clone of the store is gone.
///
/// # Errors
/// [`StoreError::Unavailable`] when no node can be reached; [`StoreError::Backend`] when they refuse
/// us, or the tables are not those that this release needs; it names the cure.
pub async fn connect(settings: &CqlSettings, runtime: &Runtime) -> Result<Store, StoreError> {
    let access = Access::open(settings, runtime).await?;
    migration::check(&access.session, settings).await?;
    Ok(Store {
        backend: Backend::Cql(CqlRows { access }),
        patience: None,
    })
}

/// A session with these servers.
///
/// # Errors
/// [`StoreError::Unavailable`], which names them, when none answers; [`StoreError::Backend`] when
/// they refuse us or prove to be nobody whom we know, with the cure.
pub(super) async fn session(settings: &CqlSettings) -> Result<Session, StoreError> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(SCHEMA_TIMEOUT))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .default_execution_profile_handle(profile.into_handle());
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        builder = builder.user(user, password.expose());
    }
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(tls::config(tls)?));
    }
    let session = builder.build().await;
    session.map_err(|error| of_session(&settings.nodes, &error))
}

impl Access {
    async fn open(settings: &CqlSettings, runtime: &Runtime) -> Result<Self, StoreError> {
        Ok(Self {
            session: Arc::new(session(settings).await?),
            runtime: runtime.clone(),
            keyspace: settings.keyspace.as_str().into(),
            statements: Arc::default(),
        })
    }

    /// The prepared statement of a verb.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no node prepares it, or none in time.
    pub(super) async fn prepare(
        &self,
        table: &CqlTable,
        verb: Verb,
    ) -> Result<PreparedStatement, StoreError> {
        let statements = &self.statements;
        let prepared = statements.get(&self.session, &self.keyspace, table, verb);
        let waited = self.runtime.sleep(PREPARE_TIMEOUT);
        match select(pin!(prepared), pin!(waited)).await {
            Either::Left((prepared, _)) => prepared,
            Either::Right(_) => Err(silent(table.name, PREPARE_TIMEOUT)),
        }
    }

    /// Executes a statement whose answer is small.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], which names what is down; [`StoreError::Backend`] when it is
    /// refused.
    pub(super) async fn execute(
        &self,
        table: &CqlTable,
        statement: &PreparedStatement,
        values: &[Cell],
    ) -> Result<CellPage, StoreError> {
        let executed = self.session.execute_unpaged(statement, values).await;
        read(table, executed).map_err(|error| error.of(table))
    }

    /// As [`Access::execute`], with the driver's own error, for whoever has to know whether
    /// something may have been done. Of a new row nothing is written for what is null: there is
    /// nothing to be hidden by a tombstone.
    pub(super) async fn attempt(
        &self,
        table: &CqlTable,
        statement: &PreparedStatement,
        is_new: bool,
        values: &[Cell],
    ) -> Result<CellPage, Failed> {
        let executed = if is_new {
            let values = values
                .iter()
                .map(|cell| MaybeUnset::from_option(cell.as_ref()));
            let values: Vec<MaybeUnset<&CqlValue>> = values.collect();
            self.session.execute_unpaged(statement, values).await
        } else {
            self.session.execute_unpaged(statement, values).await
        };
        read(table, executed)
    }

    /// One page of a statement's answer.
    ///
    /// # Errors
    /// As [`Access::execute`].
    pub(super) async fn page(
        &self,
        table: &CqlTable,
        statement: &PreparedStatement,
        values: &[Cell],
        state: PagingState,
    ) -> Result<CellPage, StoreError> {
        let executed = self.session.execute_single_page(statement, values, state);
        match executed.await {
            Ok((result, next)) => {
                let page = read(table, Ok(result)).map_err(|error| error.of(table))?;
                Ok(CellPage { next, ..page })
            }
            Err(error) => Err(of_execution(table.name, &error)),
        }
    }
}

/// Why a statement has no answer.
pub(super) enum Failed {
    Execution(Box<ExecutionError>),
    Answer(StoreError),
}

impl Failed {
    pub(super) fn of(self, table: &CqlTable) -> StoreError {
        match self {
            Self::Execution(error) => of_execution(table.name, &error),
            Self::Answer(error) => error,
        }
    }
}

fn read(
    table: &CqlTable,
    executed: Result<QueryResult, ExecutionError>,
) -> Result<CellPage, Failed> {
    let result = executed.map_err(|error| Failed::Execution(Box::new(error)))?;
    let next = PagingStateResponse::NoMorePages;
    if !result.is_rows() {
        let (names, rows) = (Vec::new(), Vec::new());
        return Ok(CellPage { names, rows, next });
    }
    let unreadable = || Failed::Answer(StoreError::damaged(table.name, "an answer cannot be read"));
    let result = result.into_rows_result().map_err(|_| unreadable())?;
    let specs = result.column_specs();
    let names = specs.iter().map(|spec| spec.name().to_owned()).collect();
    let rows = result.rows::<Row>().map_err(|_| unreadable())?;
    let rows = rows.map(|row| row.map(|row| row.columns).map_err(|_| unreadable()));
    Ok(CellPage {
        names,
        rows: rows.collect::<Result<_, _>>()?,
        next,
    })
}
