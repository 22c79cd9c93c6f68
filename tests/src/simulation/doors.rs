//! What comes in at the doors of a running process: customers' requests and providers'
//! receipts.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use api::in_process::{DoorAnswer, DoorRequest, InProcess};
use engine::settings::HttpSettings;
use sandbox::book::ReceiptResult;
use sandbox::core::DueReceipt;
use sandbox::dialect::{Dialect, ReceiptRequest};
use schemas::UnixMicros;
use tokio::sync::oneshot;

use super::Simulation;
use super::fleet::COME_TO_OTHERS;
use super::life::Life;
use super::machine::Machine;
use super::world::{Action, PUBLIC_URL};

/// Milliseconds until a customer tries again at doors that are shut.
const SHUT_MS: u64 = 150;

impl Life<'_> {
    /// Lets somebody outside act.
    pub(super) fn act(&self, action: Action, is_open: bool) {
        let simulation = self.simulation;
        match action {
            Action::Errand(errand) => {
                let fleet = simulation.fleet.as_ref();
                if fleet.is_some_and(|fleet| fleet.is_asked(simulation, errand, COME_TO_OTHERS)) {
                    return;
                }
                if is_open {
                    self.door().ask(errand);
                } else {
                    let at = simulation.time.now() + SHUT_MS * 1_000;
                    simulation.world.plan_errand(at, errand);
                }
            }
            Action::Receipt(receipt) => {
                let fleet = simulation.fleet.as_ref();
                let is_brought = fleet
                    .is_some_and(|fleet| fleet.is_brought(simulation, &receipt, COME_TO_OTHERS));
                match is_brought {
                    true => {}
                    false if is_open => self.door().bring(receipt),
                    false => simulation.not_connected(&receipt),
                }
            }
        }
    }

    fn door(&self) -> Door<'_> {
        Door {
            simulation: self.simulation,
            doors: &self.process.doors,
            machine: self.machine,
        }
    }
}

/// Where somebody outside comes in.
pub(super) struct Door<'a> {
    /// What it is a part of.
    pub(super) simulation: &'a Rc<Simulation>,
    /// Whose doors.
    pub(super) doors: &'a InProcess,
    /// What that runs on.
    pub(super) machine: &'a Arc<Machine>,
}

impl Door<'_> {
    /// Sends a request through; nothing comes when the process panics over it.
    fn call(&self, request: DoorRequest) -> oneshot::Receiver<Option<DoorAnswer>> {
        let (answer, heard) = oneshot::channel();
        let doors = self.doors.clone();
        self.machine.start_local(async move {
            let _ = answer.send(doors.call(request).await);
        });
        heard
    }

    /// Brings a receipt.
    pub(super) fn bring(&self, receipt: DueReceipt) {
        let simulation = Rc::clone(self.simulation);
        let core = &simulation.world.core;
        let mut told = receipt.clone();
        if simulation.plan.receipts_are_plain {
            let plain = told.callback.split('?').next().unwrap_or_default();
            told.callback = plain.into();
            simulation.tally.count("receipt without our ids");
        }
        let Some(request) = Dialect::Twilio.receipt(core, &told) else {
            return;
        };
        let heard = self.call(brought(request));
        let began = simulation.time.true_wall();
        spawn(async move {
            let result = match heard.await {
                Ok(Some(answer)) => ReceiptResult::Answered(answer.status),
                Ok(None) | Err(_) => ReceiptResult::Broken,
            };
            let (now, ended) = (simulation.time.now(), simulation.time.true_wall());
            simulation.story.tell(now, || {
                let (status, to) = (receipt.planned.status, &receipt.to);
                format!("receipt {status:?} of {to} is answered: {result:?}")
            });
            let core = &simulation.world.core;
            core.receipt_tried(&receipt, began, ended, 1, result);
        });
    }

    /// Asks what a customer wants.
    pub(super) fn ask(&self, errand: usize) {
        let (simulation, asked_in) = (Rc::clone(self.simulation), self.simulation.lives.get());
        let wall = UnixMicros(simulation.time.true_wall() as i64);
        let mut calls = simulation.customers.ask(errand, wall).into_iter();
        let Some(first) = calls.next().map(|request| self.call(request)) else {
            return;
        };
        if let Some(twin) = calls.next().map(|request| self.call(request)) {
            let simulation = Rc::clone(&simulation);
            simulation.tally.count("W17: a request twice at once");
            spawn(async move {
                if let Ok(Some(answer)) = twin.await
                    && simulation.lives.get() == asked_in
                    && let Err(wrong) = simulation.customers.twin_heard(errand, &answer)
                {
                    simulation.violated(wrong);
                }
            });
        }
        spawn(async move {
            let answer = first.await.ok().flatten();
            if simulation.lives.get() != asked_in {
                // Whoever asked has given up: every connection broke.
                return;
            }
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let now = simulation.time.now();
            simulation
                .story
                .mark(&[errand as u64, u64::from(status), now]);
            simulation
                .story
                .tell(now, || format!("customer {errand} is answered {status}"));
            simulation.count_answer(answer.as_ref());
            let heard = simulation.customers.heard(errand, answer.as_ref(), now);
            if simulation.customers.has_started(errand, now) {
                simulation.has_started.set(true);
                simulation.world.changed.notify_one();
            }
            match heard {
                Ok(Some(wait_ms)) => simulation.world.plan_errand(now + wait_ms * 1_000, errand),
                Ok(None) => simulation.world.changed.notify_one(),
                Err(wrong) => simulation.violated(wrong),
            }
        });
    }
}

/// What a provider brings, as the doors get it.
pub fn brought(request: ReceiptRequest) -> DoorRequest {
    let path = request.url.strip_prefix(PUBLIC_URL).unwrap_or(&request.url);
    let headers = request.headers.into_iter();
    DoorRequest {
        method: "POST",
        path_and_query: path.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body: request.body,
    }
}

/// A task of the world: it has no steps and does not die with the process.
fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// What the doors take; nothing listens.
pub(super) fn settings(requests_per_second: NonZeroU32) -> HttpSettings {
    HttpSettings {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        public_url: None,
        workers: 1,
        json_limit_bytes: 1 << 20,
        import_limit_bytes: 1 << 30,
        key_requests_per_second: requests_per_second,
        account_requests_per_second: NonZeroU32::MAX,
        requests_in_flight: 1_024,
        uploads: 8,
    }
}
