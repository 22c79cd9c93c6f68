//! The course of a demonstration, from its folder to its balance.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;

use actors::node::DrainError;
use engine::runtime::{Runtime, WorkLost};
use engine::settings::{Settings, SettingsError};
use futures::future::{Either, select};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};

use super::audit::{AuditError, Evidence, audit, circumstances, names};
use super::balance::{Accounts, Balance, ImportCounts};
use super::campaign::{StepError, User};
use super::codes::Codes;
use super::folder::{Folder, FolderError};
use super::follow::{follow, wall};
use super::generate::{GenerateError, write_contacts};
use super::memory::peak_rss_bytes;
use super::options::{DemoArguments, FaultsOption};
use super::providers::{self, DemoAccount, SandboxError, SandboxProcess};
use super::tail::BookTail;
use super::{give, tell};
use crate::exit::Exit;
use crate::node::{RunningNode, StartError, start};
use crate::signal::StopSignals;

/// A demonstration that did not come to its balance.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the settings of a provider cannot be made: {0}")]
    Provider(#[from] toml::de::Error),
    #[error("no free port: {0}")]
    Port(#[from] std::io::Error),
    #[error("cannot keep metrics: {0}")]
    Metrics(#[from] BuildError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Ground(#[from] super::ground::GroundError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("the balance cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the node stopped: {0}")]
    NodeFailed(String),
    #[error("the node cannot stop in good order: {0}")]
    Stop(#[from] DrainError),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Lost(#[from] WorkLost),
}

impl DemoError {
    fn exit(&self) -> Exit {
        match self {
            Self::Start(error) => error.exit(),
            Self::Folder(_) => Exit::DataFolder,
            #[cfg(feature = "cluster")]
            Self::Ground(error) => error.exit(),
            Self::Generate(_)
            | Self::Sandbox(_)
            | Self::Settings(_)
            | Self::Provider(_)
            | Self::Port(_)
            | Self::Metrics(_)
            | Self::Step(_)
            | Self::Audit(_)
            | Self::Json(_)
            | Self::NodeFailed(_)
            | Self::Stop(_)
            | Self::Interrupted
            | Self::Signals(_)
            | Self::Lost(_) => Exit::Failure,
        }
    }
}

/// Runs it and says how it ended. A folder that comes back is to be removed once the
/// node's threads have let go of it.
pub(super) async fn demonstrate(
    arguments: DemoArguments,
    runtime: Runtime,
) -> (Exit, Option<Folder>) {
    let opened = Folder::open(&arguments, &runtime);
    let mut folder = match opened {
        Ok(folder) => folder,
        Err(error) => {
            tell(&format!("volley: {error}"));
            return (Exit::DataFolder, None);
        }
    };
    introduce(&folder, &arguments);
    let ended = with_sandbox(&arguments, &runtime, &mut folder).await;
    let path = folder.path.display();
    let balanced = match ended {
        Ok(balanced) => balanced,
        Err(error) => {
            tell(&format!("volley: {error}"));
            if folder.is_unused() {
                return (error.exit(), Some(folder));
            }
            tell(&format!(
                "the folder is kept; to go on: volley demo --data {path}"
            ));
            return (error.exit(), None);
        }
    };
    if folder.asked_for {
        tell(&format!("the folder is kept: {path}"));
    } else if balanced {
        return (Exit::Success, Some(folder));
    } else {
        tell(&format!("the folder is kept, for somebody to look: {path}"));
    }
    let exit = if balanced {
        Exit::Success
    } else {
        Exit::Unbalanced
    };
    (exit, None)
}

fn introduce(folder: &Folder, arguments: &DemoArguments) {
    let fate = if folder.asked_for {
        "kept at the end"
    } else {
        "removed at the end"
    };
    tell(&format!("folder: {} ({fate})", folder.path.display()));
    if folder.goes_on {
        tell("it holds a demonstration: that one goes on");
        if folder.state.plan.differs_from(arguments) {
            tell("it goes on as it was begun: options that say otherwise are passed over");
        }
    }
}

async fn with_sandbox(
    arguments: &DemoArguments,
    runtime: &Runtime,
    folder: &mut Folder,
) -> Result<bool, DemoError> {
    prepare(folder, runtime).await?;
    let accounts = providers::accounts(&folder.state.plan, runtime);
    let sandbox = SandboxProcess::start(&folder.state.plan, &accounts, &folder.sandbox()).await?;
    let ended = with_node(arguments, runtime, folder, &accounts, &sandbox.url).await;
    sandbox.stop(runtime).await;
    ended
}

/// Puts the contacts into the folder.
async fn prepare(folder: &mut Folder, runtime: &Runtime) -> Result<(), DemoError> {
    if folder.state.contacts_ready {
        return Ok(());
    }
    if let Some(file) = &folder.state.plan.contacts {
        folder.copy_contacts(file)?;
    } else {
        let recipients = folder.state.plan.recipients.unwrap_or_default();
        let (path, seed) = (folder.contacts(), folder.state.plan.seed);
        tell(&format!("generating {recipients} recipients"));
        runtime
            .blocking(move || write_contacts(&path, recipients, seed))
            .await??;
    }
    folder.state.contacts_ready = true;
    Ok(folder.save()?)
}

/// A free port of this machine; the one of the last start where it is still free, for
/// receipts under way are sent there.
fn free_address(last: Option<SocketAddr>) -> std::io::Result<SocketAddr> {
    if let Some(last) = last
        && TcpListener::bind(last).is_ok()
    {
        return Ok(last);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn settings_of(
    folder: &Folder,
    accounts: &[DemoAccount],
    address: SocketAddr,
    sandbox: &str,
) -> Result<Settings, DemoError> {
    // Not from the environment: it may name a real provider.
    let mut settings = Settings::load(None, std::iter::empty())?;
    settings.node.data = folder.node();
    settings.http.listen = address;
    settings.http.public_url = Some(format!("http://{address}"));
    for account in accounts {
        settings
            .providers
            .push(providers::settings(account, sandbox)?);
    }
    Ok(settings)
}

async fn with_node(
    arguments: &DemoArguments,
    runtime: &Runtime,
    folder: &mut Folder,
    accounts: &[DemoAccount],
    sandbox: &str,
) -> Result<bool, DemoError> {
    let address = free_address(folder.state.address)?;
    #[cfg_attr(
        not(feature = "cluster"),
        expect(unused_mut, reason = "it is in a folder")
    )]
    let mut settings = settings_of(folder, accounts, address, sandbox)?;
    #[cfg(feature = "cluster")]
    super::ground::lay(&mut settings, folder, runtime).await?;
    let metrics = PrometheusBuilder::new().install_recorder()?;
    folder.state.address = Some(address);
    folder.state.starts += 1;
    folder.save()?;
    let mut node = start(&settings, runtime, metrics, pending()).await?;
    let ended = {
        let course = pin!(course(arguments, runtime, folder, accounts, &mut node));
        let stopped = pin!(asked_to_stop());
        match select(course, stopped).await {
            Either::Left((ended, _)) => ended,
            Either::Right((Ok(()), _)) => Err(DemoError::Interrupted),
            Either::Right((Err(cause), _)) => Err(DemoError::Signals(cause)),
        }
    };
    node.stop().await?;
    folder.state.stops += 1;
    folder.save()?;
    ended
}

async fn course(
    arguments: &DemoArguments,
    runtime: &Runtime,
    folder: &mut Folder,
    accounts: &[DemoAccount],
    node: &mut RunningNode,
) -> Result<bool, DemoError> {
    let url = format!("http://{}", node.address);
    let root_key = node.root_key.clone();
    let failed = pin!(node.failed());
    let steps = pin!(steps(arguments, runtime, folder, accounts, &url, root_key));
    match select(steps, failed).await {
        Either::Left((ended, _)) => ended,
        Either::Right((cause, _)) => Err(DemoError::NodeFailed(cause)),
    }
}

async fn steps(
    arguments: &DemoArguments,
    runtime: &Runtime,
    folder: &mut Folder,
    accounts: &[DemoAccount],
    url: &str,
    root_key: schemas::Secret,
) -> Result<bool, DemoError> {
    let (user, account) = User::sign_up(url, root_key, folder.state.account).await?;
    folder.state.account = Some(account);
    folder.save()?;
    let import = import(&user, runtime, folder).await?;
    let Some((list, _)) = folder.state.import else {
        return Err(WorkLost.into());
    };
    let campaign = match folder.state.campaign {
        Some(campaign) => campaign,
        None => user.campaign(list, &folder.state.plan).await?,
    };
    folder.state.campaign = Some(campaign);
    folder.save()?;
    let tail = BookTail::at_end(&folder.sandbox());
    let since = wall(runtime);
    user.start(campaign).await?;
    tell(&format!("campaign {campaign} runs"));
    let mut codes = Codes::new(folder.state.starts);
    let follows = follow(&user, campaign, tail, accounts, runtime);
    let watched = codes.beside(&user, campaign, runtime, follows).await?;
    // Before the witness reads: its memory is not the node's.
    let peak_rss_bytes = peak_rss_bytes();
    let codes = codes.messages(&user, runtime).await?;
    let circumstances = circumstances(runtime, folder.state.kills());
    let listing = user.messages(campaign).await?;
    let numbers = user.numbers(campaign).await?;
    let evidence = Evidence {
        plan: folder.state.plan.clone(),
        contacts: folder.contacts(),
        rejects: (import.rejected > 0).then(|| folder.rejects()),
        book: folder.sandbox(),
        listing,
        codes,
        circumstances,
        providers: user.providers().await?,
        accounts: names(accounts),
        since,
    };
    let findings = runtime.blocking(move || audit(evidence)).await??;
    let balance = Balance::of(Accounts {
        import,
        numbers: &numbers,
        records: findings.records,
        verdict: findings.verdict,
        without_faults: folder.state.plan.faults == FaultsOption::None && folder.state.kills() == 0,
        codes: findings.codes,
        pacing: findings.pacing,
        seconds: watched.seconds,
        messages: watched.texts,
        peak_rss_bytes,
    });
    tell(&balance.told());
    if arguments.json {
        give(&serde_json::to_string(&balance)?);
    }
    if arguments.stay {
        stay(&user, url, &campaign.to_string()).await?;
    }
    Ok(balance.balanced)
}

/// Imports the contacts, or waits for the import that was begun before.
async fn import(
    user: &User,
    runtime: &Runtime,
    folder: &mut Folder,
) -> Result<ImportCounts, DemoError> {
    let (list, job) = match folder.state.import {
        Some(import) => import,
        None => {
            user.import(&folder.contacts(), folder.state.plan.region.as_deref())
                .await?
        }
    };
    folder.state.import = Some((list, job));
    folder.save()?;
    let mut told = runtime.boot();
    let job = user
        .imported(job, runtime, |job| {
            let now = runtime.boot();
            if now - told >= 2_000_000 {
                told = now;
                tell(&format!("importing: {} records", job.total));
            }
        })
        .await?;
    let mut counts = ImportCounts {
        records: job.total,
        contacts: job.contacts,
        merged: job.merged,
        rejected: job.failed,
        rejects_file: None,
    };
    tell(&format!(
        "imported: {} contacts of {} records",
        job.contacts, job.total
    ));
    if job.failed > 0 {
        let path = folder.rejects();
        user.save_rejects(&job, &path).await?;
        let stays = folder.asked_for || !path.starts_with(&folder.path);
        counts.rejects_file = stays.then(|| path.display().to_string());
    }
    Ok(counts)
}

/// Keeps serving until Ctrl-C.
async fn stay(user: &User, url: &str, campaign: &str) -> Result<(), DemoError> {
    tell(&format!(
        "the node keeps serving at {url}; Ctrl-C ends it. To talk to it:"
    ));
    tell(&format!("  export KEY={}", user.key.expose()));
    tell(&format!(
        "  curl -H \"Authorization: Bearer $KEY\" {url}/v1/campaigns/{campaign}"
    ));
    tell(&format!(
        "  curl -H \"Authorization: Bearer $KEY\" '{url}/v1/messages?campaign={campaign}&limit=3'"
    ));
    asked_to_stop().await.map_err(DemoError::Signals)
}

/// Waits for SIGTERM or Ctrl-C.
async fn asked_to_stop() -> std::io::Result<()> {
    StopSignals::listen()?.received().await;
    Ok(())
}
