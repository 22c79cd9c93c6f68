//! A server for one test, and a client that speaks to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::import::Imports;
use api::doors::{Doors, RunningServer, imports_folder, listen, serve};
use api::ownership::Ownership;
use engine::runtime::Runtime;
use engine::settings::Settings;
use engine::storage::{JournalSettings, Storage};
use engine::store::MemoryKv;
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, RequestBuilder, Response};
use schemas::http::problem::ProblemBody;
use schemas::{AccountId, Secret};
use serde_json::Value;

/// What the provider account of every test signs receipts with.
pub const AUTH_TOKEN: &str = "12345678901234567890123456789012";
/// Where providers are told to reach the server; nobody ever connects to it.
pub const PUBLIC_URL: &str = "https://sms.example.com";
/// The sender that the provider account owns.
pub const SENDER: &str = "+15005550001";
const ROOT_KEY: &str = "volley_root_of_the_test";

/// A server over a store in a folder of its own.
pub struct TestServer {
    pub storage: Storage,
    pub imports: PathBuf,
    pub provider: String,
    pub root: Client,
    folder: PathBuf,
    running: Option<RunningServer>,
    runtime: Runtime,
    http: reqwest::Client,
    url: String,
}

impl TestServer {
    /// Starts one. `name` is the test's.
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// Starts one with these settings of the section `http`.
    pub async fn start_with(name: &str, http: &[(&str, &str)]) -> Self {
        let settings = settings(http);
        Self::open(name, settings, |folder, runtime, journal| {
            Storage::open(folder, runtime, journal).expect("storage")
        })
    }

    /// Starts one over a disk that is simulated.
    pub async fn start_over(name: &str, disk: &MemoryKv) -> Self {
        Self::open(name, settings(&[]), |_, runtime, journal| {
            Storage::in_memory(disk.clone(), runtime, journal).expect("storage")
        })
    }

    fn open(
        name: &str,
        settings: Settings,
        open: impl FnOnce(&Path, &Runtime, JournalSettings) -> Storage,
    ) -> Self {
        let folder =
            std::env::temp_dir().join(format!("volley-http-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        let journal = JournalSettings {
            partitions: settings.node.partitions,
            owners: schemas::PartitionCount::ONE,
            trim: true,
        };
        let storage = open(&folder, &runtime, journal);
        let account = engine::provider::open(&settings.providers[0], Some(PUBLIC_URL));
        let account = Arc::new(account.expect("a provider account"));
        let provider = account.id.to_string();
        let imports = imports_folder(&folder);
        let doors = Doors {
            runtime: runtime.clone(),
            store: storage.store.clone(),
            log: storage.log.clone(),
            intake: storage.intake.clone(),
            ownership: Ownership::of(&storage),
            providers: vec![account],
            imports: Imports::own(imports.clone()),
            root_key: Secret::new(ROOT_KEY),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let listener = listen(&settings.http).expect("a port");
        let running = serve(doors, listener, &settings.http).expect("open doors");
        let url = format!("http://{}", running.address);
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let root = Client {
            http: http.clone(),
            url: url.clone(),
            key: Some(ROOT_KEY.to_owned()),
        };
        let running = Some(running);
        Self {
            storage,
            imports,
            provider,
            root,
            folder,
            running,
            runtime,
            http,
            url,
        }
    }

    /// A new account and a client with a key of it.
    pub async fn account(&self) -> (AccountId, Client) {
        let store = &self.storage.store;
        let account =
            api::accounts::create_account(store, &self.runtime, "acme".to_owned(), 1, None);
        let account = account.await.expect("an account").id;
        (account, self.key_of(account).await)
    }

    /// A client with a new key of an account.
    pub async fn key_of(&self, account: AccountId) -> Client {
        let secret = self.secret_of(account).await;
        self.client(Some(&secret))
    }

    /// The secret of a new key of an account.
    pub async fn secret_of(&self, account: AccountId) -> String {
        let store = &self.storage.store;
        let key = api::accounts::create_key(store, &self.runtime, account, "key".to_owned());
        let (_, secret) = key.await.expect("stored").expect("a key");
        secret.expose().to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").address
    }

    /// A client with this key, or none.
    pub fn client(&self, key: Option<&str>) -> Client {
        Client {
            http: self.http.clone(),
            url: self.url.clone(),
            key: key.map(str::to_owned),
        }
    }

    /// Says that the node is about to stop; it still serves.
    pub fn announce_stop(&self) {
        self.running.as_ref().expect("it runs").announce_stop();
    }

    /// Closes the doors and removes the folder.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn settings(http: &[(&str, &str)]) -> Settings {
    let environment = [
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("TWILIO_PHONE_NUMBER", SENDER),
        ("VOLLEY_HTTP__LISTEN", "127.0.0.1:0"),
        ("VOLLEY_HTTP__WORKERS", "2"),
        ("VOLLEY_HTTP__JSON_LIMIT_KIB", "16"),
        ("VOLLEY_HTTP__IMPORT_LIMIT_MIB", "1"),
    ];
    let environment = environment.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let http = http.iter();
    let http = http.map(|(name, text)| (format!("VOLLEY_HTTP__{name}"), (*text).to_owned()));
    let environment = environment.into_iter().chain(http);
    Settings::load(None, environment).expect("settings")
}

/// A client of one account, or of nobody.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Client {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// As [`Client::post`], under an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("Idempotency-Key", key);
        Answer::of(request.json(body)).await
    }
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.expect("an answer");
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("a body"),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON body of an answer with this status.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).expect("json")
    }

    /// The problem, which must be whole: its status that of the answer, its request id
    /// that of the header.
    #[track_caller]
    pub fn problem(&self) -> ProblemBody {
        assert!(self.status >= 400, "{} {}", self.status, self.text);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text
        );
        let problem: ProblemBody = serde_json::from_str(&self.text).expect("a problem");
        assert_eq!(problem.status, self.status);
        assert_eq!(
            Some(problem.request_id.as_str()),
            self.header("x-request-id")
        );
        problem
    }

    /// Status, code and the first pointer or parameter of the problem.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String, Option<String>) {
        let problem = self.problem();
        let field = problem.errors.into_iter().next();
        let place = field.and_then(|field| field.pointer.or(field.parameter));
        (problem.status, problem.code, place)
    }
}
