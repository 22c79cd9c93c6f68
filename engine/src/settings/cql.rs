//! `[cql]`: the servers that hold the rows of many nodes.

use schemas::Secret;

use super::error::SettingsError;
use super::layers::Layers;
use super::tls::{self, TlsSettings};

/// The longest name of a keyspace that the servers take.
const KEYSPACE_LENGTH_MAX: usize = 48;
/// The most copies of a row that may be set: more than any cluster we know of keeps.
const REPLICATION_MAX: u8 = 9;

/// Section `[cql]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CqlSettings {
    /// `VOLLEY_CQL__NODES`: hosts and ports of some of the servers; they name the others.
    pub nodes: Vec<String>,
    /// `VOLLEY_CQL__KEYSPACE`: the keyspace of all tables.
    pub keyspace: String,
    /// `VOLLEY_CQL__REPLICATION`: copies of each row in each data centre, when the keyspace is
    /// made.
    pub replication: u8,
    /// `VOLLEY_CQL__USER`
    pub user: Option<String>,
    /// `VOLLEY_CQL__PASSWORD`
    pub password: Option<Secret>,
    /// `VOLLEY_CQL__TLS`, `VOLLEY_CQL__CA_FILE`: TLS, if it is on.
    pub tls: Option<TlsSettings>,
}

impl CqlSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("cql");
        let settings = Self {
            nodes: section.checked("nodes", check_nodes)?,
            keyspace: section.checked("keyspace", check_keyspace)?,
            replication: section.checked("replication", |copies: u8| match copies {
                1..=REPLICATION_MAX => Ok(copies),
                _ => Err(format!("is not 1 to {REPLICATION_MAX}")),
            })?,
            user: section.optional("user", Ok)?,
            password: section.secret("password")?,
            tls: tls::read(&mut section, || Ok(()))?,
        };
        let given = [
            ("user", settings.user.is_some()),
            ("password", settings.password.is_some()),
        ];
        section.all_or_none(given)?;
        section.finish()?;
        Ok(settings)
    }
}

fn check_nodes(nodes: Vec<String>) -> Result<Vec<String>, String> {
    for node in &nodes {
        let port = node.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err("must be hosts with ports, such as \"10.0.0.1:9042\"".to_owned());
        }
    }
    Ok(nodes)
}

/// Names that need no quotes, so that statements can be read.
fn check_keyspace(name: String) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= KEYSPACE_LENGTH_MAX && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        Err("must be a letter and at most 47 letters, digits and `_`, all small".to_owned())
    }
}
