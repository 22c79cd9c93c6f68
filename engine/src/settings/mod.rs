//! Settings: one commented sample that is the default, a file on top, the environment
//! on top of that, the command line last.
//!
//! The sample is embedded, so it cannot drift from the truth. Each section is read by
//! one struct in a file of its own. A key that no struct asks for is an error that
//! names the place and the key that was probably meant: a setting that is silently
//! ignored costs more than one that is refused.

mod cql;
mod error;
mod http;
mod kafka;
mod layers;
mod node;
mod providers;
mod retry;
mod tls;
mod twilio;

use std::path::{Path, PathBuf};

pub use cql::CqlSettings;
pub use error::{SettingsError, Source};
pub use http::HttpSettings;
pub use kafka::{KafkaIdentity, KafkaLogin, KafkaSecurity, KafkaSettings, Mechanism};
pub use node::{JournalSettings, NodeSettings};
pub use retry::RetrySettings;
pub use tls::TlsSettings;
#[cfg(feature = "cluster")]
pub(crate) use tls::certificates;

use crate::provider::ProviderSettings;
use layers::Layers;
use twilio::TwilioVariables;

/// The commented sample that is the default.
pub const SAMPLE: &str = include_str!("volley.default.toml");

/// All settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[node]`
    pub node: NodeSettings,
    /// `[journal]`
    pub journal: JournalSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[kafka]`
    pub kafka: KafkaSettings,
    /// `[retry]`
    pub retry: RetrySettings,
    /// `[cql]`
    pub cql: CqlSettings,
    /// `[[providers]]`
    pub providers: Vec<ProviderSettings>,
    /// What is in force in the sections, and whose word it is. None of it is a secret.
    pub in_force: Vec<InForce>,
}

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The key with its section, such as `http.listen`.
    pub key: String,
    /// Its value, as the settings file would have it.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// What the command line sets; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
}

impl Settings {
    /// The sample, then `file`, then `environment`.
    ///
    /// # Errors
    /// [`SettingsError`], naming the place, the key and what is wrong with it.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Self::load_with(file, environment, &Overrides::default())
    }

    /// As [`Settings::load`], with the command line on top.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_with(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, SettingsError> {
        let mut layers = Layers::of_sample(SAMPLE)?;
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        let mut twilio = TwilioVariables::default();
        let mut ours = Vec::new();
        for (name, text) in environment {
            twilio.offer(&name, &text);
            ours.push((name, text));
        }
        // Before ours, so that VOLLEY_PROVIDERS__TWILIO__RATE finds its account.
        twilio.apply(&mut layers)?;
        for (name, text) in ours {
            layers.add_variable(&name, &text)?;
        }
        if let Some(data) = &overrides.data {
            layers.add_option("node", "data", &data.to_string_lossy(), "--data");
        }
        if let Some(listen) = &overrides.listen {
            layers.add_option("http", "listen", listen, "--listen");
        }
        Ok(Self {
            in_force: layers.in_force(),
            node: NodeSettings::read(&mut layers)?,
            journal: JournalSettings::read(&mut layers)?,
            http: HttpSettings::read(&mut layers)?,
            kafka: KafkaSettings::read(&mut layers)?,
            retry: RetrySettings::read(&mut layers)?,
            cql: CqlSettings::read(&mut layers)?,
            providers: providers::read(&mut layers)?,
        })
    }

    /// Whether messages live on servers: rows in CQL, journals and logs in Kafka. Else they
    /// live in the data folder.
    pub fn is_on_servers(&self) -> bool {
        !self.cql.nodes.is_empty() && self.kafka.brokers.is_some()
    }
}

#[cfg(test)]
mod tests;
