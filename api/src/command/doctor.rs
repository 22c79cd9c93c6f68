//! `volley doctor`: what keeps a node from doing well here, before it runs or while it
//! does. It looks and asks; it sends nothing and changes nothing.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use clap::Args;
use engine::provider::{self, LookUpError, ProviderSettings};
use engine::runtime::Runtime;
use engine::settings::{InForce, KafkaLogin, Mechanism, Settings};
use engine::store::{Examined, Standing, examine};
use futures::future::join_all;
use rustix::process::{Resource, getrlimit};
use schemas::UnixMicros;

use super::{Ground, SettingsArguments, complain, give};
use crate::exit::Exit;

/// Below so much free disk an operator should think of it: ten million messages of some
/// 600 bytes, and as much again while the store rewrites its files.
const LITTLE_DISK: u64 = 12 << 30;

/// A commit that waits longer than this for its disk makes one-time codes slow: they wait
/// for two of them.
const SLOW_SYNC: Duration = Duration::from_millis(10);

/// How far apart the clocks of a provider and of this machine may be, in microseconds. A
/// provider tells whole seconds; beyond it, searches for lost texts look in the wrong window.
const CLOCKS_APART: u64 = 2_000_000;

/// Files that a node has open beside its sockets to providers: store, log, customers.
const OTHER_FILES: u64 = 512;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Address and port to listen on, in place of `http.listen`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// How one thing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Well,
    /// It works, and may surprise.
    Doubtful,
    /// A node would not start, or not send.
    Wrong,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok   ",
            Self::Doubtful => "doubt",
            Self::Wrong => "WRONG",
        }
    }
}

/// What was found of one thing: its name, how it is, and why or what to do.
struct Finding {
    of: String,
    health: Health,
    detail: String,
}

fn finding(of: &str, health: Health, detail: impl Into<String>) -> Finding {
    Finding {
        of: of.to_owned(),
        health,
        detail: detail.into(),
    }
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Ground {
        settings,
        tokio,
        runtime,
    } = match Ground::of(&arguments.settings, arguments.listen.clone()) {
        Ok(ground) => ground,
        Err(exit) => return exit,
    };
    let findings = tokio.block_on(examine_all(&settings, &runtime));
    give(&told(&settings.in_force, &findings));
    let wrong = findings
        .iter()
        .filter(|finding| finding.health == Health::Wrong);
    match wrong.count() {
        0 => Exit::Success,
        count => {
            complain(&format!("{count} of {} are wrong", findings.len()));
            Exit::Failure
        }
    }
}

async fn examine_all(settings: &Settings, runtime: &Runtime) -> Vec<Finding> {
    let folder = settings.node.data.clone();
    let examiner = runtime.clone();
    let examined = runtime.blocking(move || examine(&examiner, &folder)).await;
    let mut findings = Vec::new();
    let standing = match examined {
        Ok(Ok(examined)) => {
            findings.extend(disk(settings, examined));
            Some(examined.standing)
        }
        Ok(Err(error)) => {
            findings.push(finding("data folder", Health::Wrong, error.to_string()));
            None
        }
        Err(error) => {
            findings.push(finding("data folder", Health::Wrong, error.to_string()));
            None
        }
    };
    findings.push(port(settings, standing));
    findings.push(receipts(settings));
    findings.push(open_files(settings));
    findings.extend(passwords(settings));
    if settings.providers.is_empty() {
        let detail = "there is none: messages are taken in and wait; see [[providers]]";
        findings.push(finding("providers", Health::Doubtful, detail));
    }
    let asked = settings.providers.iter();
    findings.extend(join_all(asked.map(|account| provider(settings, account, runtime))).await);
    findings
}

fn disk(settings: &Settings, examined: Examined) -> [Finding; 2] {
    let folder = settings.node.data.display();
    let standing = match examined.standing {
        Standing::New => "new".to_owned(),
        Standing::Free => "holds data that nobody serves".to_owned(),
        Standing::InUse { holder: Some(id) } => format!("process {id} has it open"),
        Standing::InUse { holder: None } => "another process has it open".to_owned(),
    };
    let gibibytes = examined.free_bytes as f64 / f64::from(1 << 30);
    let (space, advice) = if examined.free_bytes < LITTLE_DISK {
        (Health::Doubtful, "; ten million messages need 12")
    } else {
        (Health::Well, "")
    };
    let detail = format!("{folder}: {standing}; {gibibytes:.1} GiB free{advice}");
    let milliseconds = examined.sync.as_secs_f64() * 1_000.0;
    let (speed, advice) = if examined.sync > SLOW_SYNC {
        let advice = "; every answer waits for that: a faster disk makes faster one-time codes";
        (Health::Doubtful, advice)
    } else {
        (Health::Well, "")
    };
    let write = format!("a write is on the disk after {milliseconds:.1} ms{advice}");
    [
        finding("data folder", space, detail),
        finding("disk", speed, write),
    ]
}

