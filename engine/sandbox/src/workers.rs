//! Threads that share one listening socket.
//!
//! Each has a runtime of its own, so a connection never crosses threads. The first
//! accepts and deals connections out in turn: with few long connections that is
//! evener than letting the kernel choose among several listening sockets.

use crate::seam;
use futures::future::{Either, select};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

/// Accepted connections that may wait for their thread: one listen backlog's worth.
const WAITING_CONNECTIONS: usize = 1_024;

/// How long accepting rests after an error, such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(10);

/// Running threads; dropping them stops and joins them.
pub(crate) struct Workers {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Listens on `address` and serves every connection with `serve` on one of `threads`
    /// threads. `begin` runs first on each thread, inside its runtime.
    pub(crate) fn start<Serve, Serving, Begin>(
        name: &str,
        address: SocketAddr,
        threads: usize,
        serve: Serve,
        begin: Begin,
    ) -> io::Result<Self>
    where
        Serve: Fn(TcpStream) -> Serving + Clone + Send + 'static,
        Serving: Future<Output = ()> + Send + 'static,
        Begin: Fn(usize) + Clone + Send + 'static,
    {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let stop = watch::Sender::new(false);
        let mut workers = Self {
            address: listener.local_addr()?,
            stop,
            threads: Vec::new(),
        };
        let mut inboxes = Vec::new();
        for number in 0..threads {
            let (inbox, connections) = mpsc::channel(WAITING_CONNECTIONS);
            inboxes.push(inbox);
            let (serve, begin) = (serve.clone(), begin.clone());
            workers.spawn(&format!("{name}-{number}"), async move {
                begin(number);
                receive(connections, serve).await;
            })?;
        }
        workers.spawn(&format!("{name}-accept"), accept(listener, inboxes))?;
        Ok(workers)
    }

    /// Runs `task` on a new thread until it ends or the workers are stopped.
    fn spawn<Task>(&mut self, name: &str, task: Task) -> io::Result<()>
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime()?;
        let mut stop = self.stop.subscribe();
        self.threads.push(seam::spawn_thread(name, move || {
            runtime.block_on(async {
                let stopped = pin!(stop.wait_for(|stop| *stop));
                match select(stopped, pin!(task)).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            });
        })?);
        Ok(())
    }

    /// The bound address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A panic in a worker was printed by its thread; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// A runtime for the calling code's own thread.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn accept(listener: StdListener, inboxes: Vec<mpsc::Sender<StdStream>>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    for inbox in inboxes.iter().cycle() {
        let stream = loop {
            match listener
                .accept()
                .await
                .and_then(|(stream, _)| stream.into_std())
            {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            }
        };
        if inbox.send(stream).await.is_err() {
            return;
        }
    }
}

async fn receive<Serve, Serving>(mut connections: mpsc::Receiver<StdStream>, serve: Serve)
where
    Serve: Fn(TcpStream) -> Serving,
    Serving: Future<Output = ()> + Send + 'static,
{
    while let Some(stream) = connections.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            // Without it small answers would wait for the peer's acknowledgement.
            let _ = stream.set_nodelay(true);
            seam::spawn_task(serve(stream));
        }
    }
}
