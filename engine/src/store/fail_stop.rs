//! A database that stops at its first failed write or sync, also for readers: what they
//! would see may be gone after the next start, and whoever acts on it (answers a repeated
//! request, for one) would promise what is not there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::kv::{Direction, FarKv, Kv, KvBatch, KvError, KvPairs, KvRead, Settling, Space};

/// A database and whether it has failed.
pub(super) struct FailStop {
    kv: Arc<dyn Kv>,
    failed: Arc<AtomicBool>,
}

impl FailStop {
    pub(super) fn over(kv: Arc<dyn Kv>) -> Self {
        Self {
            kv,
            failed: Arc::default(),
        }
    }

    fn check(&self) -> Result<(), KvError> {
        if self.failed.load(Ordering::Acquire) {
            let folder = self.kv.folder();
            return Err(KvError::Failed { folder });
        }
        Ok(())
    }

    fn note<T>(&self, done: Result<T, KvError>) -> Result<T, KvError> {
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }
}

impl KvRead for FailStop {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.check()?;
        self.kv.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        self.check()?;
        self.kv.scan(space, start, end, direction, limit)
    }
}

impl Kv for FailStop {
    fn snapshot(&self) -> Result<Box<dyn KvRead>, KvError> {
        self.check()?;
        Ok(Box::new(Snapshot {
            kv: self.kv.snapshot()?,
            failed: Arc::downgrade(&self.failed),
            folder: self.kv.folder(),
        }))
    }

    fn write(&self, batch: KvBatch) -> Result<(), KvError> {
        self.check()?;
        self.note(self.kv.write(batch))
    }

    fn sync(&self) -> Result<(), KvError> {
        self.check()?;
        self.note(self.kv.sync())
    }

    fn far(&self) -> Option<&dyn FarKv> {
        self.kv.far().map(|_| self as &dyn FarKv)
    }

    fn free_bytes(&self) -> Result<u64, KvError> {
        self.kv.free_bytes()
    }

    fn folder(&self) -> PathBuf {
        self.kv.folder()
    }
}

impl FarKv for FailStop {
    fn fetch(&self, keys: Vec<Vec<u8>>) -> BoxFuture<'_, ()> {
        match self.kv.far() {
            Some(far) => far.fetch(keys),
            None => std::future::ready(()).boxed(),
        }
    }

    fn commit(&self, batch: KvBatch) -> BoxFuture<'_, Result<Settling<'_>, KvError>> {
        async move {
            self.check()?;
            let committed = match self.kv.far() {
                Some(far) => far.commit(batch).await,
                None => {
                    let written = self.kv.write(batch).and_then(|()| self.kv.sync());
                    written.map(|()| std::future::ready(Ok(())).boxed())
                }
            };
            let settling = self.note(committed)?;
            Ok(async move { self.note(settling.await) }.boxed())
        }
        .boxed()
    }
}

/// A snapshot that ends with its database: after a failure because what it shows may not
/// be there after the next start, after the end because whoever closes the database wants
/// the folder back.
struct Snapshot {
    kv: Box<dyn KvRead>,
    failed: Weak<AtomicBool>,
    folder: PathBuf,
}

impl Snapshot {
    fn check(&self) -> Result<(), KvError> {
        match self.failed.upgrade() {
            Some(failed) if !failed.load(Ordering::Acquire) => Ok(()),
            Some(_) | None => {
                let folder = self.folder.clone();
                Err(KvError::Failed { folder })
            }
        }
    }
}

impl KvRead for Snapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.check()?;
        self.kv.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<KvPairs, KvError> {
        self.check()?;
        self.kv.scan(space, start, end, direction, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::memory::{Fate, MemoryKv};
    use super::{FailStop, Kv, KvBatch, KvError, KvRead, Space};

    #[test]
    fn after_a_failed_sync_nothing_is_read() {
        let memory = MemoryKv::new();
        let kv = FailStop::over(Arc::new(memory.clone()));
        assert!(kv.get(Space::Rows, b"key").is_ok());
        let snapshot = kv.snapshot().expect("a snapshot");
        assert!(snapshot.get(Space::Rows, b"key").is_ok());
        memory.fail_sync(1, Fate::Lost);
        kv.write(KvBatch::default()).expect("write");
        assert!(matches!(kv.sync(), Err(KvError::Io { .. })));
        assert!(matches!(
            kv.get(Space::Rows, b"key"),
            Err(KvError::Failed { .. })
        ));
        assert!(matches!(
            kv.write(KvBatch::default()),
            Err(KvError::Failed { .. })
        ));
        assert!(matches!(
            snapshot.get(Space::Rows, b"key"),
            Err(KvError::Failed { .. })
        ));
        assert!(matches!(kv.snapshot(), Err(KvError::Failed { .. })));
    }

    #[test]
    fn a_snapshot_ends_with_its_database() {
        let kv = FailStop::over(Arc::new(MemoryKv::new()));
        let snapshot = kv.snapshot().expect("a snapshot");
        drop(kv);
        let all = snapshot.scan(Space::Rows, &[], &[9], super::Direction::Forward, 1);
        assert!(matches!(all, Err(KvError::Failed { .. })));
    }
}
