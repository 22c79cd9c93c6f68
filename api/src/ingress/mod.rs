//! The door for other systems: requests for messages that come as Kafka records.
//!
//! A batch of records is judged, taken in by one or two group commits, what cannot be taken in is
//! set aside, and only then the positions move. So after a crash some records are read again, and
//! each counts once: by its producer's key, its event's, or its own place in the topic. Nodes that
//! share servers each read a part of the partitions, whoever owns the journals.

mod judge;
mod positions;
mod share;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web;
use engine::ingress::IngressError;
use engine::ingress::dead_letter::RecordWriter;
use engine::ingress::record::{Incoming, Poison};
use engine::ingress::requests::{Kept, Place, RecordReader};
use engine::ingress::topics;
use engine::intake::{Acceptance, IntakeError};
use engine::settings::KafkaSettings;
use engine::store::StoreError;
use futures::future::join_all;
use schemas::MessageClass;

use crate::doors::DoorState;
use judge::Judged;
use positions::Positions;
use share::Seat;
pub use share::Share;

/// How long the door waits after Kafka failed, or while the disk is full. Nothing is read
/// meanwhile, so nothing grows.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it looks for new partitions, and how far behind it is, in microseconds.
const LOOK_EVERY: u64 = 10_000_000;

const RECORDS: &str = "volley_kafka_records_total";
const BEHIND: &str = "volley_kafka_behind_records";
const ANSWERS: &str = "volley_kafka_answers";

/// Says what the numbers mean, once for each process.
pub fn describe() {
    metrics::describe_counter!(
        RECORDS,
        "Records read from Kafka, by topic and by what became of them: taken in, taken in before, \
         or set aside."
    );
    metrics::describe_gauge!(BEHIND, "Records of a topic that are not read yet.");
    metrics::describe_gauge!(ANSWERS, "Whether Kafka answers: 1 or 0.");
    positions::describe();
    engine::log::describe_metrics();
}

/// The door.
pub struct Ingress {
    state: web::Data<DoorState>,
    reader: RecordReader,
    writer: RecordWriter,
    settings: KafkaSettings,
    /// Its part of what several nodes read; `None` where it reads all.
    share: Option<Share>,
}

/// Why a batch was not taken in as a whole.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Kafka(#[from] IngressError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl Ingress {
    /// The door, closed. Nothing is asked of Kafka yet, which may come later than the node.
    ///
    /// # Errors
    /// When Kafka's client refuses the settings.
    pub fn new(
        settings: &KafkaSettings,
        state: web::Data<DoorState>,
        share: Option<Share>,
    ) -> Result<Self, IngressError> {
        let topics = MessageClass::ALL.map(|class| (topics::requests(settings, class), class));
        Ok(Self {
            reader: RecordReader::open(settings, topics, state.runtime())?,
            writer: RecordWriter::open(settings)?,
            settings: settings.clone(),
            state,
            share,
        })
    }

    /// Takes records in until the node stops. Whatever fails is tried again.
    pub async fn run(self) {
        while !self.state.is_closing() {
            let ended = self.read_on().await;
            if let Err(error) = ended {
                metrics::gauge!(ANSWERS).set(0);
                tracing::warn!(%error, "requests of other systems are not read");
                self.state.runtime().sleep(PAUSE).await;
            }
        }
    }

    /// What it reads; nothing, where others do.
    fn seat(&self) -> Option<Seat> {
        let owns = self.state.doors().ownership.is_first();
        let share = self.share.as_ref();
        share.map_or(Some(Seat::ALONE), |share| share.seat(owns))
    }

    /// The partitions that it reads, with what Kafka keeps of each.
    async fn partitions(&self, seat: Option<Seat>) -> Result<BTreeMap<Place, Kept>, IngressError> {
        let all = self.reader.partitions().await?;
        Ok(seat.map(|seat| seat.part(all)).unwrap_or_default())
    }

    /// Takes records in from where the positions are, until what it reads is another.
    async fn read_on(&self) -> Result<(), TakeError> {
        topics::make_missing(&self.settings, self.state.runtime()).await?;
        let seat = self.seat();
        let places = self.partitions(seat).await?.into_keys();
        let rows = Positions::read(self.state.store(), places).await?;
        let (mut positions, from) = Positions::begin(rows, self.partitions(seat).await?);
        self.reader.assign(from).await?;
        let mut looked_at = self.state.runtime().boot();
        // What it read of a topic until now may be another's.
        tell_behind(self.reader.topics().map(|topic| (topic, 0)));
        while !self.state.is_closing() && self.seat() == seat {
            let records = self.reader.read().await?;
            if !records.is_empty() {
                self.take(&records).await?;
                if !positions.pass(self.state.store(), &records).await? {
                    return Ok(());
                }
            }
            if self.state.runtime().boot().saturating_sub(looked_at) >= LOOK_EVERY {
                looked_at = self.state.runtime().boot();
                let kept = self.partitions(seat).await?;
                metrics::gauge!(ANSWERS).set(1);
                tell_behind(positions.behind(&kept));
                let was_set = positions.were_set(self.state.store()).await?;
                if was_set || positions.has_others(&kept) {
                    // New partitions are read from their beginning.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes a batch in, or sets aside what cannot be.
    async fn take(&self, records: &[Incoming]) -> Result<(), TakeError> {
        let mut poisons = Vec::new();
        let mut judged = Vec::new();
        for record in records {
            match judge::judge(&self.state, record).await? {
                Judged::Message(envelope, claim) => judged.push((record, envelope, claim)),
                Judged::Poison(poison) => poisons.push((record.clone(), poison)),
            }
        }
        let intake = &self.state.doors().intake;
        let accepts = judged
            .into_iter()
            .map(|(record, envelope, claim)| async move {
                let accepted = intake.accept(*envelope, Some(claim)).await;
                (record, accepted)
            });
        for (record, accepted) in join_all(accepts).await {
            match accepted? {
                Acceptance::Accepted(_) => count(record, "accepted"),
                Acceptance::Replayed(_) => count(record, "replayed"),
                Acceptance::KeyReused => {
                    let detail = "the idempotency key belongs to another request";
                    let poison = Poison::new("idempotency_key_reused", detail);
                    poisons.push((record.clone(), poison));
                }
            }
        }
        if !poisons.is_empty() {
            self.writer.set_aside(&poisons).await?;
            for (record, poison) in &poisons {
                count(record, "set_aside");
                let (origin, code) = (&record.origin, poison.code);
                tracing::warn!(?origin, code, "a record was set aside");
            }
        }
        Ok(())
    }
}

fn tell_behind(behind: impl IntoIterator<Item = (String, u64)>) {
    for (topic, behind) in behind {
        metrics::gauge!(BEHIND, "topic" => topic).set(behind as f64);
    }
}

fn count(record: &Incoming, result: &'static str) {
    let topic = record.origin.topic.clone();
    metrics::counter!(RECORDS, "topic" => topic, "result" => result).increment(1);
}
