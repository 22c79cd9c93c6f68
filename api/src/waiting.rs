//! The doors of a node that waits for its turn to own the journals: it is alive, shows its
//! numbers, and is not ready for anything else. Whoever restarts processes must not restart one
//! that waits, and whoever spreads requests must send it none.

use std::io;
use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use engine::runtime::Runtime;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::http::{health, metrics};
use crate::observe::{describe, observe};
use crate::problem::{Problem, ProblemCode};

/// How long requests may take that are under way when the turn comes: each is answered from
/// memory.
const CLOSE_SECONDS: u64 = 2;

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
    ) -> io::Result<Self> {
        describe();
        let observed = web::Data::new(runtime.clone());
        let numbers = web::Data::new(numbers.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(observed.clone())
                .app_data(numbers.clone())
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
        .service(web::resource("/readyz").get(waits))
        .service(web::resource("/metrics").get(show))
        .default_service(web::to(waits));
}

async fn show(numbers: web::Data<PrometheusHandle>) -> HttpResponse {
    metrics::page(&numbers)
}

async fn waits() -> Result<HttpResponse, Problem> {
    Err(Problem::with_detail(
        ProblemCode::Unavailable,
        "the node waits for its turn: another one owns the journals, or it is only starting",
    ))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use engine::runtime::Runtime;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::WaitingDoors;

    /// A node that waits is alive and not ready, and the socket outlives these doors.
    #[test]
    fn who_waits_is_alive_and_refuses_the_rest() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let tasks = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let numbers = PrometheusBuilder::new().build_recorder().handle();
        tasks.block_on(async {
            let doors = WaitingDoors::open(&listener, &runtime, &numbers).expect("they open");
            let client = reqwest::Client::builder().no_proxy().build();
            let client = client.expect("a client");
            for (path, status) in [
                ("/livez", 200),
                ("/metrics", 200),
                ("/readyz", 503),
                ("/v1/messages", 503),
                ("/docs", 503),
            ] {
                let answer = client.get(format!("{url}{path}")).send().await;
                let answer = answer.expect("it answers");
                assert_eq!(answer.status(), status, "{path}");
                let later = answer.headers().contains_key("retry-after");
                assert_eq!(later, status == 503, "{path}");
            }
            doors.close().await;
            let waits = tokio::net::TcpStream::connect(listener.local_addr().expect("one")).await;
            waits.expect("a connection waits for the next doors");
            listener.set_nonblocking(false).expect("a socket");
            listener.accept().expect("who opens them finds it");
        });
    }
}
