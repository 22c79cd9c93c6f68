//! `[retry]`: how often and how soon a text is tried again.

use std::time::Duration;

use super::error::SettingsError;
use super::layers::Layers;

/// The most attempts that may be set: with doubling waits the tenth is over an hour
/// away, beyond what most messages are valid for.
const ATTEMPTS_MAX: u32 = 10;
/// The longest first wait that may be set, in seconds.
const FIRST_DELAY_SECONDS_MAX: f64 = 3_600.0;

/// Section `[retry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// `VOLLEY_RETRY__ATTEMPTS`: attempts for one message, the first included.
    pub attempts: u32,
    /// `VOLLEY_RETRY__FIRST_DELAY_SECONDS`: the ceiling of the first wait.
    pub first_delay: Duration,
}

impl RetrySettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("retry");
        let settings = Self {
            attempts: section.checked("attempts", |attempts: u32| {
                let allowed = (1..=ATTEMPTS_MAX).contains(&attempts);
                allowed
                    .then_some(attempts)
                    .ok_or_else(|| format!("is not from 1 to {ATTEMPTS_MAX}"))
            })?,
            first_delay: section.checked("first_delay_seconds", |seconds: Seconds| {
                let allowed = (0.0..=FIRST_DELAY_SECONDS_MAX).contains(&seconds.0);
                allowed
                    .then(|| Duration::from_secs_f64(seconds.0))
                    .ok_or_else(|| format!("is not from 0 to {FIRST_DELAY_SECONDS_MAX} seconds"))
            })?,
        };
        section.finish()?;
        Ok(settings)
    }
}

/// A number of seconds, with or without a fraction: TOML tells `5` from `5.0`, people
/// do not.
struct Seconds(f64);

impl<'de> serde::Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}
