//! The clocks, tasks and threads of the machine.

use std::future::Future;
use std::pin::Pin;

use schemas::UnixMicros;

use super::{BootMicros, Clock, Spawner};

/// The clocks of the machine.
#[derive(Debug)]
pub(super) struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> UnixMicros {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        UnixMicros(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
    }

    fn boot(&self) -> BootMicros {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let micros = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
        u64::try_from(micros).unwrap_or(0)
    }
}

/// Tasks on a tokio runtime, dedicated tasks on threads of their own.
#[derive(Debug)]
pub(super) struct TokioSpawner {
    pub(super) handle: tokio::runtime::Handle,
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.handle.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.handle.spawn_blocking(work);
    }

    fn spawn_dedicated(&self, name: &str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let handle = self.handle.clone();
        let spawned = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // The timer and the network belong to the shared runtime; polling happens here.
                let _context = handle.enter();
                futures::executor::block_on(task);
            });
        if let Err(error) = spawned {
            tracing::error!(%error, name, "cannot start a thread");
        }
    }
}
