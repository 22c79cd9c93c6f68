//! What a demonstration is asked for.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Recipients unless the command line says more: eight seconds at the rates below.
const RECIPIENTS: u64 = 50_000;
/// The same under harsh faults, where one answer in thirty asks to wait for one to three
/// seconds: about a minute.
const RECIPIENTS_HARSH: u64 = 3_000;
/// Recipients on servers, unless the command line says more: some ten seconds where they share
/// two processors with the node.
const RECIPIENTS_ON_SERVERS: u64 = 3_000;
/// Segments per second of the three accounts together.
const RATE: f64 = 6_000.0;
/// The same on servers that share two processors with the node, and are then what holds it up.
const RATE_ON_SERVERS: f64 = 600.0;
/// The text unless the command line has another.
const TEMPLATE: &str = "Hi {{ first_name }}, your {{ city }} pass is {{ code }}.";

/// Watch a campaign go out through three rate-limited providers that exist only on this
/// machine, and check its books against theirs.
#[derive(Clone, Debug, Args)]
pub struct DemoArguments {
    /// How many recipients to generate, in many regions and scripts [default: 50000, with
    /// harsh faults or on servers 3000]
    #[arg(long, value_name = "N", conflicts_with = "contacts", value_parser = at_least_one)]
    recipients: Option<u64>,
    /// Your own contacts, a CSV file, in place of generated ones.
    #[arg(long, value_name = "FILE")]
    contacts: Option<PathBuf>,
    /// The region of numbers without a country code, such as US.
    #[arg(long, value_name = "XX", value_parser = region)]
    region: Option<String>,
    /// The text; fields of the contacts in double braces.
    #[arg(long, value_name = "TEXT", value_parser = template)]
    template: Option<String>,
    /// What goes wrong at the providers: none, realistic or harsh [default: none]
    #[arg(long, value_name = "PLAN", value_parser = faults)]
    faults: Option<FaultsOption>,
    /// The seed of the recipients and of all that goes wrong [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Segments per second of the three providers together, shared 1 : 2 : 3
    /// [default: 6000, on servers 600]
    #[arg(long, value_name = "SEGMENTS", value_parser = rate)]
    rate: Option<f64>,
    /// Keep everything on servers: a settings file whose sections `cql` and `kafka` say where they
    /// are. The demonstration makes a keyspace and topics of its own there, and leaves them.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// Keep serving at the end and say how to talk to the node.
    #[arg(long)]
    pub(super) stay: bool,
    /// Print the balance as one JSON object on one line to standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// The folder to work in and to keep. Where it holds an interrupted demonstration,
    /// that one goes on.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

impl DemoArguments {
    /// The settings file that says where the servers are.
    fn cluster(&self) -> Option<&PathBuf> {
        #[cfg(feature = "cluster")]
        return self.cluster.as_ref();
        #[cfg(not(feature = "cluster"))]
        None
    }
}

/// A fault plan of the sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultsOption {
    None,
    Realistic,
    /// Every fault a few per cent of the time, and one account that dies and comes back.
    Harsh,
}

impl FaultsOption {
    /// The sandbox's word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Realistic => "realistic",
            Self::Harsh => "harsh",
        }
    }
}

/// All that decides what is sent. It is kept in the folder, so that a demonstration that
/// goes on is the same one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// How many to generate; `None` where the contacts are the user's own.
    pub(super) recipients: Option<u64>,
    /// The user's own file.
    pub(super) contacts: Option<PathBuf>,
    pub(super) region: Option<String>,
    pub(super) template: String,
    pub(super) faults: FaultsOption,
    pub(super) seed: u64,
    /// Segments per second of all accounts together.
    pub(super) rate: f64,
    /// The settings file that says where the servers are, if it is not in the folder that
    /// everything is kept.
    #[serde(default)]
    pub(super) cluster: Option<PathBuf>,
}

impl Plan {
    pub(super) fn of(arguments: &DemoArguments) -> Self {
        let generated = arguments.contacts.is_none();
        let faults = arguments.faults.unwrap_or(FaultsOption::None);
        let cluster = arguments.cluster();
        let usual = match faults {
            FaultsOption::None | FaultsOption::Realistic if cluster.is_some() => {
                RECIPIENTS_ON_SERVERS
            }
            FaultsOption::None | FaultsOption::Realistic => RECIPIENTS,
            FaultsOption::Harsh => RECIPIENTS_HARSH,
        };
        let usual_rate = match cluster {
            Some(_) => RATE_ON_SERVERS,
            None => RATE,
        };
        Self {
            recipients: generated.then(|| arguments.recipients.unwrap_or(usual)),
            contacts: arguments.contacts.clone(),
            region: arguments.region.clone(),
            template: arguments
                .template
                .clone()
                .unwrap_or_else(|| TEMPLATE.to_owned()),
            faults,
            seed: arguments.seed.unwrap_or(1),
            rate: arguments.rate.unwrap_or(usual_rate),
            cluster: cluster.cloned(),
        }
    }

    /// Whether the command line asks for something else than this plan.
    pub(super) fn differs_from(&self, arguments: &DemoArguments) -> bool {
        let differs = |asked: Option<bool>| asked == Some(true);
        differs(arguments.recipients.map(|n| Some(n) != self.recipients))
            || differs(
                arguments
                    .contacts
                    .as_ref()
                    .map(|file| Some(file) != self.contacts.as_ref()),
            )
            || differs(
                arguments
                    .region
                    .as_ref()
                    .map(|region| Some(region) != self.region.as_ref()),
            )
            || differs(
                arguments
                    .template
                    .as_ref()
                    .map(|text| *text != self.template),
            )
            || differs(arguments.faults.map(|faults| faults != self.faults))
            || differs(arguments.seed.map(|seed| seed != self.seed))
            || differs(arguments.rate.map(|rate| rate != self.rate))
            || differs(
                arguments
                    .cluster()
                    .map(|file| Some(file) != self.cluster.as_ref()),
            )
    }
}

fn at_least_one(text: &str) -> Result<u64, String> {
    let number = text.replace('_', "").parse::<u64>().ok();
    number
        .filter(|n| *n > 0)
        .ok_or_else(|| "a whole number of at least 1 is needed".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    engine::contacts::PhoneParser::new(Some(text)).map_err(|error| error.to_string())?;
    Ok(text.to_ascii_uppercase())
}

fn template(text: &str) -> Result<String, String> {
    engine::text::Template::compile(text).map_err(|error| error.to_string())?;
    if text.is_empty() {
        return Err("the text is empty".to_owned());
    }
    Ok(text.to_owned())
}

fn faults(text: &str) -> Result<FaultsOption, String> {
    match text {
        "none" => Ok(FaultsOption::None),
        "realistic" => Ok(FaultsOption::Realistic),
        "harsh" => Ok(FaultsOption::Harsh),
        _ => Err("use none, realistic or harsh".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse::<f64>()
        .ok()
        .filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0 is needed".to_owned())
}
