//! STOP in mid-campaign, over sockets: a node, a provider that throttles, and people who say STOP
//! while texts to them are not begun, wait for another attempt, or are scheduled. The provider's
//! book has none to them afterwards.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use api::node::{RunningNode, start};
use engine::client::{NodeClient, RootKeyFile};
use engine::runtime::Runtime;
use engine::settings::Settings;
use metrics_exporter_prometheus::PrometheusBuilder;
use sandbox::book::{BOOK_FILE, Book, Record};
use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::http::messages::MessageBody;
use schemas::{CampaignId, MessageId, MessageStatus, Secret, UnixMicros};
use serde_json::json;
use tests::fixture;
use tests::person::say_stop;
use tests::user::User;

/// Recipients of the campaign.
const RECIPIENTS: u32 = 160;

/// Segments per second; with what is throttled the campaign takes some ten seconds.
const RATE: f64 = 60.0;

/// Of how many texts the provider says that they come too fast.
const THROTTLED: f64 = 0.35;

/// Messages of the campaign that must be there before people say STOP.
const BEGUN: usize = 50;

/// How many say STOP of each kind at most, and how many of them must not be late: what has begun
/// goes on.
const OF_EACH: (usize, usize) = (12, 4);

/// Seconds until scheduled texts are due, in mid-campaign.
const SCHEDULED_AFTER: i64 = 6;

/// Somebody who says STOP.
struct Person {
    number: String,
    /// Why the text to them has not left.
    kind: &'static str,
    /// When the STOP was answered, by the clock that node and provider have too.
    answered: UnixMicros,
    /// What became of the text.
    message: MessageBody,
}

#[test]
fn nobody_who_said_stop_gets_a_text() {
    let tasks = fixture::tasks();
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "stop");
    let book = folder.join("book");
    let sandbox = start_sandbox(&book);
    let work = async {
        let listen = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let url = format!("http://{}", listen.expect("a port"));
        let node = start_node(&folder, &sandbox, &url, &tasks).await;
        let people = stop_in_mid_campaign(&folder.join("data"), &url).await;
        node.stop().await.expect("it stops");
        people
    };
    let people = fixture::on_system(work, &tasks);
    sandbox.shutdown().expect("the book is closed");
    judge(&people, &book.join(BOOK_FILE));
}

async fn stop_in_mid_campaign(data: &Path, url: &str) -> Vec<Person> {
    let user = User::sign_up(data).await;
    let other = sign_up(data).await;
    let scheduled = schedule(&other).await;
    let (csv, names) = fixture::contacts(RECIPIENTS);
    let campaign = user.launch(csv, "Hi {{ first_name }}").await;
    let known = begun(&user, campaign).await;
    let not_begun = names.keys().filter(|number| !known.contains_key(*number));
    let is_retrying =
        |message: &&MessageBody| message.status == MessageStatus::Queued && message.attempts > 0;
    let retrying = known.values().filter(is_retrying);
    let retrying = retrying.map(|message| message.to.as_str().to_owned());
    let kinds: [(&str, Vec<String>); 3] = [
        ("retrying", retrying.collect()),
        ("not begun", not_begun.cloned().collect()),
        ("scheduled", scheduled.keys().cloned().collect()),
    ];
    let mut stopped = Vec::new();
    for (kind, numbers) in kinds {
        for number in numbers.into_iter().take(OF_EACH.0) {
            say_stop(url, &number).await;
            stopped.push((number, kind, now()));
        }
    }
    user.finished(campaign).await;
    let ids = user.messages(campaign).await;
    let ids: BTreeMap<String, MessageId> = ids
        .into_iter()
        .map(|message| (message.to.as_str().to_owned(), message.id))
        .collect();
    let mut people = Vec::new();
    for (number, kind, answered) in stopped {
        let message = match scheduled.get(&number) {
            Some(id) => ended(&other, *id).await,
            None => user.message(ids[&number]).await,
        };
        people.push(Person {
            number,
            kind,
            answered,
            message,
        });
    }
    people
}

