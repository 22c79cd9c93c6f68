//! The `volley` binary as its users run it: exit codes, the first account and key,
//! signals, and what a kill leaves behind.

mod doctor;
mod metrics;
mod served;
mod store;
mod user;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};

use api::exit::Exit;
use engine::runtime::Runtime;
use engine::settings::Settings;
use engine::storage::{JournalSettings, Storage};
use rustix::process::Signal;
use schemas::campaign::{Campaign, CampaignState};
use schemas::change::Change;
use schemas::{AccountId, CampaignId, MessageClass, Partition};
use serde_json::json;

use served::{Folder, Served, first_key, given, post, refused, run, text, volley};

#[test]
fn the_first_account_and_key_are_made_with_and_without_a_node() {
    let folder = Folder::new("first");
    let data = folder.data();
    // Nobody serves: the folder is opened, and made.
    let account = given(&run(&["account", "create", "acme"], &data));
    assert!(account.starts_with("acc_"), "{account}");
    let key = given(&run(&["key", "create", &account], &data));
    assert_eq!(key.len(), "volley_".len() + 64);
    let absent = "acc_00000000000000000000000000000000";
    refused(
        &run(&["key", "create", absent], &data),
        Exit::Failure,
        "no account",
    );

    // A node serves: it is asked.
    let mut node = Served::start(&data);
    let second = given(&run(&["account", "create", "second"], &data));
    let second_key = given(&run(&["key", "create", &second, "--name", "ci"], &data));
    for key in [&key, &second_key] {
        let (status, _) = post(&node.url, key, &json!({}));
        assert_eq!(status, 422, "the key is known");
    }
    refused(
        &run(&["key", "create", absent], &data),
        Exit::Failure,
        "not_found",
    );
    refused(
        &run(&["serve", "--listen", "127.0.0.1:0"], &data),
        Exit::DataFolderInUse,
        "in use",
    );
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
    assert!(!data.join("root.key").exists());
}

/// A campaign whose journal tells of a chunk that nobody has written.
fn spoil(data: &Path) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio.block_on(async {
        let runtime = Runtime::of_machine(tokio.handle().clone());
        let settings = Settings::load(None, []).expect("settings");
        let journal = JournalSettings {
            partitions: settings.node.partitions,
            owners: schemas::PartitionCount::ONE,
            trim: true,
        };
        let storage = Storage::open(data, &runtime, journal).expect("storage");
        let campaign = Campaign {
            account: AccountId::from_bytes([1; 16]),
            id: CampaignId::from_bytes([2; 16]),
            name: "spoilt".to_owned(),
            lists: Vec::new(),
            template: "Hi".to_owned(),
            class: MessageClass::Marketing,
            from: None,
            providers: Vec::new(),
            rate_millionths: None,
            send_at: None,
            window: None,
            validity_seconds: 3_600,
            state: CampaignState::Draft,
            created_at: runtime.now(),
            started_at: None,
            finished_at: None,
            version: 0,
        };
        let frozen = Change::AudienceFrozen {
            campaign: campaign.id,
            chunk: 0,
            entries: 5,
            last: true,
        };
        storage.store.replace(campaign).await.expect("stored");
        let committed = storage.journal.commit(vec![(Partition(0), frozen)]).await;
        committed.expect("committed");
        let mut closed = storage.closed.clone();
        drop(storage);
        closed.wait().await;
    });
}

