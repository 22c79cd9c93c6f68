//! Rows and logs: those of the journals' owner by their stamps, the others through what the
//! embedded store makes of its verbs, one operation after the other on the servers.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use schemas::record::tables::PROJECTIONS;

use super::state::State;
use super::{Away, Node, Request};
use crate::log::Appended;
use crate::store::StoreError;
use crate::store::cluster::{Stamp, Tables, WRITES_IN_FLIGHT};
use crate::store::kv::{Direction, Kv, KvBatch, KvChange, KvError, KvPairs, KvRead, Space};
use crate::store::overlay::Overlay;
use crate::store::writer::{Inbox, Operation, Operations};

/// What a node reads of the servers, and how it writes what no owner writes.
pub(super) fn shared(node: &Node, appended: &Arc<Appended>) -> (Arc<dyn Kv>, Operations) {
    let inbox = OverNetwork {
        node: node.clone(),
        appended: Arc::clone(appended),
    };
    let kv = Arc::new(Reads(node.clone()));
    (kv, Operations::through(Arc::new(inbox)))
}

impl Tables for Node {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let found = self.now_there(|kv| kv.get(space_of(key), key));
        std::future::ready(found.map_err(StoreError::from)).boxed()
    }

    fn scan<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPairs, StoreError>> {
        let space = space_of(start);
        let found = self.now_there(|kv| kv.scan(space, start, end, Direction::Forward, limit));
        std::future::ready(found.map_err(StoreError::from)).boxed()
    }

    fn project<'a>(
        &'a self,
        rows: &'a [&'a KvChange],
        stamp: Stamp,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let puts = rows.iter().map(move |row| {
            let row = KvChange::clone(row);
            async move {
                let put = move |state: &mut State| state.put(row, stamp);
                self.insist(Request::Put, put).await??;
                Ok(())
            }
        });
        let puts = futures::stream::iter(puts).buffer_unordered(WRITES_IN_FLIGHT);
        puts.try_collect().boxed()
    }
}

/// Where the rows of a key lie.
fn space_of(key: &[u8]) -> Space {
    let tag = key.first().copied();
    let table = PROJECTIONS.iter().find(|table| Some(table.tag) == tag);
    table.map_or(Space::Rows, |table| Space::of(*table))
}

impl Node {
    /// What is there now. It takes no time: what is read has no effect on the servers, and what
    /// it shows may be old by the time that it is used, however fast it came.
    fn now_there<T>(&self, read: impl FnOnce(&dyn Kv) -> Result<T, KvError>) -> Result<T, KvError> {
        let mut state = self.servers.state();
        state.settle(self.network.now());
        read(&state.kv)
    }
}

/// Reads of those who are no owner: servers can be away.
struct Reads(Node);

impl Reads {
    fn read<T>(&self, read: impl FnOnce(&dyn Kv) -> Result<T, KvError>) -> Result<T, KvError> {
        let trip = self.0.network.trip(Request::Read);
        if trip.is_lost || trip.is_unanswered {
            let detail = Away::DETAIL.to_owned();
            return Err(KvError::Away { detail });
        }
        self.0.now_there(read)
    }
}

impl KvRead for Reads {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.read(|kv| kv.get(space, key))
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        self.read(|kv| kv.scan(space, start, end, direction, limit))
    }
}

impl Kv for Reads {
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        Err(not_here())
    }

    fn write(&self, _: KvBatch) -> Result<(), KvError> {
        Err(not_here())
    }

    fn sync(&self) -> Result<(), KvError> {
        Err(not_here())
    }

    fn free_bytes(&self) -> Result<u64, KvError> {
        Ok(u64::MAX)
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("the servers")
    }
}

fn not_here() -> KvError {
    KvError::Servers {
        detail: "the servers are asked, not written".to_owned(),
    }
}

/// Operations that are done on the servers, each when it arrives.
struct OverNetwork {
    node: Node,
    appended: Arc<Appended>,
}

impl Inbox for OverNetwork {
    fn send(&self, mut operation: Box<dyn Operation>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (node, appended) = (self.node.clone(), Arc::clone(&self.appended));
        async move {
            let done = node.insist(Request::Write, move |state: &mut State| {
                let kv = state.kv.clone();
                let mut overlay = Overlay::new(&kv);
                if !operation.apply(&mut overlay) {
                    return (operation, Ok(0));
                }
                let announced = overlay.announced();
                let written = state.write(overlay.into_batch().changes);
                (operation, written.map(|()| announced))
            });
            // Who asked and is not answered hears it from what is dropped.
            let (operation, done) = done.await?;
            if let Ok(announced) = done {
                appended.announce(announced);
            }
            operation.answer(done.map(|_| ()).map_err(StoreError::from));
            Ok(())
        }
        .boxed()
    }
}
