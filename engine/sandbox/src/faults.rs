//! What a provider account does wrong, and how often.
//!
//! A plan holds one probability per kind of fault. Which text meets which fault
//! is drawn from the seed alone (`core::fate`), so a run can be repeated.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::str::FromStr;

/// A fault in the answer to a submitted text. At most one meets a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFault {
    /// Taken, and answered properly but late.
    SlowAnswer,
    /// Not taken: 429 with a `Retry-After` of 1 to 3 seconds.
    ThrottleWithRetryAfter,
    /// Not taken: 429 without `Retry-After`.
    ThrottleWithoutRetryAfter,
    /// Not taken: a 5xx.
    ErrorBefore,
    /// Taken, and answered with a 5xx all the same.
    ErrorAfter,
    /// Taken, then the connection is reset without an answer.
    CutAfter,
    /// Taken, then silence until the client gives up or the plan's bound passes.
    NoAnswerTaken,
    /// Not taken, and silence.
    NoAnswerUntaken,
    /// Taken, and answered 200 or 201 with a body that means nothing.
    Nonsense,
}

impl AnswerFault {
    /// Whether the provider has the text in spite of the fault.
    pub fn takes_the_text(self) -> bool {
        match self {
            Self::SlowAnswer
            | Self::ErrorAfter
            | Self::CutAfter
            | Self::NoAnswerTaken
            | Self::Nonsense => true,
            Self::ThrottleWithRetryAfter
            | Self::ThrottleWithoutRetryAfter
            | Self::ErrorBefore
            | Self::NoAnswerUntaken => false,
        }
    }
}

/// A fault in the receipts of a taken text. At most one meets a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptFault {
    /// The receipts leave before the answer to the submission does.
    Early,
    /// The last receipt leaves much later than the text was delivered.
    Late,
    /// The last receipt leaves two or three times, with one idempotency token.
    Duplicated,
    /// The receipt of `sent` leaves after the final one, or one of `queued` after `sent`.
    Reordered,
    /// The final receipt, or all of them, are withheld.
    Missing,
}

/// Probabilities (0 to 1) and delays (milliseconds, lowest and highest) of faults.
///
/// In a settings file a plan is either the name of a preset (`"none"`,
/// `"realistic"`, `"harsh"`) or a table in which a missing key means none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Share of submissions that meet [`AnswerFault::SlowAnswer`].
    pub slow_answer: f64,
    /// Share that meets [`AnswerFault::ThrottleWithRetryAfter`].
    pub throttle_with_retry_after: f64,
    /// Share that meets [`AnswerFault::ThrottleWithoutRetryAfter`].
    pub throttle_without_retry_after: f64,
    /// Share that meets [`AnswerFault::ErrorBefore`].
    pub error_before: f64,
    /// Share that meets [`AnswerFault::ErrorAfter`].
    pub error_after: f64,
    /// Share that meets [`AnswerFault::CutAfter`].
    pub cut_after: f64,
    /// Share that gets no answer; half of these texts are taken.
    pub no_answer: f64,
    /// Share that meets [`AnswerFault::Nonsense`].
    pub nonsense: f64,
    /// Share of taken texts that meet [`ReceiptFault::Early`].
    pub receipt_early: f64,
    /// Share that meets [`ReceiptFault::Late`].
    pub receipt_late: f64,
    /// Share that meets [`ReceiptFault::Duplicated`].
    pub receipt_duplicated: f64,
    /// Share that meets [`ReceiptFault::Reordered`].
    pub receipts_reordered: f64,
    /// Share that meets [`ReceiptFault::Missing`].
    pub receipts_missing: f64,
    /// Share of numbers whose texts end undelivered, always the same numbers for a seed.
    pub undelivered: f64,
    /// Share of numbers whose texts end failed.
    pub failed: f64,
    /// Whether each text to a number ends in its own way, as to a phone that is off now and
    /// on later, instead of all in the same.
    pub outcome_by_text: bool,
    /// The provider's codes drawn from for undelivered texts.
    pub undelivered_codes: Vec<u32>,
    /// The provider's codes drawn from for failed texts.
    pub failed_codes: Vec<u32>,
    /// How many seconds a throttling answer asks to wait, lowest and highest.
    pub retry_after_seconds: (u64, u64),
    /// How late a slow answer is.
    pub slow_answer_ms: (u64, u64),
    /// How late a late receipt is.
    pub late_receipt_ms: (u64, u64),
    /// Whether a late text's receipts all are, as from a provider whose callbacks wait in
    /// line, instead of its last one alone.
    pub late_from_the_first: bool,
    /// How long a taken text does not show in lists yet.
    pub listed_after_ms: u64,
    /// How long early receipts run ahead of the answer.
    pub early_head_start_ms: u64,
    /// How long silence lasts before the connection is cut.
    pub no_answer_ms: u64,
}

