//! Freezing against a model: the lists read as one sorted map.

use std::collections::BTreeMap;

use schemas::audience::NumberKey;
use schemas::contact::ContactFields;
use schemas::{ContactId, JobId, ListId, Phone, Slice, UnixMicros};

use super::*;
use crate::runtime::Runtime;
use crate::storage::{JournalSettings, Storage};
use crate::store::{MemoryKv, golden_samples};

const START: UnixMicros = UnixMicros(1_790_000_000_000_000);

/// The first list's contact for each number, in the order in which it is frozen.
type Model = BTreeMap<(Partition, u16, NumberKey), ContactId>;

struct Lists {
    storage: Storage,
    campaign: Campaign,
    model: Model,
    records: u64,
}

impl Lists {
    fn new(lists: u8) -> Self {
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        let settings = JournalSettings {
            partitions: PartitionCount::new(8).expect("a power of two"),
            owners: PartitionCount::ONE,
            trim: false,
        };
        let storage = Storage::in_memory(MemoryKv::new(), &runtime, settings);
        let lists = (0..lists).map(|number| ListId::from_bytes([number; 16]));
        let campaign = Campaign {
            lists: lists.collect(),
            started_at: Some(START),
            ..golden_samples::campaign()
        };
        Self {
            storage: storage.expect("storage in memory"),
            campaign,
            model: Model::new(),
            records: 0,
        }
    }

    /// Puts numbers on one of the lists.
    async fn put(&mut self, list: usize, numbers: &[Phone], at: UnixMicros) {
        let journal = self.storage.journal.clone();
        let mut changes = Vec::new();
        for phone in numbers {
            self.records += 1;
            let mut contact = [0; 16];
            contact[..8].copy_from_slice(&self.records.to_be_bytes());
            let contact = ContactId::from_bytes(contact);
            let partition = journal.partitions().of(phone.slice());
            if at <= START {
                let place = (partition, phone.slice().number(), NumberKey::of(phone));
                self.model.entry(place).or_insert(contact);
            }
            let change = Change::ContactImported {
                account: self.campaign.account,
                list: self.campaign.lists[list],
                job: JobId::from_bytes([3; 16]),
                line: self.records,
                contact,
                phone: phone.clone(),
                fields: ContactFields::default(),
                at,
            };
            changes.push((partition, change));
        }
        journal.commit(changes).await.expect("commit");
    }

    /// Freezes every partition, forgetting after each `forget_every`-th chunk where it was,
    /// and compares what lies in the chunks with the model.
    async fn freeze_and_compare(&self, forget_every: u32) {
        let Storage { store, journal, .. } = &self.storage;
        for partition in journal.partitions().all() {
            let resume = || Freeze::resume(store, &self.campaign, journal.partitions(), partition);
            let mut freeze = resume().await.expect("the numbers can be read");
            while !freeze.is_done() {
                let next = freeze.next_chunk(store, journal, &self.campaign);
                next.await.expect("a chunk is frozen");
                if freeze.chunks().is_multiple_of(forget_every) {
                    freeze = resume().await.expect("the numbers can be read");
                }
            }
            let mut frozen = Vec::new();
            for chunk in 0..freeze.chunks() {
                let key = AudienceChunk::key_of(self.campaign.id, partition, chunk);
                let row = store.get::<AudienceChunk>(&key).await.expect("read");
                frozen.push(row.expect("a chunk that was counted").entries);
            }
            let full = frozen.iter().rev().skip(1).rev();
            for (number, entries) in full.enumerate() {
                let wanted = if number == 0 {
                    FIRST_CHUNK_ENTRIES
                } else {
                    CHUNK_ENTRIES
                };
                assert_eq!(entries.len(), wanted, "{partition:?} chunk {number}");
            }
            let expected = self.model.iter();
            let expected = expected.filter(|((of, _, _), _)| *of == partition);
            let expected: Vec<_> = expected
                .map(|((_, _, number), contact)| (*number, *contact))
                .collect();
            assert_eq!(frozen.concat(), expected, "{partition:?}");
        }
    }
}

fn numbers(from: u64, count: u64) -> Vec<Phone> {
    let number = |number| Phone::from_e164(format!("+4915{number:08}")).expect("a number");
    (from..from + count).map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_members_of_several_lists_are_one_audience() {
    let mut lists = Lists::new(3);
    lists.put(0, &numbers(0, 400), START).await;
    lists.put(1, &numbers(200, 400), START).await;
    lists
        .put(1, &numbers(5_000, 50), START.plus_micros(1))
        .await;
    lists.freeze_and_compare(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_is_an_empty_audience() {
    Lists::new(1).freeze_and_compare(100).await;
    Lists::new(0).freeze_and_compare(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_end_within_slices_and_a_forgotten_place_is_found_again() {
    let mut lists = Lists::new(2);
    lists.put(0, &numbers(0, 40_000), START).await;
    lists.put(1, &numbers(30_000, 20_000), START).await;
    lists.freeze_and_compare(2).await;
}

/// The members of one slice on twelve lists are more than are read at once; its
/// neighbours hold a few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_with_many_members_is_read_in_parts() {
    let mut lists = Lists::new(12);
    let crowded = Slice::from_low_bits(700);
    let all = numbers(0, 1_500_000);
    let crowd: Vec<Phone> = all
        .into_iter()
        .filter(|phone| phone.slice() == crowded)
        .collect();
    assert!(crowd.len() * 12 > 4_000, "{} numbers", crowd.len());
    for list in 0..12 {
        lists.put(list, &crowd, START).await;
    }
    lists.put(0, &numbers(20_000_000, 2_000), START).await;
    lists.freeze_and_compare(2).await;
}
