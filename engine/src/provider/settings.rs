//! What a provider account needs to be told: fields that all kinds share, and a table
//! of the rest, which the kind itself reads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemas::Secret;
use serde::Deserialize;

use crate::pacing::Pace;

/// How many requests of an account are open at once unless the settings say more: at
/// 100 ms an answer that carries 640 requests per second.
const DEFAULT_MAX_IN_FLIGHT: u32 = 64;
/// The most requests an account may have open: each one holds a socket, and 1,024 is
/// the customary limit of open files.
const MOST_IN_FLIGHT: u32 = 1_024;
/// Milliseconds until an attempt to connect ends.
const DEFAULT_CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds from the start of a request to the last byte of its answer.
const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 10_000;
/// The longest request timeout: an open attempt blocks its place for as long.
const LONGEST_REQUEST_TIMEOUT_MS: u64 = 60_000;

/// The settings that all kinds share, in the order of a settings file.
const SHARED_FIELDS: [&str; 9] = [
    "name",
    "kind",
    "rate",
    "burst",
    "max_in_flight",
    "senders",
    "default_sender",
    "connect_timeout_ms",
    "request_timeout_ms",
];

/// One provider account in the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct ProviderSettings {
    /// What people call the account; its id is made from it.
    pub name: String,
    /// The kind of provider, such as `twilio`.
    pub kind: String,
    /// Segments per second, more than 0; may be fractional.
    pub rate: f64,
    /// Segments that may leave at once.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests that may be open at once, 1 to 1,024.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
    /// The senders that the account owns, at least one.
    pub senders: Vec<SenderSettings>,
    /// The sender of texts that ask for none; the first of `senders` if not given.
    #[serde(default)]
    pub default_sender: Option<String>,
    /// Milliseconds until an attempt to connect ends.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Milliseconds from the start of a request to the last byte of its answer; longer
    /// than `connect_timeout_ms`, so that a connection that never comes about is known
    /// to have carried nothing.
    #[serde(default = "default_request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// What only this kind of provider needs, read and checked by [`super::open`].
    #[serde(flatten)]
    pub specifics: Specifics,
}

/// A sender in the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "each sender is a text, or a table of `number` and `rate`"
)]
pub enum SenderSettings {
    /// A number, a short code, an alphanumeric id or a service; as fast as its account.
    Named(String),
    /// One that has a limit of its own.
    Limited(LimitedSender),
}

/// A sender with a limit of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitedSender {
    /// The number, or what else it is.
    pub number: String,
    /// Segments per second, beside the limit of its account.
    pub rate: f64,
}

impl SenderSettings {
    /// The number, or what else it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Limited(limited) => &limited.number,
        }
    }
}

/// The settings of one kind of provider, not read yet. `Debug` shows no value, for
/// some of them are secrets.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Specifics(pub toml::Table);

impl fmt::Debug for Specifics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The settings of a provider account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderSettingsError {
    /// There is no such kind of provider.
    #[error("provider `{provider}`: unknown kind `{kind}`; known are: {known}")]
    UnknownKind {
        /// The account's name.
        provider: String,
        /// The kind asked for.
        kind: String,
        /// All kinds there are.
        known: String,
    },
    /// There is no such setting.
    #[error("provider `{provider}`: unknown setting `{setting}`; did you mean `{suggestion}`?")]
    UnknownSetting {
        /// The account's name.
        provider: String,
        /// The setting as it was written.
        setting: String,
        /// The most similar one.
        suggestion: &'static str,
    },
    /// A setting is missing or has a value that cannot be used.
    #[error("provider `{provider}`: setting `{setting}` {problem}")]
    Invalid {
        /// The account's name.
        provider: String,
        /// The setting.
        setting: &'static str,
        /// What is wrong and what would be right; never the value of a secret.
        problem: String,
    },
}

impl ProviderSettings {
    /// Checks what all kinds share and gives the default sender.
    ///
    /// # Errors
    /// [`ProviderSettingsError::Invalid`] for the first setting that cannot be used.
    pub(super) fn check(&self) -> Result<String, ProviderSettingsError> {
        let word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(word) {
            return Err(self.invalid("name", "must be 1 to 64 letters, digits, `-` or `_`"));
        }
        if !self.rate.is_finite() || self.rate <= 0.0 {
            return Err(self.invalid("rate", "must be more than 0 segments per second"));
        }
        if self.burst == Some(0) {
            return Err(self.invalid("burst", "must be at least 1 segment"));
        }
        if !(1..=MOST_IN_FLIGHT).contains(&self.max_in_flight) {
            let problem = format!("must be 1 to {MOST_IN_FLIGHT}");
            return Err(self.invalid("max_in_flight", problem));
        }
        if self.connect_timeout_ms == 0 {
            return Err(self.invalid("connect_timeout_ms", "must be at least 1"));
        }
        let longest = LONGEST_REQUEST_TIMEOUT_MS;
        if self.request_timeout_ms <= self.connect_timeout_ms || self.request_timeout_ms > longest {
            let problem = format!("must be more than connect_timeout_ms, at most {longest}");
            return Err(self.invalid("request_timeout_ms", problem));
        }
        self.check_senders()
    }

