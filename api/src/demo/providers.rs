//! The three provider accounts of a demonstration, and the process that plays them.
//!
//! The sandbox is this same executable in a process of its own: what it says of us it
//! cannot have from our memory. It ends when its standard input closes, so none is left
//! behind however this process ends.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use engine::provider::ProviderSettings;
use engine::runtime::Runtime;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::options::{FaultsOption, Plan};

/// Name, share of the rate and sender of each account. The numbers are of the range
/// that is set aside for fiction.
const ACCOUNTS: [(&str, f64, &str); 3] = [
    ("first", 1.0, "+12025550101"),
    ("second", 2.0, "+12025550102"),
    ("third", 3.0, "+12025550103"),
];

/// The outage of an account under harsh faults: milliseconds from its first text, and how
/// many. Longer than a breaker takes to notice silence, shorter than the default campaign.
const DIES_AFTER_MS: u64 = 500;
const DEAD_FOR_MS: u64 = 6_000;

/// How long a sandbox may take to write the end of its book.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// One account, as both sides are told of it.
pub(super) struct DemoAccount {
    pub(super) name: &'static str,
    /// Its id at the sandbox, in Twilio's form.
    pub(super) sid: String,
    token: String,
    sender: &'static str,
    /// Segments per second.
    pub(super) rate: f64,
}

/// The accounts of a plan, with new tokens.
pub(super) fn accounts(plan: &Plan, runtime: &Runtime) -> Vec<DemoAccount> {
    let shares: f64 = ACCOUNTS.iter().map(|(_, share, _)| share).sum();
    let account = |(index, &(name, share, sender)): (usize, &(&'static str, f64, &'static str))| {
        DemoAccount {
            name,
            sid: format!("AC{:032x}", index + 1),
            token: format!("{:032x}", u128::from_le_bytes(runtime.random_bytes())),
            sender,
            rate: plan.rate * share / shares,
        }
    };
    ACCOUNTS.iter().enumerate().map(account).collect()
}

/// Which account dies and comes back, and how, as the sandbox is told.
fn outage(plan: &Plan, accounts: &[DemoAccount]) -> Option<String> {
    let place = usize::try_from(plan.seed % accounts.len() as u64).unwrap_or_default();
    let dying = accounts.get(place)?;
    let kind = if (plan.seed / accounts.len() as u64).is_multiple_of(2) {
        "hangs"
    } else {
        "refuses"
    };
    let sid = &dying.sid;
    (plan.faults == FaultsOption::Harsh)
        .then(|| format!("{sid}:{kind}:{DIES_AFTER_MS}:{DEAD_FOR_MS}"))
}

/// The settings of an account whose provider is at `url`.
pub(super) fn settings(
    account: &DemoAccount,
    url: &str,
) -> Result<ProviderSettings, toml::de::Error> {
    let mut table = toml::Table::new();
    let mut set = |key: &str, text: &str| table.insert(key.to_owned(), text.into());
    set("account_sid", &account.sid);
    set("auth_token", &account.token);
    set("base_url", url);
    set("name", account.name);
    set("kind", "twilio");
    table.insert("rate".to_owned(), account.rate.into());
    table.insert("senders".to_owned(), vec![account.sender].into());
    // Through the reader of settings files, so that all else is as the default has it.
    table.try_into::<ProviderSettings>()
}

/// The sandbox cannot be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    #[error("the sandbox cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("the sandbox ended before it listened")]
    Ended,
}

/// The running sandbox.
pub(super) struct SandboxProcess {
    child: Child,
    /// Its life line.
    input: ChildStdin,
    /// Where it is, such as `http://127.0.0.1:40000`.
    pub(super) url: String,
}

impl SandboxProcess {
    /// Starts it on a free port of this machine.
    pub(super) async fn start(
        plan: &Plan,
        accounts: &[DemoAccount],
        book: &Path,
    ) -> Result<Self, SandboxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["sandbox", "--listen", "127.0.0.1:0", "--book"])
            .arg(book);
        command.args(["--faults", plan.faults.as_str()]);
        command.args(["--seed", &plan.seed.to_string()]);
        for DemoAccount {
            sid,
            token,
            rate,
            sender,
            ..
        } in accounts
        {
            command.args(["--account", &format!("{sid}:{token}:{rate}:{sender}")]);
        }
        if let Some(outage) = outage(plan, accounts) {
            command.args(["--outage", &outage]);
        }
        // A group of its own: Ctrl-C reaches us alone, and it goes on while we drain.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(SandboxError::Ended);
        };
        let mut lines = BufReader::new(output).lines();
        let url = lines.next_line().await?.ok_or(SandboxError::Ended)?;
        Ok(Self { child, input, url })
    }

    /// Lets it end and waits until its book is whole. Where it takes too long it is left
    /// to end by itself.
    pub(super) async fn stop(self, runtime: &Runtime) {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        let ended = std::pin::pin!(child.wait());
        let timeout = std::pin::pin!(runtime.sleep(STOP_TIMEOUT));
        futures::future::select(ended, timeout).await;
    }
}
