//! What the driver's errors become: what is down, in words, and never what was written or read.
//! Servers repeat parts of statements in their texts, so none of those is passed on.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the driver's errors are open lists: what it adds is told in general words"
)]

use std::time::Duration;

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};

use super::tls;
use crate::store::error::StoreError;

/// An error of a statement on a table.
pub(super) fn of_execution(table: &str, error: &ExecutionError) -> StoreError {
    told(table, passes(error), &execution(error))
}

/// An error of preparing a statement on a table.
pub(super) fn of_prepare(table: &str, error: &PrepareError) -> StoreError {
    told(table, preparing_passes(error), &prepare(error))
}

/// The servers cannot be reached at all.
pub(super) fn of_session(nodes: &[String], error: &NewSessionError) -> StoreError {
    let (is_refused, why) = match error {
        NewSessionError::FailedToResolveAnyHostname(_) => {
            (false, "no name can be resolved".to_owned())
        }
        NewSessionError::EmptyKnownNodesList => (false, "cql.nodes names none".to_owned()),
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error,
            },
        )) => connecting(last_connection_error),
        _ => (false, "none answers".to_owned()),
    };
    let detail = format!("no CQL node of {}: {why}", nodes.join(", "));
    if is_refused {
        StoreError::Backend { detail }
    } else {
        StoreError::Unavailable { detail }
    }
}

/// Why the last connection that was tried does not stand, and whether it never will as things are
/// set.
fn connecting(error: &ConnectionError) -> (bool, String) {
    use ConnectionSetupRequestErrorKind as Setup;
    match error {
        ConnectionError::IoError(error) => match tls_error(error) {
            Some(error) => (true, tls::told(error)),
            None => (false, format!("none answers: {}", error.kind())),
        },
        ConnectionError::ConnectionSetupRequestError(error) => match error.get_error() {
            Setup::MissingAuthentication => (
                true,
                "a user is asked for: set cql.user and cql.password".to_owned(),
            ),
            Setup::DbError(DbError::AuthenticationError | DbError::Unauthorized, _) => (
                true,
                "the user is refused: check cql.user and cql.password".to_owned(),
            ),
            Setup::BrokenConnection(_) => (
                false,
                "it takes connections and ends them at once: if it speaks TLS only, set cql.tls \
                 to true"
                    .to_owned(),
            ),
            _ => (false, "none answers as a CQL server does".to_owned()),
        },
        _ => (false, "none answers".to_owned()),
    }
}

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Something is wrong with what a table answered.
pub(super) fn failed(table: &str, what: &str) -> StoreError {
    told(table, false, what)
}

/// Nothing came for so long.
pub(super) fn silent(table: &str, waited: Duration) -> StoreError {
    let what = format!("no answer within {} s", waited.as_secs());
    told(table, true, &what)
}

/// `passes`: it is of a kind that ends by itself when the servers are well again.
fn told(table: &str, passes: bool, what: &str) -> StoreError {
    let detail = format!("CQL, table {table}: {what}");
    if passes {
        StoreError::Unavailable { detail }
    } else {
        StoreError::Backend { detail }
    }
}

fn passes(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::RequestTimeout(_)
        | ExecutionError::SchemaAgreementError(_) => true,
        ExecutionError::PrepareError(error) => preparing_passes(error),
        ExecutionError::LastAttemptError(error) => attempt_passes(error),
        _ => false,
    }
}

fn preparing_passes(error: &PrepareError) -> bool {
    match error {
        PrepareError::ConnectionPoolError(_) => true,
        PrepareError::AllAttemptsFailed { first_attempt } => attempt_passes(first_attempt),
        _ => false,
    }
}

fn attempt_passes(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::BrokenConnectionError(_)
        | RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::ReadTimeout { .. }
                | DbError::WriteTimeout { .. }
                | DbError::ReadFailure { .. }
                | DbError::WriteFailure { .. }
                | DbError::Overloaded
                | DbError::RateLimitReached { .. }
                | DbError::IsBootstrapping
                | DbError::ServerError
        ),
        _ => false,
    }
}

