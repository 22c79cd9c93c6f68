//! Tasks that end together: a part of a process that goes away while the rest of it stays.

use std::pin::{Pin, pin};
use std::sync::Arc;

use futures::future::select;
use tokio::sync::watch;

use super::{Runtime, Spawner};

/// Tasks that were started within it end, wherever they are, when it is dropped. Work that blocks
/// and dedicated tasks go on.
#[derive(Debug)]
pub struct Scope {
    /// Closed when it is dropped.
    _open: watch::Sender<()>,
}

impl Runtime {
    /// The same runtime for tasks that are to end together.
    pub fn scope(&self) -> (Self, Scope) {
        let (open, ended) = watch::channel(());
        let spawner = Arc::new(Scoped {
            spawner: Arc::clone(&self.spawner),
            ended,
        });
        let runtime = Self {
            spawner,
            ..self.clone()
        };
        (runtime, Scope { _open: open })
    }
}

struct Scoped {
    spawner: Arc<dyn Spawner>,
    ended: watch::Receiver<()>,
}

impl Spawner for Scoped {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut ended = self.ended.clone();
        self.spawner.spawn(Box::pin(async move {
            // Nothing is ever told: it ends with who would tell.
            select(task, pin!(ended.changed())).await;
        }));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawner.spawn_blocking(work);
    }

    fn spawn_dedicated(&self, name: &str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.spawner.spawn_dedicated(name, task);
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime::Runtime;

    #[tokio::test]
    async fn tasks_end_with_their_scope_and_not_before() {
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        let (scoped, scope) = runtime.scope();
        let (done, heard) = tokio::sync::oneshot::channel();
        scoped.spawn(async move {
            let _ = done.send(7);
        });
        assert_eq!(heard.await, Ok(7));
        let (kept, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
        scoped.spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        tokio::task::yield_now().await;
        assert!(
            dropped
                .try_recv()
                .is_err_and(|error| { error == tokio::sync::mpsc::error::TryRecvError::Empty })
        );
        drop(scope);
        assert_eq!(dropped.recv().await, None, "what it held is dropped");
    }
}
