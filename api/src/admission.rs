//! What the node takes at once, and how often somebody may ask. Whoever asks for more is told to
//! come back before anything but the head of the request was read, so nothing of it was taken.
//!
//! - **How often**: each key and each account so many requests a second, in one go after a rest
//!   (the generic cell rate algorithm). Beyond it 429, and every answer tells how many are left.
//! - **How many at once**: bounds on requests, on bytes of bodies, on uploads and on listings, for
//!   all callers together. Beyond them 503. What was admitted is done with in a few group commits.
//!
//! Who stops a campaign stands in no line with those who send: pauses and cancels have a rate and
//! room of their own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, ResponseError, web};
use engine::runtime::Runtime;
use engine::settings::HttpSettings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Identity;
use crate::doors::DoorState;
use crate::problem::Problem;
use crate::rate::{Counted, Rates};

/// Bytes of JSON bodies that are being read and judged, in KiB: 64 MiB, four of the longest
/// body that may be set and 65,536 of the usual ones.
const BODIES_KIB: u32 = 64 * 1_024;

/// The same of webhooks, whose callers have shown no key: 16 MiB, 256 of the longest.
const WEBHOOKS_KIB: u32 = 16 * 1_024;

/// Pauses and cancels at once: an account has few campaigns to stop, and each takes one group
/// commit or two.
const STOPS: usize = 64;

/// Listings at once, until their answers are sent: a page of 1,000 messages is some 2 MB.
const LISTINGS: usize = 32;

/// Room for what is under way.
#[derive(Debug)]
pub struct Admission {
    rates: Rates,
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    stops: Arc<Semaphore>,
    bodies_kib: Arc<Semaphore>,
    webhooks_kib: Arc<Semaphore>,
    json_limit_bytes: u64,
}

/// A request's part of it, until its answer has been sent.
#[derive(Debug)]
pub struct Room {
    _permits: Vec<OwnedSemaphorePermit>,
}

/// What a request may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Stops a campaign.
    Stop,
    /// Brings a contacts file, which is written to disk as it comes.
    Upload,
    /// Asks for a page of messages.
    Listing,
    /// Any other.
    Plain,
}

impl Kind {
    fn of(method: &Method, path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("pause" | "cancel") if method == Method::POST => Self::Stop,
            Some("imports") if method == Method::POST => Self::Upload,
            Some("messages") if method == Method::GET => Self::Listing,
            _ => Self::Plain,
        }
    }
}

impl Admission {
    /// Room for as much as the settings say.
    pub fn new(settings: &HttpSettings, runtime: &Runtime) -> Self {
        let room = |permits| Arc::new(Semaphore::new(permits));
        Self {
            rates: Rates::new(settings, runtime),
            requests: room(settings.requests_in_flight),
            uploads: room(settings.uploads),
            listings: room(LISTINGS),
            stops: room(STOPS),
            bodies_kib: room(BODIES_KIB as usize),
            webhooks_kib: room(WEBHOOKS_KIB as usize),
            json_limit_bytes: settings.json_limit_bytes as u64,
        }
    }

    /// Room for a webhook whose body is at most so long.
    ///
    /// # Errors
    /// `unavailable`.
    pub fn webhook(&self, headers: &HeaderMap, limit: u64) -> Result<Room, Problem> {
        let kib = kib(headers, limit);
        let permits = vec![take(&self.webhooks_kib, kib)?];
        Ok(Room { _permits: permits })
    }

    fn room(&self, kind: Kind, headers: &HeaderMap) -> Result<Room, Problem> {
        let permits = match kind {
            Kind::Stop => vec![take(&self.stops, 1)?],
            Kind::Upload => vec![take(&self.uploads, 1)?],
            Kind::Listing => vec![take(&self.listings, 1)?],
            Kind::Plain => {
                let kib = kib(headers, self.json_limit_bytes);
                vec![take(&self.requests, 1)?, take(&self.bodies_kib, kib)?]
            }
        };
        Ok(Room { _permits: permits })
    }
}

fn take(room: &Arc<Semaphore>, permits: u32) -> Result<OwnedSemaphorePermit, Problem> {
    let taken = Arc::clone(room).try_acquire_many_owned(permits);
    taken.map_err(|_| {
        Problem::unavailable(
            "as much is under way as the node takes at once; nothing of this request was taken",
        )
    })
}

/// How long a body may be at most, in KiB, rounded up. One whose length is not told may be as
/// long as any.
fn kib(headers: &HeaderMap, limit: u64) -> u32 {
    let told = headers.get(CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let bytes = match told {
        Some(bytes) => bytes.min(limit),
        None if headers.contains_key(TRANSFER_ENCODING) => limit,
        None => 0,
    };
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

/// The middleware around everything that needs a key, behind the check of the key.
///
/// # Errors
/// What the framework could not turn into an answer itself.
pub async fn admit(
    state: web::Data<DoorState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let admission = state.admission();
    let kind = Kind::of(request.method(), request.path());
    let identity = request.extensions().get::<Identity>().copied();
    // Whoever administers the node is not counted.
    let (counted, may): (Option<Counted>, _) = match identity {
        Some(Identity::Account(account, _)) if kind == Kind::Stop => {
            (None, admission.rates.count_stop(account))
        }
        Some(Identity::Account(account, key)) => {
            let counted = admission.rates.count(key, account);
            (Some(counted), counted.check())
        }
        Some(Identity::Root) | None => (None, Ok(())),
    };
    let room = may.and_then(|()| admission.room(kind, request.headers()));
    let mut response = match room {
        Ok(room) => {
            let response = next.call(request).await?.map_into_boxed_body();
            response.map_body(|_, body| BoxBody::new(Held { body, _room: room }))
        }
        Err(problem) => request.into_response(problem.error_response()),
    };
    if let Some(counted) = counted {
        admission.rates.tell(counted, response.headers_mut());
    }
    Ok(response)
}

/// An answer that holds its request's room until it has been sent.
struct Held {
    body: BoxBody,
    _room: Room,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
