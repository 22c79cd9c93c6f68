//! What a sandbox is started with.

use crate::dialect::Dialect;
use crate::faults::{FaultPlan, optional_plan, plan_or_name};
use crate::outage::Outage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Most provider accounts in one sandbox: an account's place takes 16 bits of its text ids.
pub const MOST_ACCOUNTS: usize = 1 << 16;

/// Everything a sandbox needs to know; all its provider accounts share one port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxConfig {
    /// Where to listen; port 0 takes a free one, [`crate::Sandbox::address`] tells which.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// The provider accounts, at least one.
    pub accounts: Vec<AccountConfig>,
    /// The folder of the book; made when missing, read back when it holds a book.
    pub book_folder: PathBuf,
    /// The seed of every fault, delay and outcome.
    #[serde(default)]
    pub seed: u64,
    /// The fault plan of accounts without their own: a preset's name or a table.
    #[serde(default, deserialize_with = "plan_or_name")]
    pub faults: FaultPlan,
    /// Threads that serve connections, 1 to 64.
    #[serde(default = "two")]
    pub threads: usize,
}

/// One account at the simulated provider.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// The provider it pretends to be.
    #[serde(default)]
    pub dialect: Dialect,
    /// The account's id and the user name of Basic auth: letters and digits.
    pub account_sid: String,
    /// The password of Basic auth and the key of receipt signatures.
    pub auth_token: String,
    /// The numbers or names the account may send from, at least one.
    pub senders: Vec<String>,
    /// Segments a second above which (and 5 % tolerance) it answers 429; missing = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments_per_second: Option<f64>,
    /// Milliseconds between a text's arrival and its answer.
    #[serde(default)]
    pub latency_ms: u64,
    /// Milliseconds, lowest and highest, from arrival to the status `sent`.
    #[serde(default = "sent_after")]
    pub sent_after_ms: (u64, u64),
    /// Milliseconds, lowest and highest, from `sent` to the final status.
    #[serde(default = "final_after")]
    pub final_after_ms: (u64, u64),
    /// This account's own fault plan.
    #[serde(
        default,
        deserialize_with = "optional_plan",
        skip_serializing_if = "Option::is_none"
    )]
    pub faults: Option<FaultPlan>,
    /// When it is out of order; missing = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
}

impl AccountConfig {
    /// An account without limit, latency or faults of its own.
    pub fn new(account_sid: &str, auth_token: &str, senders: &[&str]) -> Self {
        Self {
            dialect: Dialect::Twilio,
            account_sid: account_sid.to_owned(),
            auth_token: auth_token.to_owned(),
            senders: senders.iter().map(|sender| (*sender).to_owned()).collect(),
            segments_per_second: None,
            latency_ms: 0,
            sent_after_ms: sent_after(),
            final_after_ms: final_after(),
            faults: None,
            outage: None,
        }
    }
}

impl fmt::Debug for AccountConfig {
    // The token and the senders' numbers stay out of logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccountConfig")
            .field("account_sid", &self.account_sid)
            .field("senders", &self.senders.len())
            .field("segments_per_second", &self.segments_per_second)
            .field("latency_ms", &self.latency_ms)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No account, or more than [`MOST_ACCOUNTS`].
    #[error("a sandbox needs between 1 and {MOST_ACCOUNTS} accounts")]
    AccountCount,
    /// An account id that is empty, repeated or not plain letters and digits.
    #[error("account {0:?}: its id must be unique and made of letters and digits")]
    AccountSid(String),
    /// No sender, or an empty one.
    #[error("account {0:?}: it needs senders, none of them empty")]
    Senders(String),
    /// A limit that is not a positive number.
    #[error("account {0:?}: segments_per_second must be above 0")]
    Limit(String),
    /// A range of milliseconds from high to low.
    #[error("account {0:?}: a range of milliseconds goes from low to high")]
    Range(String),
    /// Shares that are no probabilities, or too large together.
    #[error("account {account:?}: {what} cannot be")]
    Faults {
        /// The account concerned.
        account: String,
        /// The settings concerned.
        what: &'static str,
    },
    /// Zero threads or more than 64.
    #[error("threads must be 1 to 64")]
    Threads,
}

impl SandboxConfig {
    /// Checks everything that can be checked without touching the machine.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=64).contains(&self.threads) {
            return Err(ConfigError::Threads);
        }
        check_accounts(&self.accounts, &self.faults)
    }
}

/// Checks the accounts alone, for a core that is driven without sockets.
///
/// # Errors
/// The first setting that cannot be used.
pub fn check_accounts(accounts: &[AccountConfig], faults: &FaultPlan) -> Result<(), ConfigError> {
    if accounts.is_empty() || accounts.len() > MOST_ACCOUNTS {
        return Err(ConfigError::AccountCount);
    }
    for (place, account) in accounts.iter().enumerate() {
        let sid = &account.account_sid;
        let plain = !sid.is_empty() && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain
            || accounts
                .iter()
                .take(place)
                .any(|earlier| earlier.account_sid == *sid)
        {
            return Err(ConfigError::AccountSid(sid.clone()));
        }
        if account.senders.is_empty() || account.senders.iter().any(String::is_empty) {
            return Err(ConfigError::Senders(sid.clone()));
        }
        if account
            .segments_per_second
            .is_some_and(|limit| !(limit > 0.0 && limit.is_finite()))
        {
            return Err(ConfigError::Limit(sid.clone()));
        }
        let plan = account.faults.as_ref().unwrap_or(faults);
        let ranges = [
            account.sent_after_ms,
            account.final_after_ms,
            plan.retry_after_seconds,
            plan.slow_answer_ms,
            plan.late_receipt_ms,
        ];
        if ranges.iter().any(|(low, high)| low > high) {
            return Err(ConfigError::Range(sid.clone()));
        }
        plan.check().map_err(|what| ConfigError::Faults {
            account: sid.clone(),
            what,
        })?;
    }
    Ok(())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn two() -> usize {
    2
}

/// Twilio's first callback usually comes within a fraction of a second.
fn sent_after() -> (u64, u64) {
    (20, 200)
}

/// Long enough for receipts of many texts to be under way at once, short enough for a demo.
fn final_after() -> (u64, u64) {
    (100, 1_500)
}