#[test]
fn a_folder_is_verified_with_and_without_a_node() {
    let folder = Folder::new("verify");
    let data = folder.data();
    let key = first_key(&data);
    let body = json!({"to": "+15005550006", "body": "hello", "class": "transactional"});
    let mut node = Served::start(&data);
    let (status, first) = post(&node.url, &key, &body);
    assert_eq!(status, 202, "{first}");
    let line = "everything agrees: 0 campaigns with 0 recipients, ";
    let live = given(&run(&["verify"], &data));
    assert!(live.starts_with(line), "{live}");

    // A node that cannot be asked, or that is not there, is no difference.
    let root = data.join("root.key");
    let whole = std::fs::read_to_string(&root).expect("the root key");
    std::fs::write(&root, "volley_wrong\n").expect("a file");
    refused(&run(&["verify"], &data), Exit::DataFolderInUse, "not whole");
    let wrong_key = format!("volley_wrong\n{}\n", node.url);
    std::fs::write(&root, wrong_key).expect("a file");
    let output = run(&["verify"], &data);
    refused(&output, Exit::DataFolderInUse, "unauthorized");
    let nobody = whole.replace(&node.url, "http://127.0.0.1:1");
    std::fs::write(&root, nobody).expect("a file");
    refused(&run(&["verify"], &data), Exit::Unreachable, "no answer");
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
    let still = given(&run(&["verify"], &data));
    assert!(still.starts_with(line), "{still}");

    spoil(&data);
    let differs = |output: Output| {
        assert_eq!(output.status.code(), Some(Exit::Failure as i32));
        text(&output.stdout)
    };
    let still = differs(run(&["verify"], &data));
    let mut node = Served::start(&data);
    assert_eq!(differs(run(&["verify"], &data)), still);
    let what = "partition 0: chunk 0 is not there";
    assert!(
        still.starts_with("does not agree: cmp_") && still.ends_with(what),
        "{still}"
    );
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
}

#[test]
fn an_empty_store_says_how_to_begin_and_both_signals_end_it_well() {
    let folder = Folder::new("greeting");
    for signal in [Signal::INT, Signal::TERM] {
        let mut node = Served::start(&folder.data());
        let greeting = &node.greeting;
        assert!(greeting.contains("volley account create"), "{greeting}");
        assert!(greeting.contains("volley key create"), "{greeting}");
        assert_eq!(node.signal(signal), Some(Exit::Success as i32));
    }
}

#[test]
fn a_key_used_before_a_kill_gives_the_same_message_after_it() {
    let folder = Folder::new("kill");
    let data = folder.data();
    let key = first_key(&data);
    let body = json!({"to": "+15005550006", "body": "hello", "class": "transactional"});
    let mut node = Served::start(&data);
    let (status, first) = post(&node.url, &key, &body);
    assert_eq!(status, 202, "{first}");
    assert_eq!(node.signal(Signal::KILL), None);

    let mut node = Served::start(&data);
    assert_eq!(post(&node.url, &key, &body), (202, first));
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
}

#[test]
fn each_refusal_has_an_exit_code_of_its_own() {
    let folder = Folder::new("refusals");
    let data = folder.data();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["serve", "--listen", &address], &data);
    refused(&output, Exit::AddressInUse, "`http.listen`");
    refused(
        &run(&["serve", "--listen", "here"], &data),
        Exit::Settings,
        "option --listen",
    );
    let unknown = volley(&["serve"])
        .env("VOLLEY_HTTP__LISEN", "x")
        .output()
        .expect("it runs");
    refused(&unknown, Exit::Settings, "did you mean `http.listen`?");
    refused(&run(&["serve", "--lisen"], &data), Exit::Usage, "--lisen");

    let foreign = folder.0.join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("thesis.txt"), "mine").expect("a file");
    let output = run(&["serve", "--listen", "127.0.0.1:0"], &foreign);
    refused(&output, Exit::DataFolder, "foreign");
    assert_eq!(std::fs::read_dir(&foreign).expect("a folder").count(), 1);
}

#[test]
fn the_sandbox_ends_when_its_standard_input_closes() {
    let folder = Folder::new("sandbox");
    let book = folder.0.join("book");
    let mut child = volley(&[
        "sandbox",
        "--account",
        "AC01:token:10:+15005550001",
        "--book",
    ])
    .arg(&book)
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .expect("it starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.starts_with("http://127.0.0.1:"), "{line}");
    drop(child.stdin.take());
    assert_eq!(
        child.wait().expect("it ends").code(),
        Some(Exit::Success as i32)
    );
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "");
    assert!(book.join("book.jsonl").exists());

    let nonsense = volley(&["sandbox", "--book", "x", "--account", "AC01:token"]).output();
    refused(
        &nonsense.expect("it runs"),
        Exit::Usage,
        "SID:TOKEN:RATE:SENDER",
    );
}
