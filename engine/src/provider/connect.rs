//! Connections to providers: name, TCP and TLS within one time, and failures of which
//! one can tell what they were.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower_service::Service;

/// Why a connection does not stand.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections, each within a time.
#[derive(Clone)]
pub(super) struct Connector {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    timeout: Duration,
}

/// TLS cannot be set up: a text for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TlsProblem(String);

/// A connection did not stand in time.
#[derive(Debug, thiserror::Error)]
#[error("connecting took too long")]
pub(super) struct ConnectTimeout;

/// A name has no address, or nobody could be asked for it.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
pub(super) struct DnsFailure(#[source] std::io::Error);

impl Connector {
    /// A connector that gives up after `timeout`. Without `tls` it works on a machine
    /// that has no certificates, and reaches plain HTTP alone.
    pub(super) fn new(timeout: Duration, tls: bool) -> Result<Self, TlsProblem> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        // A request is one write; waiting for more of it would only delay the text.
        tcp.set_nodelay(true);
        // Shared among the addresses of a name, so that one dead address is not all.
        tcp.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(tls)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { connector, timeout })
    }
}

/// Trusts what the system trusts, or nobody.
fn tls_config(tls: bool) -> Result<ClientConfig, TlsProblem> {
    let problem = |error: &dyn fmt::Display| TlsProblem(error.to_string());
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(&error))?;
    let builder = if tls {
        builder
            .with_platform_verifier()
            .map_err(|error| problem(&error))?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, timeout) = (self.connector.call(uri), self.timeout);
        async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectTimeout.into()),
            }
        }
        .boxed()
    }
}

/// The system's resolver, whose failures can be told from others.
#[derive(Clone)]
struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = DnsFailure;
    type Future = BoxFuture<'static, Result<GaiAddrs, DnsFailure>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DnsFailure>> {
        self.0.poll_ready(context).map_err(DnsFailure)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asked = self.0.call(name);
        async move { asked.await.map_err(DnsFailure) }.boxed()
    }
}
