//! What a node tells Prometheus, judged by Prometheus' own linter.

use std::io::Write;
use std::process::{Command, Stdio};

use api::exit::Exit;
use rustix::process::Signal;

use crate::served::{Folder, Served, given, run, text};

/// An account at a provider that is never sent anything.
const ACCOUNT: [(&str, &str); 3] = [
    ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
    ("TWILIO_AUTH_TOKEN", "00000000000000000000000000000002"),
    ("TWILIO_PHONE_NUMBER", "+15005550006"),
];

fn scraped(url: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let client = reqwest::Client::builder().no_proxy().build();
        let request = client.expect("a client").get(format!("{url}/metrics"));
        let response = request.send().await.expect("an answer");
        response.text().await.expect("text")
    })
}

/// What `promtool check metrics` says, unless it is not there.
#[allow(clippy::print_stdout)]
fn linted(metrics: &str) -> Option<(bool, String)> {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(cause) => {
            let is_required = std::env::var_os("VOLLEY_REQUIRE_TOOLS").is_some();
            assert!(!is_required, "promtool: {cause}");
            println!("skipped: needs promtool");
            return None;
        }
    };
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(metrics.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    Some((output.status.success(), said))
}

/// Numbers that a node has which has done nothing but to make an account.
const EXPECTED: [&str; 9] = [
    "volley_provider_limit_segments_per_second{provider=\"twilio\"} 1",
    "volley_provider_rate_segments_per_second{provider=\"twilio\"} 1",
    "volley_provider_requests_in_flight{provider=\"twilio\"} 0",
    "volley_provider_answers_total{provider=\"twilio\",outcome=\"accepted\"} 0",
    "volley_provider_segments_total{provider=\"twilio\"} 0",
    "volley_provider_resting{provider=\"twilio\"} 0",
    "volley_dispatch_waiting_messages{class=\"transactional\"} 0",
    "volley_http_requests_total{",
    "volley_store_commit_seconds_count",
];

/// Scrapes until its actors have come up: some milliseconds.
const SCRAPES: usize = 10_000;

#[test]
fn every_number_has_help_and_a_proper_name() {
    let folder = Folder::new("metrics");
    let data = folder.data();
    let mut node = Served::start_with(&data, &ACCOUNT);
    given(&run(&["account", "create", "acme"], &data));
    let mut scrapes = (0..SCRAPES).map(|_| scraped(&node.url));
    let is_whole = |metrics: &String| EXPECTED.iter().all(|name| metrics.contains(name));
    let metrics = scrapes.find(is_whole);
    let metrics = metrics.unwrap_or_else(|| panic!("not whole: {}", scraped(&node.url)));
    let named = metrics.lines().filter(|line| line.starts_with("# TYPE"));
    for name in named.filter_map(|line| line.split(' ').nth(2)) {
        let help = format!("# HELP {name} ");
        assert!(metrics.contains(&help), "{name} has no help");
    }
    if let Some((is_clean, said)) = linted(&metrics) {
        assert!(is_clean, "{said}");
    }
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
}