/// Whether the write may have been done all the same, or may still be.
pub(super) fn is_open(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => false,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => !matches!(
            error,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::RateLimitReached { .. }
        ),
        ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::UnableToAllocStreamId,
        ) => false,
        _ => true,
    }
}

fn execution(error: &ExecutionError) -> String {
    match error {
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => {
            "no node can be reached".to_owned()
        }
        ExecutionError::RequestTimeout(waited) => {
            format!("no answer within {} s", waited.as_secs())
        }
        ExecutionError::PrepareError(error) => prepare(error),
        ExecutionError::LastAttemptError(error) => attempt(error),
        ExecutionError::SchemaAgreementError(_) | ExecutionError::MetadataError(_) => {
            "the nodes do not agree on the schema in time".to_owned()
        }
        ExecutionError::BadQuery(_) => "a value does not fit its column".to_owned(),
        _ => "the driver failed".to_owned(),
    }
}

fn prepare(error: &PrepareError) -> String {
    match error {
        PrepareError::ConnectionPoolError(_) => "no node can be reached".to_owned(),
        PrepareError::AllAttemptsFailed { first_attempt } => attempt(first_attempt),
        _ => "the nodes do not agree on a statement".to_owned(),
    }
}

fn attempt(error: &RequestAttemptError) -> String {
    match error {
        RequestAttemptError::BrokenConnectionError(_) => {
            "the connection to a node broke".to_owned()
        }
        RequestAttemptError::UnableToAllocStreamId => {
            "more requests are under way than a connection takes".to_owned()
        }
        RequestAttemptError::DbError(error, _) => server(error),
        _ => "a node's answer cannot be understood".to_owned(),
    }
}

fn server(error: &DbError) -> String {
    match error {
        DbError::Unavailable {
            required, alive, ..
        } => format!("{alive} replicas are up and {required} are needed"),
        DbError::ReadTimeout {
            received, required, ..
        }
        | DbError::WriteTimeout {
            received, required, ..
        } => format!("{received} replicas answered in time and {required} are needed"),
        DbError::ReadFailure {
            numfailures,
            required,
            ..
        }
        | DbError::WriteFailure {
            numfailures,
            required,
            ..
        } => format!("{numfailures} replicas failed and {required} are needed"),
        DbError::Overloaded | DbError::RateLimitReached { .. } => "a node is overloaded".to_owned(),
        DbError::IsBootstrapping => "a node is still starting".to_owned(),
        DbError::AuthenticationError => "the user or password is refused".to_owned(),
        DbError::Unauthorized => "the user may not do this".to_owned(),
        DbError::ServerError => "a node failed".to_owned(),
        DbError::SyntaxError | DbError::Invalid | DbError::ConfigError => {
            "a statement is refused: is the schema of another release, `volley migrate`?".to_owned()
        }
        _ => "a node refused a statement".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
    use scylla::statement::Consistency;

    use super::{is_open, of_execution};

    fn of_server(error: DbError) -> ExecutionError {
        let text = "(account, phone) = (acc, +15005550006)".to_owned();
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, text))
    }

    #[test]
    fn an_error_names_what_is_down_and_nothing_else() {
        let down = of_server(DbError::Unavailable {
            consistency: Consistency::LocalQuorum,
            required: 2,
            alive: 1,
        });
        let told = of_execution("messages", &down).to_string();
        assert!(
            told.contains("messages") && told.contains("1 replicas are up"),
            "{told}"
        );
        for error in [DbError::Invalid, DbError::ServerError, DbError::Overloaded] {
            let told = of_execution("messages", &of_server(error)).to_string();
            assert!(!told.contains("+1500"), "{told}");
        }
    }

    #[test]
    fn only_what_was_certainly_not_done_is_closed() {
        let refused = of_server(DbError::Unavailable {
            consistency: Consistency::LocalSerial,
            required: 2,
            alive: 0,
        });
        assert!(!is_open(&refused));
        let open = of_server(DbError::WriteTimeout {
            consistency: Consistency::LocalSerial,
            received: 1,
            required: 2,
            write_type: scylla::errors::WriteType::Cas,
        });
        assert!(is_open(&open) && is_open(&of_server(DbError::ServerError)));
    }
}