    fn check_senders(&self) -> Result<String, ProviderSettingsError> {
        if self.sender_names().any(|sender| sender.trim().is_empty()) {
            return Err(self.invalid("senders", "must not hold an empty sender"));
        }
        for sender in &self.senders {
            if let SenderSettings::Limited(limited) = sender
                && let Err(error) = Pace::new(limited.rate, None)
            {
                return Err(self.invalid("senders", format!("has a rate: {error}")));
            }
        }
        let Some(first) = self.sender_names().next() else {
            return Err(self.invalid("senders", "must name at least one sender"));
        };
        let default = self.default_sender.as_deref().unwrap_or(first);
        if !self.sender_names().any(|sender| sender == default) {
            return Err(self.invalid("default_sender", "must be one of `senders`"));
        }
        Ok(default.to_owned())
    }

    /// The senders, in their order.
    pub(super) fn sender_names(&self) -> impl Iterator<Item = &str> {
        self.senders.iter().map(SenderSettings::name)
    }

    /// The senders that have a limit of their own.
    pub(super) fn sender_rates(&self) -> BTreeMap<String, f64> {
        let limited = self.senders.iter().filter_map(|sender| match sender {
            SenderSettings::Named(_) => None,
            SenderSettings::Limited(limited) => Some((limited.number.clone(), limited.rate)),
        });
        limited.collect()
    }

    /// Checks that every setting of this account is a shared one or one of `fields`.
    ///
    /// # Errors
    /// [`ProviderSettingsError::UnknownSetting`] with the most similar known one.
    pub(super) fn check_specifics(
        &self,
        fields: &'static [&'static str],
    ) -> Result<(), ProviderSettingsError> {
        let unknown = |setting: &&String| !fields.contains(&setting.as_str());
        let Some(setting) = self.specifics.0.keys().find(unknown) else {
            return Ok(());
        };
        let likeness = |known: &str| strsim::jaro_winkler(setting, known);
        let known = fields.iter().chain(&SHARED_FIELDS).copied();
        let suggestion = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        Err(ProviderSettingsError::UnknownSetting {
            provider: self.name.clone(),
            setting: setting.clone(),
            suggestion: suggestion.unwrap_or("name"),
        })
    }

    /// A setting of this kind of provider that is text.
    ///
    /// # Errors
    /// [`ProviderSettingsError::Invalid`] when it is not text.
    pub(super) fn text(
        &self,
        setting: &'static str,
    ) -> Result<Option<&str>, ProviderSettingsError> {
        match self.specifics.0.get(setting) {
            None => Ok(None),
            Some(value) => value
                .as_str()
                .map(Some)
                .ok_or_else(|| self.invalid(setting, "must be text in quotes")),
        }
    }

    /// A setting of this kind of provider that is a table of secrets.
    ///
    /// # Errors
    /// [`ProviderSettingsError::Invalid`] when it is not a table of texts.
    pub(super) fn secrets(
        &self,
        setting: &'static str,
    ) -> Result<BTreeMap<String, Secret>, ProviderSettingsError> {
        let problem = || self.invalid(setting, "must be a table of texts");
        let Some(value) = self.specifics.0.get(setting) else {
            return Ok(BTreeMap::new());
        };
        let secret = |(name, value): (&String, &toml::Value)| {
            let value = value.as_str().ok_or_else(problem)?;
            Ok((name.clone(), Secret::new(value)))
        };
        let table = value.as_table().ok_or_else(problem)?;
        table.iter().map(secret).collect()
    }

    /// The connection's limits.
    pub(super) fn limits(&self) -> super::http::Limits {
        super::http::Limits {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            max_in_flight: self.max_in_flight,
        }
    }

    pub(super) fn invalid(
        &self,
        setting: &'static str,
        problem: impl Into<String>,
    ) -> ProviderSettingsError {
        ProviderSettingsError::Invalid {
            provider: self.name.clone(),
            setting,
            problem: problem.into(),
        }
    }
}

const fn default_max_in_flight() -> u32 {
    DEFAULT_MAX_IN_FLIGHT
}

const fn default_connect_timeout_ms() -> u64 {
    DEFAULT_CONNECT_TIMEOUT_MS
}

const fn default_request_timeout_ms() -> u64 {
    DEFAULT_REQUEST_TIMEOUT_MS
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
