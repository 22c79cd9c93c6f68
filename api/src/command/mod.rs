//! The command line of `volley`.

mod administration;
mod campaign;
#[cfg(feature = "cluster")]
mod dead_letters;
mod doctor;
#[cfg(feature = "cluster")]
mod kafka;
mod message;
#[cfg(feature = "cluster")]
mod migrate;
mod sandbox;
mod serve;
mod serving;
mod store;
mod user;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use self::serving::Failed;
use clap::{Args, Parser, Subcommand};
use engine::runtime::Runtime;
use engine::settings::{Overrides, Settings};

use crate::demo::{self, DemoArguments};
use crate::exit::Exit;

/// Sends text messages, a lot of them, and can prove what became of each one.
#[derive(Debug, Parser)]
#[command(name = "volley", version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one for each process")]
enum Command {
    /// Run a node.
    Serve(serve::Arguments),
    /// Make accounts.
    #[command(subcommand)]
    Account(administration::AccountCommand),
    /// Make API keys.
    #[command(subcommand)]
    Key(administration::KeyCommand),
    /// Look at campaigns.
    #[command(subcommand)]
    Campaign(campaign::CampaignCommand),
    /// Look at messages.
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Send a campaign through three simulated providers and check it against their book.
    Demo(DemoArguments),
    /// Prove that everything in a data folder agrees, also while a node serves it; exit
    /// code 1 if something does not.
    Verify(verify::Arguments),
    /// Look whether a node would do well here: settings and whose word each is, disk, port,
    /// clock, and whether the providers answer. Sends nothing; exit code 1 if something is wrong.
    Doctor(doctor::Arguments),
    /// Look at how far requests from Kafka were read.
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Kafka(kafka::KafkaCommand),
    /// Look at records from Kafka that could not be taken in, and send them again.
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Dlq(dead_letters::DlqCommand),
    /// Move a data folder to servers.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Make the tables of a CQL store, or bring them to this release's version. Two at once
    /// take turns; it may be run at any time.
    #[cfg(feature = "cluster")]
    Migrate(migrate::Arguments),
    /// Run a provider that exists only on this machine, for trying things out.
    Sandbox(sandbox::Arguments),
}

/// Where the settings come from.
#[derive(Debug, Args)]
struct SettingsArguments {
    /// A settings file; what it leaves out is as the built-in sample has it.
    #[arg(long, value_name = "FILE", env = "VOLLEY_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder, in place of `node.data`.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl SettingsArguments {
    fn load(&self, listen: Option<String>) -> Result<Settings, Exit> {
        let overrides = Overrides {
            data: self.data.clone(),
            listen,
        };
        // Names and values that are not text cannot be ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        Settings::load_with(self.config.as_deref(), environment, &overrides).map_err(|error| {
            complain(&error);
            Exit::Settings
        })
    }
}

/// What a command stands on: the settings, threads of its own, and the seam to them.
struct Ground {
    settings: Settings,
    tokio: tokio::runtime::Runtime,
    runtime: Runtime,
}

impl Ground {
    /// With these settings, and where to listen in place of theirs. Says what is wrong.
    fn of(settings: &SettingsArguments, listen: Option<String>) -> Result<Self, Exit> {
        let settings = settings.load(listen)?;
        let tokio = tokio_runtime()?;
        let runtime = Runtime::of_machine(tokio.handle().clone());
        Ok(Self {
            settings,
            tokio,
            runtime,
        })
    }
}

/// Says what went wrong, if something did.
fn end(done: Result<(), Failed>) -> Exit {
    match done {
        Ok(()) => Exit::Success,
        Err(failed) => {
            complain(&failed.message);
            failed.exit
        }
    }
}

/// Runs what the command line asks for. A command line that cannot be understood ends
/// the process with [`Exit::Usage`].
pub fn run() -> ExitCode {
    let exit = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Account(command) => administration::run_account(&command),
        Command::Key(command) => administration::run_key(&command),
        Command::Campaign(command) => campaign::run(command),
        Command::Message(command) => message::run(command),
        #[cfg(feature = "cluster")]
        Command::Kafka(command) => kafka::run(command),
        #[cfg(feature = "cluster")]
        Command::Dlq(command) => dead_letters::run(command),
        Command::Store(command) => store::run(command),
        #[cfg(feature = "cluster")]
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Sandbox(arguments) => sandbox::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Demo(arguments) => return demo::run(arguments),
    };
    exit.into()
}

/// Tells a person what went wrong.
#[allow(clippy::print_stderr, reason = "the command line's own output")]
fn complain(error: &dyn std::fmt::Display) {
    eprintln!("volley: {error}");
}

/// Tells a person something.
#[allow(clippy::print_stderr, reason = "the command line's own output")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Gives what was asked for, for people and programs alike.
#[allow(clippy::print_stdout, reason = "the command line's own output")]
fn give(text: &str) {
    println!("{text}");
}

/// A runtime for everything of this process.
fn tokio_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            complain(&format!("cannot start threads: {error}"));
            Exit::Failure
        })
}
