//! Points in time on the wall clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z. Rows and the journal hold it as an
/// integer; HTTP bodies show it as RFC 3339 through [`UnixMicros::to_rfc3339`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// The instant `seconds` after 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// Whole milliseconds since 1970, as ids carry them.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The instant `micros` microseconds later, kept inside the range of `i64`.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The instant `duration` later, kept inside the range of `i64`.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        self.plus_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }

    /// The whole minute this instant lies in, counted from 1970.
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(60_000_000)
    }

    /// RFC 3339 in UTC with microseconds, such as `2026-01-02T15:30:00.000000Z`.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => format!("{timestamp:.6}"),
            Err(_) => format!("{}us", self.0),
        }
    }

    /// Reads RFC 3339; `None` when `text` is not such a time.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|timestamp| Self(timestamp.as_microsecond()))
    }
}

impl fmt::Debug for UnixMicros {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::UnixMicros;

    #[test]
    fn rfc3339_survives_the_way_there_and_back() {
        let instant = UnixMicros(1_767_367_800_123_456);
        assert_eq!(instant.to_rfc3339(), "2026-01-02T15:30:00.123456Z");
        assert_eq!(
            UnixMicros::from_rfc3339(&instant.to_rfc3339()),
            Some(instant)
        );
        assert_eq!(UnixMicros::from_rfc3339("tomorrow"), None);
    }
}
