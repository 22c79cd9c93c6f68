//! The doors of a node whose servers have not answered yet: it is alive, shows its numbers, and
//! refuses the rest for now.

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
use crate::problem::Problem;

/// How long requests may take that are under way when the servers answer: each is answered at once.
const CLOSE_SECONDS: u64 = 10;

/// Open doors of a node that connects.
pub(crate) struct ConnectingDoors {
    handle: ServerHandle,
}

impl ConnectingDoors {
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
        runtime.spawn_dedicated("http-connecting", async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the http server of a node that connects ended");
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
        .default_service(web::to(refuse));
}

async fn show(numbers: web::Data<PrometheusHandle>) -> HttpResponse {
    metrics::page(&numbers)
}

async fn refuse() -> Result<HttpResponse, Problem> {
    Err(Problem::unavailable(
        "the servers that keep the messages have not answered yet",
    ))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use engine::runtime::Runtime;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::ConnectingDoors;

    /// A node that connects is alive and not ready, and the socket outlives these doors.
    #[test]
    fn who_connects_is_alive_and_refuses_the_rest() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let tasks = tokio::runtime::Runtime::new().expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let numbers = PrometheusBuilder::new().build_recorder().handle();
        let doors = ConnectingDoors::open(&listener, &runtime, &numbers).expect("they open");
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.expect("a client");
        tasks.block_on(async {
            for (path, status) in [
                ("/livez", 200),
                ("/metrics", 200),
                ("/readyz", 503),
                ("/v1/messages", 503),
                ("/docs", 503),
            ] {
                let answer = client.get(format!("http://{address}{path}")).send().await;
                let answer = answer.expect("it answers");
                assert_eq!(answer.status(), status, "{path}");
                let later = answer.headers().contains_key("retry-after");
                assert_eq!(later, status == 503, "{path}");
            }
            doors.close().await;
            let waits = tokio::net::TcpStream::connect(address).await;
            waits.expect("a connection waits for the next doors");
            listener.set_nonblocking(false).expect("a socket");
            listener.accept().expect("who opens them finds it");
        });
    }
}
