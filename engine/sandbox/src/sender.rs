//! Sends receipts to the callbacks that texts asked for.
//!
//! One thread; for each receiver (`host:port`) a short queue and 64 connections.
//! What does not fit stays in the core's ordered schedule. As at Twilio a receipt
//! gets one more try only if no connection could be made; then it is noted in the
//! book as failed and never sent again: its owner has to fetch the text.

mod lane;

use crate::core::DueReceipt;
use crate::sandbox::Shared;
use crate::seam;
use futures::future::select;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

/// Connections to one receiver: as many as a busy webhook endpoint is used to.
const CONNECTIONS: usize = 64;

/// Receipts handed to a receiver's connections and not yet begun: enough to keep
/// all of them busy between two looks at the schedule.
const QUEUED: usize = 16 * CONNECTIONS;

/// Receivers that keep connections; beyond it those with nothing waiting lose theirs.
const RECEIVERS: usize = 64;

/// Wait before looking again when a receiver's queue is full.
const FULL_WAIT: Duration = Duration::from_millis(5);

/// Longest sleep, so that a missed wake is never more than a delay.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long receipts already begun may take when the sandbox stops.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Sends due receipts until told to stop, then lets those already begun end.
pub(crate) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    // Every connection holds a clone; when all are gone the channel closes.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let mut queues: BTreeMap<Arc<str>, mpsc::Sender<DueReceipt>> = BTreeMap::new();
    while !*stop.borrow_and_update() {
        let wait = hand_out(&shared, &mut queues, &alive);
        let changed = pin!(shared.receipts_changed.notified());
        let stopped = pin!(stop.changed());
        // Whichever comes first, or the time, leads to another look.
        let _ = timeout(wait, select(changed, stopped)).await;
    }
    drop((queues, alive));
    let _ = timeout(LAST_WAIT, ended.recv()).await;
}

/// Gives every receiver what is due and fits; returns how long to sleep.
fn hand_out(
    shared: &Arc<Shared>,
    queues: &mut BTreeMap<Arc<str>, mpsc::Sender<DueReceipt>>,
    alive: &mpsc::Sender<()>,
) -> Duration {
    let now = shared.clock.now_us();
    let waiting = shared.core.receipt_authorities();
    if queues.len() > RECEIVERS {
        queues.retain(|name, _| waiting.iter().any(|(waiting, _)| waiting == name));
    }
    let mut wait = LONGEST_WAIT;
    for (receiver, first) in waiting {
        if first > now {
            wait = wait.min(Duration::from_micros(first - now));
            continue;
        }
        let queue = queues
            .entry(Arc::clone(&receiver))
            .or_insert_with(|| connect_to(shared, &receiver, alive));
        let room = queue.capacity();
        for receipt in shared.core.due(now, &receiver, room) {
            // There is room: this is the only sender, and it counted first.
            let _ = queue.try_send(receipt);
        }
        wait = wait.min(FULL_WAIT);
    }
    wait
}

/// Starts the connections of one receiver; each connects when it has something to send.
fn connect_to(
    shared: &Arc<Shared>,
    receiver: &str,
    alive: &mpsc::Sender<()>,
) -> mpsc::Sender<DueReceipt> {
    let (queue, receipts) = mpsc::channel(QUEUED);
    let receipts = Arc::new(Mutex::new(receipts));
    let receiver: Arc<str> = receiver.into();
    for _ in 0..CONNECTIONS {
        let lane = lane::Lane::new(Arc::clone(shared), Arc::clone(&receiver));
        let (receipts, alive) = (Arc::clone(&receipts), alive.clone());
        seam::spawn_task(async move {
            lane.run(receipts).await;
            drop(alive);
        });
    }
    queue
}
