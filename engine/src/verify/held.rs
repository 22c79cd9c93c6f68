//! What is put aside: every list, counted again.

use std::collections::BTreeMap;

use schemas::held::{HeldCount, HeldList, HeldMessage};
use schemas::message::message_key;
use schemas::{Message, Partition};

use super::{Difference, VerifyError, rows};
use crate::store::kv::KvRead;

/// How many messages lie in each list.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<(HeldList, Partition), u64>);

impl Held {
    /// Those of a list in a partition.
    pub(super) fn of(&self, list: &HeldList, partition: Partition) -> u64 {
        let key = (list.clone(), partition);
        self.0.get(&key).copied().unwrap_or(0)
    }
}

/// Counts the lists, and holds those of provider accounts against what was counted before;
/// campaigns' are counted with their numbers.
pub(super) fn check(kv: &dyn KvRead) -> Result<Held, VerifyError> {
    let mut held = Held::default();
    rows::each::<HeldMessage>(kv, |row| {
        let list = row.list();
        let key = message_key(row.account, row.message);
        let message = rows::get::<Message>(kv, &key)?;
        // Rows that were put aside earlier do not tell where they lie.
        let is_named = message.is_some_and(|message| match message.held {
            Some(named) => named == list,
            None => matches!(list, HeldList::Campaign(_)),
        });
        if !is_named {
            let detail = "it lies in a list of what is put aside, and is not";
            return Err(Difference::new(row.message, detail).into());
        }
        *held.0.entry((list, row.partition)).or_default() += 1;
        Ok(())
    })?;
    let mut counted = 0;
    rows::each::<HeldCount>(kv, |row| {
        let found = held.of(&row.list(), row.partition);
        counted += found;
        if found == row.messages {
            return Ok(());
        }
        let (noted, partition) = (row.messages, row.partition);
        let subject = format!(
            "what waits for provider accounts in partition {}",
            partition.0
        );
        let detail = format!("{noted} noted, {found} in rows");
        Err(Difference::new(subject, detail).into())
    })?;
    let of_providers = held.0.iter();
    let of_providers = of_providers.filter(|((list, _), _)| matches!(list, HeldList::Providers(_)));
    let found: u64 = of_providers.map(|(_, messages)| messages).sum();
    if found == counted {
        return Ok(held);
    }
    let detail = format!("{found} in rows, {counted} of them counted");
    Err(Difference::new("what waits for provider accounts", detail).into())
}
