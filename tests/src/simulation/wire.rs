//! The transport of a provider account in a simulated process: what an adapter sends goes
//! into the world, and what comes back comes from there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::provider::transport::{Answer, Transport, TransportFailure};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request as HttpRequest, StatusCode};
use sandbox::dialect::{HttpAnswer, Method};
use sandbox::segments;
use tokio::time::sleep;

use super::customers::single::{POISON, is_worst};
use super::ledger::{Call, attempt_of};
use super::machine::Machine;
use super::request::{Reply, Request};
use super::world::World;

/// The line of one provider account.
pub struct Wire {
    world: Arc<World>,
    machine: Arc<Machine>,
    provider: usize,
    timeout: Duration,
}

impl Wire {
    /// The line of the account with this place.
    pub fn new(
        world: &Arc<World>,
        machine: &Arc<Machine>,
        provider: usize,
        timeout: Duration,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            machine: Arc::clone(machine),
            provider,
            timeout,
        }
    }

    /// What the ledger keeps of a request that creates a text.
    fn call_of(&self, body: &[u8]) -> Call {
        let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        let field = |name: &str| {
            let mut fields = form.iter().filter(|field| field.0 == name);
            fields
                .next()
                .map_or_else(String::new, |field| field.1.clone())
        };
        Call {
            provider: self.provider,
            from: field("From"),
            segments: segments::count(&field("Body")),
            at: self.world.time.now(),
            wall: self.world.time.wall(),
            life: self.machine.life,
            attempt: attempt_of(&field("StatusCallback")),
            pause: None,
            is_throttled: false,
        }
    }

    /// Whether its adapter is broken just now, or meets what it always panics over.
    fn panic_if_planted(&self, created: Option<&[u8]>, query: &str) {
        let now = self.world.time.now() / 1_000;
        let planted = self.world.providers()[self.provider].panics;
        let is_broken = planted.is_some_and(|(from, until)| (from..until).contains(&now));
        let body = format!("Body={POISON}");
        let is_poison = |form: &[u8]| form.windows(body.len()).any(|part| part == body.as_bytes());
        let panics = match created {
            Some(form) => is_broken || is_poison(form),
            None => is_worst(query),
        };
        if panics {
            self.machine.panic_now();
        }
    }

    async fn carry(&self, request: HttpRequest<Bytes>) -> Result<Answer, TransportFailure> {
        let method = if request.method() == hyper::Method::POST {
            Method::Post
        } else {
            Method::Get
        };
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        let mut sent = Request::new(self.provider, method, path, query);
        if let Some(authorization) = request.headers().get(AUTHORIZATION) {
            sent.authorization = authorization.as_bytes().to_vec();
        }
        sent.body = request.body().to_vec();
        let call = (method == Method::Post).then(|| self.call_of(&sent.body));
        self.panic_if_planted(call.as_ref().map(|_| sent.body.as_slice()), query);
        let _open = Open::new(self, call.is_some());
        let Some(answer) = self.world.send(sent, call) else {
            return Err(TransportFailure::NotSent("connect_refused"));
        };
        let timeout = std::pin::pin!(sleep(self.timeout));
        let ended = select(answer, timeout).await;
        self.machine.call();
        match ended {
            Either::Left((Ok(Reply::Answer(answer, is_half)), _)) => {
                Ok(understood(answer, is_half))
            }
            Either::Left((Ok(Reply::Cut) | Err(_), _)) => {
                Err(TransportFailure::Unknown("connection_lost"))
            }
            Either::Right(_) => Err(TransportFailure::Unknown("timeout")),
        }
    }
}

impl Transport for Wire {
    fn exchange(
        &self,
        request: HttpRequest<Bytes>,
        _: usize,
    ) -> BoxFuture<'_, Result<Answer, TransportFailure>> {
        self.carry(request).boxed()
    }
}

/// A request that has not ended.
struct Open<'a> {
    wire: &'a Wire,
    creates: bool,
}

impl<'a> Open<'a> {
    fn new(wire: &'a Wire, creates: bool) -> Self {
        wire.world.begun(wire.machine.life);
        Self { wire, creates }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let provider = self.creates.then_some(self.wire.provider);
        self.wire.world.ended(self.wire.machine.life, provider);
    }
}

fn understood(answer: HttpAnswer, is_half: bool) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Answer {
        status: StatusCode::from_u16(answer.status).expect("a status"),
        headers,
        body: if is_half {
            Err("connection_lost")
        } else {
            Ok(answer.body)
        },
    }
}