/// A person is late if the text had begun before the STOP was answered and arrived after it.
fn judge(people: &[Person], book: &Path) {
    let mut arrived: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in Book::read(book).expect("the book can be read") {
        if let Record::Text(text) = record.expect("the book is whole") {
            let to = text.to.into_owned();
            arrived.entry(to).or_default().push(text.at);
        }
    }
    let mut in_time: BTreeMap<&str, usize> = BTreeMap::new();
    for person in people {
        let (kind, message) = (person.kind, &person.message);
        let timeline = message.timeline.iter().flatten();
        let begun = timeline.filter(|entry| entry.event == "attempt_begun");
        let begun: Vec<UnixMicros> = begun
            .map(|entry| UnixMicros::from_rfc3339(&entry.at).expect("a time"))
            .collect();
        let begun_after = begun.iter().filter(|at| **at > person.answered).count();
        assert_eq!(begun_after, 0, "{kind}: {:?}", message.timeline);
        let answered = person.answered.0.unsigned_abs();
        let texts = arrived.get(&person.number).into_iter().flatten();
        let after = texts.filter(|at| **at > answered).count();
        if after > 0 {
            // It had begun; one that had not is not in the book at all.
            assert_eq!((after, begun.is_empty()), (1, false), "{kind}");
            continue;
        }
        let is_over = message.status == MessageStatus::Skipped;
        // One that was taken just before is no skip.
        if is_over {
            assert_eq!(message.reason.as_deref(), Some("opted_out"), "{kind}");
            *in_time.entry(kind).or_default() += 1;
        }
    }
    for kind in ["not begun", "retrying", "scheduled"] {
        let count = in_time.get(kind).copied().unwrap_or(0);
        assert!(
            count >= OF_EACH.1,
            "{kind}: {in_time:?} of {}",
            people.len()
        );
    }
}

/// The campaign's messages by their recipients, once enough are there.
async fn begun(user: &User, campaign: CampaignId) -> BTreeMap<String, MessageBody> {
    loop {
        let messages = user.messages(campaign).await;
        if messages.len() >= BEGUN {
            let by_number = |message: MessageBody| (message.to.as_str().to_owned(), message);
            return messages.into_iter().map(by_number).collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Texts to people who are in no campaign, due while it runs, by their numbers.
async fn schedule(other: &NodeClient) -> BTreeMap<String, MessageId> {
    let mut scheduled = BTreeMap::new();
    for number in 0..OF_EACH.0 {
        let to = format!("+1415{:07}", 3_000_000 + number);
        let send_at = now().plus_micros(SCHEDULED_AFTER * 1_000_000).to_rfc3339();
        let body = json!({"to": to, "body": "soon", "class": "marketing", "send_at": send_at});
        let taken: MessageBody = other.post("/v1/messages", &body).await.expect("taken");
        scheduled.insert(to, taken.id);
    }
    scheduled
}

/// A scheduled text, once its time has come.
async fn ended(other: &NodeClient, id: MessageId) -> MessageBody {
    loop {
        let path = format!("/v1/messages/{id}");
        let message: MessageBody = other.get(&path).await.expect("an answer");
        let waits = [MessageStatus::Scheduled, MessageStatus::Queued];
        if !waits.contains(&message.status) {
            return message;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The clock of this machine.
fn now() -> UnixMicros {
    Runtime::of_machine(tokio::runtime::Handle::current()).now()
}

/// Another account, and a client with its key.
async fn sign_up(data: &Path) -> NodeClient {
    let root = RootKeyFile::read(data).expect("the root key");
    let administrator = NodeClient::new(&root.url, root.key).expect("a client");
    let account = administrator.create_account("other").await;
    let account = account.expect("an account").id;
    let key = administrator.create_key(account, "other").await;
    let key = Secret::new(key.expect("a key").secret);
    NodeClient::new(&root.url, key).expect("a client")
}

fn start_sandbox(book: &Path) -> Sandbox {
    let mut account = fixture::sandbox_account(1, RATE);
    account.faults = Some(FaultPlan {
        throttle_without_retry_after: THROTTLED,
        ..FaultPlan::none()
    });
    Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: vec![account],
        book_folder: book.to_owned(),
        seed: 1,
        faults: FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts")
}

async fn start_node(
    folder: &Path,
    sandbox: &Sandbox,
    url: &str,
    tasks: &tokio::runtime::Runtime,
) -> RunningNode {
    let listen = url.strip_prefix("http://").expect("a url");
    let provider = fixture::provider_settings(sandbox.address(), 1, RATE);
    let settings = format!(
        "[http]\nlisten = \"{listen}\"\npublic_url = \"{url}\"\nworkers = 2\n\
         [retry]\nattempts = 10\nfirst_delay_seconds = 3\n[[providers]]\n{provider}"
    );
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