impl FaultPlan {
    /// Every text is taken at once and delivered.
    pub fn none() -> Self {
        Self {
            slow_answer: 0.0,
            throttle_with_retry_after: 0.0,
            throttle_without_retry_after: 0.0,
            error_before: 0.0,
            error_after: 0.0,
            cut_after: 0.0,
            no_answer: 0.0,
            nonsense: 0.0,
            receipt_early: 0.0,
            receipt_late: 0.0,
            receipt_duplicated: 0.0,
            receipts_reordered: 0.0,
            receipts_missing: 0.0,
            undelivered: 0.0,
            failed: 0.0,
            outcome_by_text: false,
            // 30003 unreachable, 30005 unknown handset, 30006 landline, 30008 unknown error.
            undelivered_codes: vec![30003, 30005, 30006, 30008],
            // 30008 unknown error, 30018 sender not registered for the country.
            failed_codes: vec![30008, 30018],
            retry_after_seconds: (1, 3),
            slow_answer_ms: (1_000, 5_000),
            late_receipt_ms: (3_000, 12_000),
            late_from_the_first: false,
            listed_after_ms: 0,
            early_head_start_ms: 200,
            no_answer_ms: 120_000,
        }
    }

    /// About one in a thousand of each fault; 2 % undelivered, 0.5 % failed.
    pub fn realistic() -> Self {
        Self {
            slow_answer: 0.002,
            throttle_with_retry_after: 0.001,
            throttle_without_retry_after: 0.001,
            error_before: 0.001,
            error_after: 0.000_5,
            cut_after: 0.000_5,
            no_answer: 0.000_2,
            nonsense: 0.000_2,
            receipt_early: 0.002,
            receipt_late: 0.002,
            receipt_duplicated: 0.002,
            receipts_reordered: 0.002,
            receipts_missing: 0.001,
            undelivered: 0.02,
            failed: 0.005,
            ..Self::none()
        }
    }

    /// Every fault a few per cent of the time; 10 % undelivered, 5 % failed.
    pub fn harsh() -> Self {
        Self {
            slow_answer: 0.05,
            throttle_with_retry_after: 0.03,
            throttle_without_retry_after: 0.03,
            error_before: 0.03,
            error_after: 0.02,
            cut_after: 0.02,
            no_answer: 0.01,
            nonsense: 0.02,
            receipt_early: 0.05,
            receipt_late: 0.05,
            receipt_duplicated: 0.10,
            receipts_reordered: 0.10,
            receipts_missing: 0.05,
            undelivered: 0.10,
            failed: 0.05,
            ..Self::none()
        }
    }

