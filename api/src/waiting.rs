//! The doors of a node that waits for its turn to own the journals: it is alive, shows its
//! numbers, and leads whoever wants anything else to the node that owns; so it is as ready as that
//! one. Where it knows of none it says so.

use std::io;
use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use engine::runtime::Runtime;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::http::{health, metrics};
use crate::observe::{describe, observe};
use crate::pass_on::{PassOn, pass_on};

/// How long requests may take that are under way when the node is stopped. When its turn comes,
/// whoever they were passed on to has lost its own, and they end at once.
const CLOSE_SECONDS: u64 = 10;

/// Open doors of a node that waits.
pub(crate) struct WaitingDoors {
    handle: ServerHandle,
}

impl WaitingDoors {
    /// Answers on a socket, which stays its owner's: connections that come while these doors
    /// close wait there for the next to open.
    pub(crate) fn open(
        listener: &TcpListener,
        runtime: &Runtime,
        numbers: &PrometheusHandle,
        owner: watch::Receiver<Option<String>>,
    ) -> io::Result<Self> {
        describe();
        let to = web::Data::new(PassOn::new(owner)?);
        let observed = web::Data::new(runtime.clone());
        let numbers = web::Data::new(numbers.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(observed.clone())
                .app_data(numbers.clone())
                .app_data(to.clone())
                .wrap(from_fn(observe))
                .configure(routes)
        })
        .disable_signals()
        .workers(1)
        // A connection that is kept would come to these doors again.
        .keep_alive(KeepAlive::Disabled)
        .shutdown_timeout(CLOSE_SECONDS)
        .listen(listener.try_clone()?)?
        .run();
        let handle = server.handle();
        runtime.spawn_dedicated("http-waiting", async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the http server of a waiting node ended");
            }
        });
        Ok(Self { handle })
    }

    /// Answers what is under way and lets go of the socket.
    pub(crate) async fn close(self) {
        self.handle.stop(true).await;
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/livez").get(health::live))
        .service(web::resource("/metrics").get(show))
        .default_service(web::to(pass_on));
}

async fn show(numbers: web::Data<PrometheusHandle>) -> HttpResponse {
    metrics::page(&numbers)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;

    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
    use engine::runtime::Runtime;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use reqwest::{Client, Response};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, watch};

    use super::WaitingDoors;

    /// More than one chunk of a body, and less than a framework takes at once.
    const BODY_BYTES: usize = 200_000;

    /// Doors, and where they are.
    struct Open {
        tasks: tokio::runtime::Runtime,
        runtime: Runtime,
        listener: TcpListener,
        url: String,
        doors: WaitingDoors,
        owner: watch::Sender<Option<String>>,
        client: Client,
    }

    fn open() -> Open {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let tasks = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let numbers = PrometheusBuilder::new().build_recorder().handle();
        let owner = watch::Sender::new(None);
        let doors = WaitingDoors::open(&listener, &runtime, &numbers, owner.subscribe());
        let client = Client::builder().no_proxy().build();
        Open {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            doors: doors.expect("they open"),
            client: client.expect("a client"),
            tasks,
            runtime,
            listener,
            owner,
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
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

    /// A node that waits and knows of no owner is alive and not ready, and the socket outlives
    /// these doors.
    #[test]
    fn who_waits_is_alive_and_refuses_the_rest() {
        let open = open();
        open.tasks.block_on(async {
            for (path, status) in [
                ("/livez", 200),
                ("/metrics", 200),
                ("/readyz", 503),
                ("/v1/messages", 503),
                ("/docs", 503),
            ] {
                let answer = open.client.get(format!("{}{path}", open.url)).send().await;
                let answer = answer.expect("it answers");
                assert_eq!(answer.status(), status, "{path}");
                let later = answer.headers().contains_key("retry-after");
                assert_eq!(later, status == 503, "{path}");
            }
            open.doors.close().await;
            let address = open.listener.local_addr().expect("one");
            let waits = tokio::net::TcpStream::connect(address).await;
            waits.expect("a connection waits for the next doors");
            open.listener.set_nonblocking(false).expect("a socket");
            open.listener.accept().expect("who opens them finds it");
        });
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
            let address = open.listener.local_addr().expect("an address");
            let mut line = tokio::net::TcpStream::connect(address)
                .await
                .expect("a line");
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
