//! The doors without a socket: the same routes, limits and checks, called on this
//! thread. A simulation of whole nodes comes in here.

use std::rc::Rc;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Bytes;
use actix_web::{App, Error, HttpMessage, web};
use engine::settings::HttpSettings;
use futures::future::LocalBoxFuture;

use crate::doors::{DoorState, Doors, OpenDoorsError, prepare_imports};
use crate::http::routes;
use crate::observe::observe;

/// A request to a door.
pub struct DoorRequest {
    /// The method in capitals.
    pub method: &'static str,
    /// Path and query.
    pub path_and_query: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a door answers.
pub struct DoorAnswer {
    /// The status.
    pub status: u16,
    /// The seconds of a `Retry-After` header.
    pub retry_after: Option<u64>,
    /// Whether it is the answer of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The body.
    pub body: Bytes,
}

type Call = dyn Fn(DoorRequest, Node) -> LocalBoxFuture<'static, Option<DoorAnswer>>;

/// The node that a request is for.
type Node = Rc<Extensions>;

/// The routes, with no node behind them. They are compiled once, which takes as long as a
/// hundred requests, and serve many nodes one after the other. Clones share them.
#[derive(Clone)]
pub struct Routes {
    call: Rc<Call>,
}

impl Routes {
    /// Compiles the routes for this thread.
    pub async fn compile() -> Self {
        let app = App::new()
            .wrap(from_fn(observe))
            .configure(routes::configure)
            .wrap(from_fn(lead));
        let service = Rc::new(init_service(app).await);
        let call = move |request: DoorRequest, node: Node| -> LocalBoxFuture<'static, _> {
            let service = Rc::clone(&service);
            Box::pin(async move {
                let request = http_request(request)?.to_request();
                request.extensions_mut().insert(node);
                let response = service.call(request).await.ok()?;
                let header = |name: &str| response.headers().get(name)?.to_str().ok();
                let retry_after = header("retry-after").and_then(|text| text.parse().ok());
                let replayed = header("idempotent-replayed").is_some();
                let status = response.status().as_u16();
                Some(DoorAnswer {
                    status,
                    retry_after,
                    replayed,
                    body: to_bytes(response.into_body()).await.ok()?,
                })
            })
        };
        Self {
            call: Rc::new(call),
        }
    }
}

/// Leads a request to its node.
async fn lead(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let node = request.extensions_mut().remove::<Node>();
    if let Some(node) = node {
        request.add_data_container(node);
    }
    next.call(request).await
}

/// The open doors of one node. Clones share them.
#[derive(Clone)]
pub struct InProcess {
    routes: Routes,
    node: Node,
}

impl InProcess {
    /// Opens the doors of a node on this thread.
    ///
    /// # Errors
    /// When the folder of uploaded files cannot be made.
    pub fn open(
        routes: &Routes,
        doors: Doors,
        settings: &HttpSettings,
    ) -> Result<Self, OpenDoorsError> {
        prepare_imports(&doors.imports)?;
        let mut node = Extensions::new();
        node.insert(web::Data::new(doors.runtime.clone()));
        node.insert(web::Data::new(DoorState::new(doors, settings)));
        Ok(Self {
            routes: routes.clone(),
            node: Rc::new(node),
        })
    }

    /// Asks. `None` when the request is none that HTTP could carry, or its answer broke
    /// off.
    pub async fn call(&self, request: DoorRequest) -> Option<DoorAnswer> {
        (self.routes.call)(request, Rc::clone(&self.node)).await
    }
}

fn http_request(request: DoorRequest) -> Option<TestRequest> {
    let mut builder = TestRequest::default()
        .method(Method::from_bytes(request.method.as_bytes()).ok()?)
        .uri(&request.path_and_query)
        .set_payload(request.body);
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        builder = builder.insert_header((name, HeaderValue::from_str(&value).ok()?));
    }
    Some(builder)
}
