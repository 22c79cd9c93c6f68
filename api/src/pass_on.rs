//! What a node that waits does with requests: it passes them on to the one that owns the
//! journals, as they came, and the answers back. So whoever calls, and whoever sends receipts, may
//! come to any node.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::{HttpRequest, HttpResponse, web};
use engine::client::{PassError, Passed, Passer, Passing};
use futures::future::{Either, select};
use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::observe::AsItCame;
use crate::problem::{Problem, ProblemCode};

/// Requests that are passed on at once; more are answered with 503. The node that works on them
/// takes [`engine::settings::HttpSettings::requests_in_flight`] of all callers together.
const REQUESTS: usize = 256;

/// Where a node says whether it can take work.
const READY: &str = "/readyz";

/// Chunks of a body that wait between two connections, of at most 64 KiB each: 64 MiB for all
/// requests together.
const CHUNKS: usize = 4;

/// Leads callers to the owner.
pub(crate) struct PassOn {
    passer: Passer,
    owner: watch::Receiver<Option<String>>,
    room: Arc<Semaphore>,
}

impl PassOn {
    /// To whoever `owner` says.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) fn new(owner: watch::Receiver<Option<String>>) -> io::Result<Self> {
        Ok(Self {
            passer: Passer::new()?,
            owner,
            room: Arc::new(Semaphore::new(REQUESTS)),
        })
    }

    /// The answer of the owner.
    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Passed, Problem> {
        let mut owner = self.owner.clone();
        let Some(url) = owner.borrow().clone() else {
            return Err(unavailable(
                "the node waits for its turn, and does not know who owns the journals",
            ));
        };
        let (passing, pump) = parts(request, payload);
        let moved = owner.wait_for(|now| now.as_ref() != Some(&url));
        let passed = async {
            let passed = pin!(self.passer.pass(&url, passing));
            match select(passed, pin!(pump)).await {
                Either::Left((passed, _)) => passed,
                // The whole body is on its way.
                Either::Right(((), passed)) => passed.await,
            }
        };
        match select(pin!(passed), pin!(moved)).await {
            Either::Left((passed, _)) => passed.map_err(|error| refused(&error)),
            Either::Right(_) => Err(lost()),
        }
    }
}

/// Passes one request on.
///
/// # Errors
/// `unavailable` when the owner knows nothing of it, `node_lost` when nobody knows what it did.
pub(crate) async fn pass_on(
    request: HttpRequest,
    payload: web::Payload,
    to: web::Data<PassOn>,
) -> Result<HttpResponse, Problem> {
    let room = if request.path() == READY {
        // Whoever asks for that must not be refused because others are many.
        None
    } else {
        let room = Arc::clone(&to.room).try_acquire_owned();
        Some(room.map_err(|_| unavailable("as many requests are passed on as the node takes"))?)
    };
    let passed = to.answer(&request, payload).await?;
    let status = StatusCode::from_u16(passed.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    let mut length = None;
    for (name, value) in passed.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) else {
            continue;
        };
        if name == CONTENT_LENGTH {
            length = value.to_str().ok().and_then(|length| length.parse().ok());
        } else {
            answer.append_header((name, value));
        }
    }
    if let Some(length) = length {
        answer.no_chunking(length);
    }
    let mut answer = answer.streaming(passed.body.inspect(move |_| {
        // As long as the answer is under way.
        let _ = &room;
    }));
    answer.extensions_mut().insert(AsItCame);
    Ok(answer)
}

/// A request as it is passed on, and what moves its body there.
fn parts(request: &HttpRequest, mut payload: web::Payload) -> (Passing, impl Future<Output = ()>) {
    let headers = request.headers();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let all = headers.iter();
    let headers = all.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let (to, mut chunks) = mpsc::channel(CHUNKS);
    let body = stream::poll_fn(move |context| chunks.poll_recv(context));
    let target = request.uri().path_and_query();
    let passing = Passing {
        method: request.method().to_string(),
        target: target.map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: headers.collect(),
        body: has_body.then(|| body.boxed()),
    };
    let pump = async move {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(io::Error::other);
            if to.send(chunk).await.is_err() {
                // Answered before all of it was read.
                return;
            }
        }
    };
    (passing, pump)
}

fn refused(error: &PassError) -> Problem {
    // Once for each request: how many they are is among the numbers.
    tracing::debug!(%error, "a request cannot be passed on");
    match error {
        PassError::NotReached(_) => unavailable("the node that owns the journals is not reached"),
        PassError::InACircle => unavailable("the node that owned the journals waits for its turn"),
        PassError::Unfit => Problem::new(ProblemCode::BadRequest),
        PassError::Lost(_) => lost(),
    }
}

fn lost() -> Problem {
    Problem::with_detail(
        ProblemCode::NodeLost,
        "nobody knows what it did: repeat the request with the same Idempotency-Key",
    )
}

fn unavailable(why: &str) -> Problem {
    Problem::with_detail(ProblemCode::Unavailable, why)
}