fn port(settings: &Settings, standing: Option<Standing>) -> Finding {
    let listen = settings.http.listen;
    let is_served = matches!(standing, Some(Standing::InUse { .. }));
    let (health, detail) = match TcpListener::bind(listen) {
        Ok(_) => (Health::Well, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_served => {
            let detail = format!("{listen} is in use, as the data folder is");
            (Health::Well, detail)
        }
        Err(error) => {
            let detail = format!("{listen}: {error}; set http.listen to another");
            (Health::Wrong, detail)
        }
    };
    finding("port", health, detail)
}

fn receipts(settings: &Settings) -> Finding {
    let (health, detail) = match settings.http.public_url.as_deref() {
        None => (
            Health::Doubtful,
            "are fetched, which takes longer: http.public_url is not set".to_owned(),
        ),
        Some(url) if url.starts_with("http://") => {
            let detail = format!("come to {url}: unencrypted, with people's numbers in them");
            (Health::Doubtful, detail)
        }
        Some(url) => (Health::Well, format!("come to {url}")),
    };
    finding("receipts", health, detail)
}

/// Passwords of servers that whoever listens on the way can read.
fn passwords(settings: &Settings) -> Vec<Finding> {
    let security = &settings.kafka.security;
    let is_plain = |login: &KafkaLogin| login.mechanism == Mechanism::Plain;
    let to_kafka = security.login.as_ref().is_some_and(is_plain) && security.tls.is_none();
    let to_cql = settings.cql.user.is_some() && settings.cql.tls.is_none();
    let readable = [("Kafka", "kafka.tls", to_kafka), ("CQL", "cql.tls", to_cql)];
    let readable = readable
        .into_iter()
        .filter(|(_, _, is_readable)| *is_readable);
    let told = readable.map(|(servers, cure, _)| {
        let detail = format!("the password goes unencrypted: set {cure}, or trust the network");
        finding(servers, Health::Doubtful, detail)
    });
    told.collect()
}

fn open_files(settings: &Settings) -> Finding {
    let requests = settings.providers.iter();
    let requests: u64 = requests
        .map(|account| u64::from(account.max_in_flight))
        .sum();
    let needed = requests + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile).current;
    let allowed = limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    let (health, advice) = match limit {
        Some(limit) if limit < needed => (Health::Wrong, "; raise it (ulimit -n)"),
        Some(_) | None => (Health::Well, ""),
    };
    let detail = format!("{allowed} may be open, some {needed} are needed{advice}");
    finding("open files", health, detail)
}

/// Asks a provider whether it knows us, and what time it is.
async fn provider(settings: &Settings, account: &ProviderSettings, runtime: &Runtime) -> Finding {
    let name = format!("provider {}", account.name);
    let opened = provider::open(account, settings.http.public_url.as_deref());
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return finding(&name, Health::Wrong, error.to_string()),
    };
    let (began, asked) = (runtime.boot(), runtime.now());
    let answer = opened.provider.check().await;
    let took = runtime.boot().saturating_sub(began);
    let (health, detail) = match answer {
        Ok(said) => {
            let (health, clocks) = clocks(asked, said, took);
            let milliseconds = took / 1_000;
            let detail = format!("knows us and answers in {milliseconds} ms; {clocks}");
            (health, detail)
        }
        Err(error @ LookUpError::Throttled { .. }) => (Health::Doubtful, error.to_string()),
        Err(error @ LookUpError::Refused { status: 401 | 403 }) => {
            (Health::Wrong, format!("{error}; check its credentials"))
        }
        Err(
            error @ (LookUpError::NotAnId
            | LookUpError::NoAnswer { .. }
            | LookUpError::Refused { .. }
            | LookUpError::NotUnderstood
            | LookUpError::TooLong { .. }),
        ) => (Health::Wrong, error.to_string()),
    };
    finding(&name, health, detail)
}

/// Whether our clock agrees with a provider's, which answered some time after we asked.
fn clocks(asked: UnixMicros, said: Option<UnixMicros>, took: u64) -> (Health, String) {
    let Some(said) = said else {
        return (Health::Well, "it tells no time".to_owned());
    };
    let apart = said.0.abs_diff(asked.0);
    if apart <= CLOCKS_APART.saturating_add(took) {
        return (Health::Well, "the clocks agree".to_owned());
    }
    let seconds = apart / 1_000_000;
    let ours = if said.0 > asked.0 { "behind" } else { "ahead" };
    let detail = format!("our clock is {seconds} s {ours}: set it by NTP");
    (Health::Wrong, detail)
}

/// Everything, for people.
fn told(in_force: &[InForce], findings: &[Finding]) -> String {
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let keys = widest(&mut in_force.iter().map(|one| one.key.len()));
    let values = widest(&mut in_force.iter().map(|one| one.value.chars().count()));
    let names = widest(&mut findings.iter().map(|one| one.of.len()));
    let mut text = String::from("settings, and whose word each is\n");
    for InForce { key, value, source } in in_force {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {key:keys$}  {value:values$}  {source}");
    }
    text.push_str("findings");
    for Finding { of, health, detail } in findings {
        let _ = write!(text, "\n  {}  {of:names$}  {detail}", health.word());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Health, clocks};
    use schemas::UnixMicros;

    #[test]
    fn clocks_agree_within_two_seconds_and_the_way() {
        let at = |seconds: i64| UnixMicros(seconds * 1_000_000);
        for (said, took, health) in [
            (100, 0, Health::Well),
            (98, 0, Health::Well),
            (97, 0, Health::Wrong),
            (103, 0, Health::Wrong),
            (103, 1_000_000, Health::Well),
        ] {
            assert_eq!(clocks(at(100), Some(at(said)), took).0, health, "{said}");
        }
        assert_eq!(clocks(at(100), None, 0).0, Health::Well);
    }
}
