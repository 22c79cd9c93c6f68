//! What a node that waits does with what only the owner of the journals may do: it passes the
//! request on, as it came, and the answer back. So whoever sends receipts may come to any node.

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

/// Requests that are passed on at once; more are answered with 503. Receipts take a commit each: at
/// 0.4 s, as slow as they are on servers, these are 600 a second from each node.
const REQUESTS: usize = 256;

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

    /// Passes one request on.
    ///
    /// # Errors
    /// `unavailable` when the owner knows nothing of it, `node_lost` when nobody knows what it did.
    pub(crate) async fn pass_on(
        &self,
        request: HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, Problem> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| {
            Problem::unavailable("as many requests are passed on as the node takes")
        })?;
        let passed = self.answer(&request, payload).await?;
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

    /// The answer of the owner.
    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Passed, Problem> {
        let mut owner = self.owner.clone();
        let Some(url) = owner.borrow().clone() else {
            return Err(Problem::unavailable(
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
        PassError::NotReached(_) => {
            Problem::unavailable("the node that owns the journals is not reached")
        }
        PassError::InACircle => {
            Problem::unavailable("the node that owned the journals waits for its turn")
        }
        PassError::Unfit => Problem::new(ProblemCode::BadRequest),
        PassError::Lost(_) => lost(),
    }
}

fn lost() -> Problem {
    Problem::with_detail(
        ProblemCode::NodeLost,
        "nobody knows whether it is kept: a repeat counts once",
    )
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;

    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
    use engine::runtime::Runtime;
    use reqwest::{Client, Response};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, watch};

    use super::PassOn;
    use crate::observe::observe;

    /// More than one chunk of a body, and less than a framework takes at once.
    const BODY_BYTES: usize = 200_000;

    /// A node that passes everything on, and where it is.
    struct Open {
        tasks: tokio::runtime::Runtime,
        runtime: Runtime,
        url: String,
        owner: watch::Sender<Option<String>>,
        client: Client,
    }

    fn open() -> Open {
        let tasks = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let owner = watch::Sender::new(None);
        let to = web::Data::new(PassOn::new(owner.subscribe()).expect("a client"));
        let observed = web::Data::new(runtime.clone());
        let pass = |request, payload, to: web::Data<PassOn>| async move {
            to.pass_on(request, payload).await
        };
        let (listener, url) = listen();
        runtime.spawn_dedicated("passes-on", async move {
            let app = move || {
                App::new()
                    .app_data(observed.clone())
                    .app_data(to.clone())
                    .wrap(from_fn(observe))
                    .default_service(web::to(pass))
            };
            let server = HttpServer::new(app).workers(1).disable_signals();
            let server = server.listen(listener).expect("it listens");
            let _ = server.run().await;
        });
        let client = Client::builder().no_proxy().build();
        Open {
            tasks,
            runtime,
            url,
            owner,
            client: client.expect("a client"),
        }
    }

    impl Open {
        async fn post(&self, path: &str) -> Response {
            let request = self.client.post(format!("{}{path}", self.url));
            let answer = request.body(vec![b'x'; BODY_BYTES]).send().await;
            answer.expect("it answers")
        }

        /// Refused, with this code, and to be repeated unless it may have been done.
        async fn refused(answer: Response, status: u16, code: &str) {
            assert_eq!(answer.status(), status);
            let later = answer.headers().contains_key("retry-after");
            assert_eq!(later, status == 503);
            let problem: serde_json::Value = answer.json().await.expect("a problem");
            assert_eq!(problem["code"], code);
        }
    }

    /// Another node, which hears of `/hang` and answers nothing to it, and to anything else a
    /// problem of its own.
    fn other_node(runtime: &Runtime, heard: &Arc<Notify>) -> String {
        let (listener, url) = listen();
        let heard = web::Data::from(Arc::clone(heard));
        runtime.spawn_dedicated("other-node", async move {
            let app = move || {
                let hang = |heard: web::Data<Notify>| async move {
                    heard.notify_one();
                    pending::<HttpResponse>().await
                };
                let echo = |request: HttpRequest, body: web::Bytes| async move {
                    let mut answer = HttpResponse::UnprocessableEntity();
                    answer.insert_header(("x-request-id", "theirs"));
                    answer.insert_header(("x-heard", format!("{}", request.uri())));
                    answer.body(body)
                };
                App::new()
                    .app_data(heard.clone())
                    .service(web::resource("/hang").to(hang))
                    .default_service(web::to(echo))
            };
            let server = HttpServer::new(app).workers(1).disable_signals();
            let server = server.listen(listener).expect("it listens");
            let _ = server.run().await;
        });
        url
    }

    /// A port of this machine, and where it is.
    fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        (listener, url)
    }

    /// Requests go to the owner and answers come back as they were, problems included.
    #[test]
    fn who_waits_passes_requests_on() {
        let open = open();
        let url = other_node(&open.runtime, &Arc::default());
        open.tasks.block_on(async {
            open.owner.send_replace(Some(url));
            let answer = open.post("/v1/messages?limit=3").await;
            assert_eq!(answer.status(), 422);
            assert_eq!(answer.headers()["x-request-id"], "theirs");
            assert_eq!(answer.headers()["x-heard"], "/v1/messages?limit=3");
            assert_eq!(answer.content_length(), Some(BODY_BYTES as u64));
            assert_eq!(answer.bytes().await.expect("a body").len(), BODY_BYTES);
        });
    }

    /// What whoever stands in front of the nodes took for a path below `/v1` reaches nothing else.
    #[test]
    fn who_waits_leads_nobody_past_the_path_that_was_let_in() {
        let open = open();
        let url = other_node(&open.runtime, &Arc::default());
        open.tasks.block_on(async {
            open.owner.send_replace(Some(url));
            let address = open.url.trim_start_matches("http://");
            let line = tokio::net::TcpStream::connect(address).await;
            let mut line = line.expect("a line");
            let request = "GET /v1/%2e%2e/metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            line.write_all(request.as_bytes()).await.expect("written");
            let mut answer = String::new();
            line.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        });
    }

    /// An owner that is not there has done nothing; of one that is lost, nobody knows.
    #[test]
    fn who_waits_tells_what_became_of_a_request() {
        let open = open();
        let heard = Arc::new(Notify::new());
        let url = other_node(&open.runtime, &heard);
        open.tasks.block_on(async {
            let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let nowhere = nobody.local_addr().expect("an address");
            drop(nobody);
            open.owner.send_replace(Some(format!("http://{nowhere}")));
            Open::refused(open.post("/v1/messages").await, 503, "unavailable").await;
            open.owner.send_replace(Some(open.url.clone()));
            Open::refused(open.post("/v1/messages").await, 503, "unavailable").await;
            open.owner.send_replace(Some(url));
            let asked = open.post("/hang");
            let moved = async {
                heard.notified().await;
                open.owner.send_replace(None);
            };
            let (answer, ()) = futures::join!(asked, moved);
            Open::refused(answer, 502, "node_lost").await;
        });
    }
}
