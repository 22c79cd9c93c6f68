//! A time in which a provider account is out of order.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::faults::AnswerFault;

/// What an account that is out of order does with every request. Texts are not taken, but
/// receipts of earlier ones go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageKind {
    /// It answers 503.
    Refuses,
    /// It is silent; when it is back, it cuts the lines that still wait.
    Hangs,
}

impl OutageKind {
    /// What the book calls it.
    pub(crate) fn fault(self) -> AnswerFault {
        match self {
            Self::Refuses => AnswerFault::ErrorBefore,
            Self::Hangs => AnswerFault::NoAnswerUntaken,
        }
    }
}

/// One outage of an account, counted from the first text that arrives at it in this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// What it does meanwhile.
    pub kind: OutageKind,
    /// Milliseconds from the first text to the beginning.
    pub after_ms: u64,
    /// Milliseconds from the beginning to the end.
    pub for_ms: u64,
}

impl Outage {
    /// When it is over, if `now` lies in it; both and `first` in Unix microseconds.
    pub(crate) fn until(&self, first: u64, now: u64) -> Option<u64> {
        let from = first.saturating_add(self.after_ms.saturating_mul(1_000));
        let until = from.saturating_add(self.for_ms.saturating_mul(1_000));
        (from..until).contains(&now).then_some(until)
    }
}

/// An outage that is written otherwise than `refuses:AFTER_MS:FOR_MS`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write refuses:AFTER_MS:FOR_MS or hangs:AFTER_MS:FOR_MS")]
pub struct OutageError;

impl FromStr for Outage {
    type Err = OutageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        let [kind, after_ms, for_ms] = parts.as_slice() else {
            return Err(OutageError);
        };
        let kind = match *kind {
            "refuses" => OutageKind::Refuses,
            "hangs" => OutageKind::Hangs,
            _ => return Err(OutageError),
        };
        Ok(Self {
            kind,
            after_ms: after_ms.parse().map_err(|_| OutageError)?,
            for_ms: for_ms.parse().map_err(|_| OutageError)?,
        })
    }
}
