//! Taking up again what was asked for singly and waited for a provider account: a page at a
//! time, spread until the next look, so that whoever is due meanwhile takes turns with it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::dispatch::routing::Routes;
use engine::store::{Cursor, Order, StoreError};
use schemas::change::Change;
use schemas::held::{HeldCount, HeldList, HeldMessage};
use schemas::message::message_key;
use schemas::{Message, Partition};

use super::dispatcher::LOOK_FOR_DUE_EVERY;
use super::source::{ReadError, Readers};
use crate::instruments;

/// Messages that are taken up at a look, of all lists and partitions: as many as the largest
/// part of what is due that may stand before others. At four looks a second, 2,000 a second.
const AT_ONCE: usize = 512;

/// The most sets of provider accounts that are looked at in a partition.
const SETS: usize = 1_000;

/// How soon what was taken up is due: after the look for due entries that may be under way.
const RELEASED_AFTER: Duration = Duration::from_millis(20);

/// Messages of which one is drawn for a probe, so that not always the same one loses its
/// attempts to an account that is dead.
const DRAWN_FROM: usize = 64;

/// What an earlier process put aside, which may have had other provider accounts: how far each
/// list is looked through for what others may carry now. The settings of a process do not change,
/// so this is done once.
#[derive(Clone, Debug, Default)]
pub struct Earlier {
    /// Whether it is known which lists there were.
    is_known: bool,
    /// Those that are not looked through to their ends.
    left: BTreeMap<(Partition, HeldList), Option<Cursor>>,
}

/// What may be taken up.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Nothing, if all that may carry it are among these,
    pub rests: Routes,
    /// but one for each of these, as a probe.
    pub probes: Routes,
}

/// One look at what waits.
pub struct Release {
    readers: Readers,
    wish: Wish,
    earlier: Earlier,
    /// How many more may be taken up.
    room: usize,
    /// Between two of them.
    step: i64,
}

impl Release {
    /// A look that is yet to be taken.
    pub fn new(readers: &Readers, wish: Wish, earlier: Earlier) -> Self {
        let spread = LOOK_FOR_DUE_EVERY.as_micros() as usize / AT_ONCE;
        Self {
            readers: readers.clone(),
            wish,
            earlier,
            room: AT_ONCE,
            step: i64::try_from(spread).unwrap_or(1),
        }
    }

    /// Takes up what may be, and tells how many are left, and what of an earlier process is not
    /// looked through.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn run(mut self) -> Result<(u64, Earlier), ReadError> {
        let mut left = 0;
        let partitions: Vec<_> = self.readers.journal.range().partitions().collect();
        // A list that is long must not let the others wait.
        let mut turn = partitions.len();
        for partition in partitions {
            let share = self.room.div_ceil(turn);
            turn -= 1;
            for count in self.counts(partition).await? {
                if !self.earlier.is_known {
                    self.earlier.left.insert((partition, count.list()), None);
                }
                let released = self.of_list(&count, share.min(self.room)).await?;
                self.room -= released.min(self.room);
                left += count.messages.saturating_sub(released as u64);
            }
        }
        instruments::held(self.readers.journal.range(), left);
        self.earlier.is_known = true;
        Ok((left, self.earlier))
    }

    async fn counts(&self, partition: Partition) -> Result<Vec<HeldCount>, StoreError> {
        let prefix = HeldCount::partition_key(partition);
        let store = &self.readers.store;
        let page = store.list::<HeldCount>(&prefix, None, Order::Ascending, SETS);
        let mut counts = page.await?.rows;
        counts.retain(|count| count.messages > 0);
        Ok(counts)
    }

    /// Takes up what may be of one list.
    async fn of_list(&mut self, count: &HeldCount, share: usize) -> Result<usize, ReadError> {
        let numbers = count.providers.iter();
        let numbers = numbers.map(|provider| self.readers.routing.index(*provider));
        let known: Option<Routes> = numbers.collect();
        // Where the settings have lost one of them, it is found out anew who may carry it.
        let Some(routes) = known.filter(|routes| routes.is_within(self.wish.rests)) else {
            return self.page(count, share).await;
        };
        let elsewhere = self.elsewhere(count, share).await?;
        if elsewhere > 0 {
            return Ok(elsewhere);
        }
        if !routes.meets(self.wish.probes) {
            return Ok(0);
        }
        self.wish.probes = self.wish.probes.without(routes);
        self.one(count).await
    }

    /// Takes up what an earlier process put aside in this list, and others may carry now.
    async fn elsewhere(&mut self, count: &HeldCount, share: usize) -> Result<usize, ReadError> {
        let (list, place) = (count.list(), (count.partition, count.list()));
        if share == 0 {
            return Ok(0);
        }
        let Some(after) = self.earlier.left.remove(&place) else {
            return Ok(0);
        };
        let prefix = HeldMessage::partition_key(&list, count.partition);
        let (store, routing) = (&self.readers.store, &self.readers.routing);
        let page = store.list::<HeldMessage>(&prefix, after.as_ref(), Order::Ascending, share);
        let page = page.await?;
        let mut elsewhere = Vec::new();
        for held in page.rows {
            let key = message_key(held.account, held.message);
            let message = store.get::<Message>(&key).await?;
            let routes = message.map(|message| routing.routes_of(&message.envelope));
            if routes.is_some_and(|routes| routing.accounts(routes) != count.providers) {
                elsewhere.push(held);
            }
        }
        if page.next.is_some() {
            self.earlier.left.insert(place, page.next);
        }
        self.commit(count.partition, &elsewhere).await
    }

    async fn page(&self, count: &HeldCount, share: usize) -> Result<usize, ReadError> {
        if share == 0 {
            return Ok(0);
        }
        let held = self.first(count, share).await?;
        self.commit(count.partition, &held).await
    }

    /// Takes up one that is drawn by chance.
    async fn one(&self, count: &HeldCount) -> Result<usize, ReadError> {
        let held = self.first(count, DRAWN_FROM).await?;
        let drawn = u64::from_le_bytes(self.readers.runtime.random_bytes());
        let place = drawn as usize % held.len().max(1);
        let one = held.get(place..=place).unwrap_or_default();
        self.commit(count.partition, one).await
    }

    async fn first(&self, count: &HeldCount, most: usize) -> Result<Vec<HeldMessage>, StoreError> {
        let prefix = HeldMessage::partition_key(&count.list(), count.partition);
        let store = &self.readers.store;
        let page = store.list::<HeldMessage>(&prefix, None, Order::Ascending, most);
        Ok(page.await?.rows)
    }

    async fn commit(&self, partition: Partition, held: &[HeldMessage]) -> Result<usize, ReadError> {
        if held.is_empty() {
            return Ok(0);
        }
        let at = self.readers.runtime.now();
        let mut due = at.plus(RELEASED_AFTER);
        let changes = held.iter().map(|held| {
            due = due.plus_micros(self.step);
            let released = Change::MessageReleased {
                campaign: held.campaign,
                account: held.account,
                message: held.message,
                due,
                at,
            };
            (partition, released)
        });
        self.readers.journal.commit(changes.collect()).await?;
        Ok(held.len())
    }
}
