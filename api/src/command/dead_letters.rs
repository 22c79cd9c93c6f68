//! `volley dlq list | show | replay`: records that could not be taken in, as Kafka keeps them.

use std::collections::BTreeMap;

use clap::Subcommand;
use engine::ingress::IngressError;
use engine::ingress::dead_letter::{DeadLetter, RecordWriter};
use engine::ingress::record::{Incoming, KEY_HEADER};
use engine::ingress::requests::{Kept, Place, RecordReader};
use engine::ingress::topics;
use engine::runtime::Runtime;
use engine::settings::KafkaSettings;
use schemas::{MessageClass, UnixMicros};

use super::{Ground, SettingsArguments, complain, give, tell};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// Show what was set aside, one line for each: its address, when it was produced, why it was
    /// set aside, and where it stood.
    List {
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Show one record with everything in it but its API key.
    Show {
        /// Its address, as `list` has it.
        address: String,
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Send records again to where they came from. Each counts once, however often it is sent
    /// again; what cannot be taken in comes back.
    Replay {
        /// Their addresses.
        #[arg(required_unless_present = "all")]
        addresses: Vec<String>,
        /// All that there are.
        #[arg(long, conflicts_with = "addresses")]
        all: bool,
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

/// Why it was not done.
enum Failed {
    Kafka(IngressError),
    Missing(String),
}

impl From<IngressError> for Failed {
    fn from(error: IngressError) -> Self {
        Self::Kafka(error)
    }
}

pub(super) fn run(command: DlqCommand) -> Exit {
    let (DlqCommand::List { settings }
    | DlqCommand::Show { settings, .. }
    | DlqCommand::Replay { settings, .. }) = &command;
    let Ground {
        settings,
        tokio,
        runtime,
    } = match Ground::of(settings, None) {
        Ok(ground) => ground,
        Err(exit) => return exit,
    };
    let kafka = settings.kafka;
    if kafka.brokers.is_none() {
        complain(&"`kafka.brokers` is not set");
        return Exit::Settings;
    }
    let done = tokio.block_on(async {
        match &command {
            DlqCommand::List { .. } => list(&kafka, &runtime).await,
            DlqCommand::Show { address, .. } => show(&kafka, &runtime, address).await,
            DlqCommand::Replay { addresses, .. } => replay(&kafka, &runtime, addresses).await,
        }
    });
    match done {
        Ok(()) => Exit::Success,
        Err(Failed::Kafka(error)) => {
            complain(&error);
            Exit::Unreachable
        }
        Err(Failed::Missing(address)) => {
            complain(&format!("nothing was set aside at {address}"));
            Exit::Failure
        }
    }
}

async fn list(kafka: &KafkaSettings, runtime: &Runtime) -> Result<(), Failed> {
    each(kafka, runtime, async |address, letter| {
        let DeadLetter { record, code, .. } = &letter;
        let origin = &record.origin;
        let produced = UnixMicros(origin.timestamp.saturating_mul(1_000)).to_rfc3339();
        let stood = format!("{}/{}/{}", origin.topic, origin.partition, origin.offset);
        give(&format!("{address} {produced} {code} {stood}"));
        Ok(())
    })
    .await
}

async fn show(kafka: &KafkaSettings, runtime: &Runtime, wanted: &str) -> Result<(), Failed> {
    let mut found = false;
    each(kafka, runtime, async |address, letter| {
        if address != wanted {
            return Ok(());
        }
        found = true;
        give(&format!("{}: {}", letter.code, letter.detail));
        for (name, value) in &letter.record.headers {
            let hidden = name.eq_ignore_ascii_case(KEY_HEADER);
            let value = String::from_utf8_lossy(value);
            give(&format!(
                "{name}: {}",
                if hidden { "[secret]" } else { &value }
            ));
        }
        let value = letter.record.value.as_deref().unwrap_or_default();
        give(&format!("\n{}", String::from_utf8_lossy(value)));
        Ok(())
    })
    .await?;
    match found {
        true => Ok(()),
        false => Err(Failed::Missing(wanted.to_owned())),
    }
}

/// Sends these again; without any, all.
async fn replay(
    kafka: &KafkaSettings,
    runtime: &Runtime,
    addresses: &[String],
) -> Result<(), Failed> {
    let writer = RecordWriter::open(kafka)?;
    let mut missing: Vec<&String> = addresses.iter().collect();
    let mut sent = 0_u64;
    each(kafka, runtime, async |address, letter| {
        if !addresses.is_empty() && !addresses.contains(&address) {
            return Ok(());
        }
        writer.replay(&letter).await?;
        missing.retain(|wanted| **wanted != address);
        sent += 1;
        Ok(())
    })
    .await?;
    tell(&format!("{sent} sent again"));
    match missing.first() {
        None => Ok(()),
        Some(address) => Err(Failed::Missing((*address).clone())),
    }
}

/// Reads every record that is set aside by now, each with its address.
async fn each(
    kafka: &KafkaSettings,
    runtime: &Runtime,
    mut look: impl AsyncFnMut(String, DeadLetter) -> Result<(), Failed>,
) -> Result<(), Failed> {
    topics::make_missing(kafka, runtime).await?;
    let aside = MessageClass::ALL.map(|class| {
        let topic = topics::dead_letters(&topics::requests(kafka, class));
        (topic, class)
    });
    let reader = RecordReader::open(kafka, aside, runtime)?;
    let kept: BTreeMap<Place, Kept> = reader.partitions().await?;
    let mut open: BTreeMap<Place, Kept> = kept
        .into_iter()
        .filter(|(_, kept)| kept.first < kept.end)
        .collect();
    let begin = open.iter().map(|(place, kept)| (place.clone(), kept.first));
    reader.assign(begin.collect()).await?;
    while !open.is_empty() {
        for record in reader.read().await? {
            let Incoming { origin, .. } = &record;
            let place = (origin.topic.clone(), origin.partition);
            let Some(kept) = open.get(&place).copied() else {
                continue;
            };
            if origin.offset + 1 >= kept.end {
                open.remove(&place);
            }
            let address = format!("{}/{}/{}", place.0, place.1, origin.offset);
            if let Some(letter) = DeadLetter::of(record) {
                look(address, letter).await?;
            }
        }
    }
    Ok(())
}
