//! What the servers hold.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Partition, PartitionRange};

use crate::log::{LogError, Offset};
use crate::storage::JournalSettings;
use crate::store::MemoryKv;
use crate::store::cluster::{Found, Stamp};
use crate::store::kv::{Kv, KvBatch, KvChange, KvError, KvRead, Space};

/// Something that happens on the servers.
type Arrival = Box<dyn FnOnce(&mut State) + Send>;

/// Who writes under a transactional id.
#[derive(Default)]
pub(super) struct Producer {
    /// How often it was taken over.
    pub(super) generation: u64,
    /// The last transaction of it, and where its records lie.
    pub(super) last: Option<(u64, Vec<(Partition, Offset)>)>,
}

/// The servers.
#[derive(Default)]
pub(super) struct State {
    /// Rows and logs: what is written is durable at once.
    pub(super) kv: MemoryKv,
    /// The stamps of rows that the journals' owner wrote, also of those that it deleted; whether
    /// it did.
    stamps: BTreeMap<Vec<u8>, (Stamp, bool)>,
    /// The records of each journal, by offset.
    pub(super) journals: BTreeMap<Partition, BTreeMap<Offset, Vec<u8>>>,
    /// The next offset of each.
    pub(super) ends: BTreeMap<Partition, Offset>,
    pub(super) producers: BTreeMap<String, Producer>,
    pub(super) events: Vec<(Partition, String, Vec<u8>)>,
    /// Who may own, by when they last were heard, and who owns which range, by its place.
    pub(super) members: BTreeMap<u64, u64>,
    pub(super) owners: BTreeMap<u16, u64>,
    /// The ranges that go to another than the owner of the first, if there is another.
    pub(super) apart: BTreeSet<u16>,
    /// Since when the owner of the first has it.
    pub(super) first_since: u64,
    pub(super) joined: u64,
    /// What is on its way, by when it arrives and the order in which it was sent.
    under_way: BTreeMap<(u64, u64), Arrival>,
    sent: u64,
}

impl State {
    /// Something arrives then.
    pub(super) fn arrive_at(&mut self, at: u64, arrival: Arrival) {
        self.under_way.insert((at, self.sent), arrival);
        self.sent += 1;
    }

    /// Lets everything arrive that is due.
    pub(super) fn settle(&mut self, now: u64) {
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > now {
                return;
            }
            let arrival = first.remove();
            arrival(self);
        }
    }

    /// Writes rows and logs.
    pub(super) fn write(&mut self, changes: Vec<KvChange>) -> Result<(), KvError> {
        self.kv.write(KvBatch { changes })?;
        self.kv.sync()
    }

    /// Puts or deletes one row of the owner, unless a later one is there.
    pub(super) fn put(&mut self, row: KvChange, stamp: Stamp) -> Result<(), KvError> {
        let is_deletion = row.value.is_none();
        let known = self.stamps.get(&row.key);
        if known.is_some_and(|known| *known >= (stamp, is_deletion)) {
            return Ok(());
        }
        self.stamps.insert(row.key.clone(), (stamp, is_deletion));
        self.write(vec![row])
    }

    /// Everything as the next owners would find it.
    pub(super) fn image(&self, settings: JournalSettings) -> Result<(MemoryKv, u64), LogError> {
        let (mut journal, mut unfinished) = (BTreeMap::new(), Vec::new());
        for range in PartitionRange::divide(settings.partitions, settings.ranges()) {
            let mut found = Found::default();
            let journals = self.journals.iter();
            for (partition, records) in journals.filter(|(each, _)| range.holds(**each)) {
                for (offset, record) in records {
                    found.read(*partition, *offset, record)?;
                }
            }
            let (entries, rows) = found.into_parts(range.ranges());
            journal.extend(entries);
            unfinished.extend(rows);
        }
        let image = self.kv.forked();
        let mut missing = 0;
        for row in &unfinished {
            let there = image.get(row.space, &row.key).map_err(damaged)?;
            missing += u64::from(there != row.value);
        }
        let entries = journal.into_iter().map(|(key, value)| KvChange {
            space: Space::Journal,
            key,
            value: Some(value),
            partition: None,
        });
        // Of what belongs to all partitions there is a copy in each record.
        let rows = unfinished.into_iter().map(|row| (row.key.clone(), row));
        let rows: BTreeMap<Vec<u8>, KvChange> = rows.collect();
        let changes = entries.chain(rows.into_values()).collect();
        image.write(KvBatch { changes }).map_err(damaged)?;
        image.sync().map_err(damaged)?;
        Ok((image, missing))
    }
}

fn damaged(error: KvError) -> LogError {
    LogError::Damaged {
        detail: error.to_string(),
    }
}