    /// Checks that every share is a probability and that the kinds of one draw fit into it.
    ///
    /// # Errors
    /// Names the first group of shares that cannot be.
    pub fn check(&self) -> Result<(), &'static str> {
        let groups: [(&[f64], &'static str); 3] = [
            (
                &self.answer_shares().map(|(share, _)| share),
                "the shares of faulty answers",
            ),
            (
                &self.receipt_shares().map(|(share, _)| share),
                "the shares of faulty receipts",
            ),
            (
                &[self.undelivered, self.failed],
                "the shares of undelivered and failed texts",
            ),
        ];
        for (shares, name) in groups {
            let all_probabilities = shares.iter().all(|share| (0.0..=1.0).contains(share));
            if !all_probabilities || shares.iter().sum::<f64>() > 1.0 + f64::EPSILON {
                return Err(name);
            }
        }
        if self.undelivered > 0.0 && self.undelivered_codes.is_empty()
            || self.failed > 0.0 && self.failed_codes.is_empty()
        {
            return Err("the codes of undelivered and failed texts");
        }
        Ok(())
    }

    /// The kinds of answer fault with their shares, in the order they are drawn.
    pub(crate) fn answer_shares(&self) -> [(f64, AnswerFault); 9] {
        [
            (self.slow_answer, AnswerFault::SlowAnswer),
            (
                self.throttle_with_retry_after,
                AnswerFault::ThrottleWithRetryAfter,
            ),
            (
                self.throttle_without_retry_after,
                AnswerFault::ThrottleWithoutRetryAfter,
            ),
            (self.error_before, AnswerFault::ErrorBefore),
            (self.error_after, AnswerFault::ErrorAfter),
            (self.cut_after, AnswerFault::CutAfter),
            (self.no_answer / 2.0, AnswerFault::NoAnswerTaken),
            (self.no_answer / 2.0, AnswerFault::NoAnswerUntaken),
            (self.nonsense, AnswerFault::Nonsense),
        ]
    }

    /// The kinds of receipt fault with their shares, in the order they are drawn.
    pub(crate) fn receipt_shares(&self) -> [(f64, ReceiptFault); 5] {
        [
            (self.receipt_early, ReceiptFault::Early),
            (self.receipt_late, ReceiptFault::Late),
            (self.receipt_duplicated, ReceiptFault::Duplicated),
            (self.receipts_reordered, ReceiptFault::Reordered),
            (self.receipts_missing, ReceiptFault::Missing),
        ]
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::none()
    }
}

/// A preset's name that is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault plan {0:?}: use none, realistic or harsh")]
pub struct UnknownPlan(String);

impl FromStr for FaultPlan {
    type Err = UnknownPlan;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "none" => Ok(Self::none()),
            "realistic" => Ok(Self::realistic()),
            "harsh" => Ok(Self::harsh()),
            other => Err(UnknownPlan(other.to_owned())),
        }
    }
}

/// Reads a plan from settings: a preset's name or a table.
pub(crate) fn plan_or_name<'de, D: Deserializer<'de>>(source: D) -> Result<FaultPlan, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Setting {
        Name(String),
        Table(Box<FaultPlan>),
    }
    match Setting::deserialize(source)? {
        Setting::Name(name) => name.parse().map_err(D::Error::custom),
        Setting::Table(plan) => Ok(*plan),
    }
}

/// The same for a plan that may be missing.
pub(crate) fn optional_plan<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<FaultPlan>, D::Error> {
    plan_or_name(source).map(Some)
}

#[cfg(test)]
mod tests {
    use super::FaultPlan;

    #[test]
    fn presets_can_be_drawn_from() {
        for name in ["none", "realistic", "harsh"] {
            let plan: Result<FaultPlan, _> = name.parse();
            assert!(plan.is_ok_and(|plan| plan.check().is_ok()), "{name}");
        }
        assert!("Harsh".parse::<FaultPlan>().is_err());
    }

    #[test]
    fn shares_beyond_one_are_refused() {
        let both = FaultPlan {
            undelivered: 0.6,
            failed: 0.6,
            ..FaultPlan::none()
        };
        assert!(both.check().is_err());
        let negative = FaultPlan {
            nonsense: -0.1,
            ..FaultPlan::none()
        };
        assert!(negative.check().is_err());
        let codeless = FaultPlan {
            failed: 0.1,
            failed_codes: Vec::new(),
            ..FaultPlan::none()
        };
        assert!(codeless.check().is_err());
    }
}
