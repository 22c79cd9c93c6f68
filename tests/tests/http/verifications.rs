//! Verifying a node that serves: who may ask, what it answers, and that everything agrees
//! at any moment of its work.

use std::cell::Cell;
use std::future::pending;
use std::path::Path;

use api::node::{RunningNode, start};
use engine::client::{NodeClient, RootKeyFile};
use engine::runtime::Runtime;
use engine::settings::Settings;
use futures::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::Method;
use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::change::Change;
use schemas::http::messages::MessageBody;
use schemas::{CampaignId, Partition, Secret};
use serde_json::json;
use tests::fixture;
use tests::user::User;

use crate::server::{Answer, TestServer};

const PATH: &str = "/v1/verifications";

/// Recipients of the campaign that is verified while it is sent.
const RECIPIENTS: u32 = 4_000;

/// Provider accounts, and the rate of each in segments per second: two seconds of work.
const PROVIDERS: usize = 2;
/// See [`PROVIDERS`].
const RATE: f64 = 1_000.0;

/// Verifications in the middle of it that the machine must manage at least.
const LEAST_AMID: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_root_key_may_verify() {
    let server = TestServer::start("verify-keys").await;
    let (_, client) = server.account().await;
    let refused = client.post(PATH, &json!({})).await.refusal();
    assert_eq!(refused, (403, "forbidden".to_owned(), None));
    let nobody = server.client(None).post(PATH, &json!({})).await;
    assert_eq!(nobody.refusal(), (401, "unauthorized".to_owned(), None));
    let other = server.root.get(PATH).await;
    assert_eq!(other.header("allow"), Some("POST"));
    assert_eq!(other.refusal().0, 405);

    let asked = Answer::of(server.root.request(Method::POST, PATH)).await;
    let body = asked.json(200);
    assert_eq!(
        (&body["agrees"], &body["difference"]),
        (&json!(true), &json!(null))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_difference_is_told_and_who_comes_second_is_refused() {
    let server = TestServer::start("verify-differs").await;
    let (_, client) = server.account().await;
    let named = json!({"name": "all"});
    let list = client.post("/v1/contact-lists", &named).await.json(201)["id"].clone();
    let request = json!({"lists": [list], "template": "Hi"});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    let id = made["id"].as_str().expect("an id");
    // A chunk that the journal tells of and nobody has written.
    let campaign: CampaignId = id.parse().expect("an id");
    let frozen = Change::AudienceFrozen {
        campaign,
        chunk: 0,
        entries: 5,
        last: true,
    };
    let journal = &server.storage.journal;
    let committed = journal.commit(vec![(Partition(1), frozen)]).await;
    committed.expect("committed");
    let body = server.root.post(PATH, &json!({})).await.json(200);
    assert_eq!(
        (&body["agrees"], &body["campaigns"]),
        (&json!(false), &json!(1))
    );
    let subject = format!("{id} in partition 1");
    assert_eq!(
        body["difference"],
        json!({"subject": subject, "detail": "chunk 0 is not there"})
    );

    let together = (0..8).map(|_| Answer::of(server.root.request(Method::POST, PATH)));
    let answers = join_all(together).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!done.is_empty(), "the first is never refused");
    for answer in refused {
        let problem = (409, "verification_running".to_owned(), None);
        assert_eq!(answer.refusal(), problem);
    }
    server.stop().await;
}

#[test]
fn everything_agrees_at_any_moment_of_a_nodes_work() {
    let tasks = fixture::tasks();
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "verify-live");
    let sandbox = Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: (1..=PROVIDERS)
            .map(|index| fixture::sandbox_account(index, RATE))
            .collect(),
        book_folder: folder.join("book"),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts");
    let work = async {
        let node = start_node(&folder, &sandbox, &tasks).await;
        let data = folder.join("data");
        let user = User::sign_up(&data).await;
        let (csv, _) = fixture::contacts(RECIPIENTS);
        let campaign = user.launch(csv, "Hi {{ first_name }}").await;
        let is_over = Cell::new(false);
        let finish = async {
            user.finished(campaign).await;
            is_over.set(true);
        };
        let ((), singles, amid) = futures::join!(
            finish,
            send_singles(&data, &is_over),
            verify_again_and_again(&data, &is_over)
        );
        let root = RootKeyFile::read(&data).expect("the root key");
        let client = NodeClient::new(&root.url, root.key).expect("a client");
        let last = client.verify().await.expect("verified");
        assert_eq!(last.difference, None);
        assert_eq!(last.recipients, u64::from(RECIPIENTS));
        assert!(last.messages >= u64::from(RECIPIENTS), "{last:?}");
        assert!(singles > 0, "{singles} single messages");
        assert!(amid >= LEAST_AMID, "{amid} verifications amid the work");
        node.stop().await.expect("it stops");
    };
    fixture::on_system(work, &tasks);
    sandbox.shutdown().expect("the book is closed");
}

async fn start_node(
    folder: &Path,
    sandbox: &Sandbox,
    tasks: &tokio::runtime::Runtime,
) -> RunningNode {
    let mut settings = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n".to_owned();
    for index in 1..=PROVIDERS {
        settings.push_str("[[providers]]\n");
        settings.push_str(&fixture::provider_settings(sandbox.address(), index, RATE));
    }
    let file = folder.join("settings.toml");
    std::fs::write(&file, settings).expect("a file can be written");
    let data = folder.join("data").display().to_string();
    let environment = [("VOLLEY_NODE__DATA".to_owned(), data)];
    let settings = Settings::load(Some(&file), environment).expect("settings");
    let runtime = Runtime::of_machine(tasks.handle().clone());
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let node = start(&settings, &runtime, metrics, pending()).await;
    node.map_err(|error| error.to_string())
        .expect("the node starts")
}

/// Sends one message after the other until it is over, and tells how many.
async fn send_singles(data: &Path, is_over: &Cell<bool>) -> u32 {
    let root = RootKeyFile::read(data).expect("the root key");
    let administrator = NodeClient::new(&root.url, root.key).expect("a client");
    let account = administrator.create_account("singles").await;
    let account = account.expect("an account").id;
    let key = administrator.create_key(account, "singles").await;
    let key = Secret::new(key.expect("a key").secret);
    let client = NodeClient::new(&root.url, key).expect("a client");
    let mut sent = 0;
    while !is_over.get() {
        let to = format!("+1415{:07}", 3_000_000 + sent);
        let body = json!({"to": to, "body": "one", "class": "transactional"});
        let taken = client.post::<_, MessageBody>("/v1/messages", &body).await;
        taken.expect("it is taken");
        sent += 1;
    }
    sent
}

/// Verifies until it is over. Tells how often that was amid the work: with attempts open,
/// and some but not all of the campaign's messages there.
async fn verify_again_and_again(data: &Path, is_over: &Cell<bool>) -> u32 {
    let root = RootKeyFile::read(data).expect("the root key");
    let client = NodeClient::new(&root.url, root.key).expect("a client");
    let mut amid = 0;
    while !is_over.get() {
        let found = client.verify().await.expect("verified");
        assert_eq!(found.difference, None, "{found:?}");
        assert!(found.agrees);
        let under_way = 1..u64::from(RECIPIENTS);
        if found.open_attempts > 0 && under_way.contains(&found.messages) {
            amid += 1;
        }
    }
    amid
}
