//! `volley serve`: one node, until it is asked to stop.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use engine::runtime::Runtime;
use engine::settings::Settings;
use engine::store::COMMIT_RECORDS;
use futures::future::{Either, select};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use super::{SettingsArguments, complain, tell, tokio_runtime};
use crate::exit::Exit;
use crate::node::{RunningNode, start};
use crate::signal::StopSignals;

/// The bounds of histograms of seconds: from a fast commit to a slow provider.
const SECONDS_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The same for how much one commit holds.
const COMMIT_BUCKETS: [f64; 7] = [1.0, 3.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0];

/// What is told unless somebody asks for more: the libraries tell each file they open, and each
/// server that they try in vain.
const LOG_FILTER: &str = "info,fjall=warn,lsm_tree=warn,actix_server=warn,scylla=error";

/// How long stopping may take: the doors close within 10 s and what is in flight ends within 10 s
/// more, so that it is longer only while servers are away. It is shorter than whoever stops
/// processes waits before it kills them (`deploy/`: 45 s and more).
const STOP_WITHIN: Duration = Duration::from_secs(35);

/// What is said then.
const LATE: &str = "what is in flight could not be committed in time: its attempts are unknown";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Address and port to listen on, in place of `http.listen`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let settings = match arguments.settings.load(arguments.listen.clone()) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    start_logging();
    let metrics = match install_metrics() {
        Ok(metrics) => metrics,
        Err(exit) => return exit,
    };
    let tokio = match tokio_runtime() {
        Ok(tokio) => tokio,
        Err(exit) => return exit,
    };
    let runtime = Runtime::of_machine(tokio.handle().clone());
    #[cfg(feature = "cluster")]
    let has_kafka = settings.kafka.brokers.is_some();
    // Actors live on this thread, what waits and works on the shared runtime.
    let exit = actix::System::new().block_on(serve(settings, runtime, metrics));
    // What is left in flight is in the journal; nobody has to wait for it.
    tokio.shutdown_background();
    #[cfg(feature = "cluster")]
    if has_kafka {
        exit.at_once();
    }
    exit
}

/// Logs go to stderr, in colour on a terminal. `RUST_LOG` chooses what is told.
fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn install_metrics() -> Result<PrometheusHandle, Exit> {
    let commits = Matcher::Full(COMMIT_RECORDS.to_owned());
    PrometheusBuilder::new()
        .set_buckets(&SECONDS_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(commits, &COMMIT_BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| {
            complain(&format!("cannot keep metrics: {error}"));
            Exit::Failure
        })
}

async fn serve(settings: Settings, runtime: Runtime, metrics: PrometheusHandle) -> Exit {
    // Before anything is opened: a signal during the start must not cut it off.
    let mut signals = match StopSignals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return Exit::Failure;
        }
    };
    let started = start(&settings, &runtime, metrics, signals.received()).await;
    let mut node = match started {
        Ok(node) => node,
        Err(error) => {
            complain(&error);
            return error.exit();
        }
    };
    greet(&settings, &node).await;
    let failure = {
        let stopped = pin!(signals.received());
        let failed = pin!(node.failed());
        match select(stopped, failed).await {
            Either::Left(_) => None,
            Either::Right((cause, _)) => Some(cause),
        }
    };
    tracing::info!("stopping");
    if let Some(cause) = &failure {
        complain(&format!("the node has to stop: {cause}"));
    }
    let stopped = pin!(node.stop());
    match select(stopped, pin!(runtime.sleep(STOP_WITHIN))).await {
        Either::Left((Ok(()), _)) if failure.is_none() => Exit::Success,
        Either::Left((Ok(()), _)) => Exit::Failure,
        Either::Left((Err(error), _)) => {
            complain(&error);
            Exit::Failure
        }
        Either::Right(_) => {
            complain(&LATE);
            Exit::Failure
        }
    }
}

async fn greet(settings: &Settings, node: &RunningNode) {
    let folder = settings.node.data.display();
    if settings.providers.is_empty() {
        tell("no provider account is set: messages are taken in and wait for one");
    }
    if node.has_no_account().await.unwrap_or(false) {
        tell(&format!(
            "nobody has an account yet; make one and its first key with\n\
             \x20 volley account create NAME --data {folder}\n\
             \x20 volley key create ACCOUNT_ID --data {folder}"
        ));
    }
    // Last, so that whoever waits for it has read everything before it.
    tell(&format!(
        "volley serves http://{} with its data in {folder}",
        node.address
    ));
}
