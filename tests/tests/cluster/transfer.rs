//! From a folder to servers: a campaign begins on a node with a folder, which dies half-way with
//! attempts open, and ends on nodes with servers, to which everything was moved.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use engine::log::Topic;
use engine::runtime::Runtime;
use engine::storage::{Servers, Storage};
use engine::transfer;
use schemas::change::Change;
use schemas::position::{CommittedPosition, SourceId};
use schemas::topic::TopicMark;
use schemas::{MessageClass, Partition, PartitionCount};
use tests::backends::ground::Ground;
use tests::backends::servers;
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::kill::figures::{Figures, Kind};
use tests::world::{Keeping, Plan, say};

use super::node::{machine, plan, started, told};

/// Partitions of a folder.
const PARTITIONS: u16 = 8;

/// Recipients of the campaign.
const RECIPIENTS: u32 = 1_500;

#[test]
fn a_campaign_moves_from_a_folder_to_servers() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, ground, _) = plan(cassandra, kafka, "moved");
    let keeping = Keeping::UntilMoved;
    let mut running = started(Plan { keeping, ..plan }, RECIPIENTS);
    let half = running.world.taken() + u64::from(RECIPIENTS / 2);
    running.wait("half of the campaign", |running| {
        running.world.taken() >= half
    });
    assert!(running.wait_for_texts(), "the campaign is not over yet");
    let mut figures = Figures::default();
    running.kill(Kind::KillSending, &mut figures);
    let kept = running.world.settings.keep_address();

    let file = running.world.settings.folder.join("moved.volley");
    let name = file.to_str().expect("text");
    let exported = running.world.settings.given(&["store", "export", name]);
    say(&exported);
    let exists = running.world.settings.command(&["store", "export", name]);
    must_fail(&exists, "is there already");
    let before = running.world.stored();

    running.world.move_to(&ground);
    let settings = &running.world.settings;
    refuse_what_does_not_fit(settings, &file);
    let store = running
        .world
        .tasks
        .block_on(ground.store(&running.world.runtime));
    break_off(settings, name, || {
        let mark = TopicMark::key_of("moved.import");
        let row = running.world.tasks.block_on(store.get::<TopicMark>(&mark));
        row.expect("the store works").is_some()
    });
    drop(kept);
    let mut node = ChildNode::spawn(settings);
    let ended = node.ended_before(|| false).expect("it ends");
    assert!(!ended.success() && settings.last_words().contains("not finished"));

    let kept = settings.keep_address();
    let imported = settings.given(&["store", "import", name]);
    assert_eq!(imported.replace("imported ", "exported "), exported);
    let again = settings.command(&["store", "import", name]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        again.status.success() && said.contains("nothing was done"),
        "{said}"
    );
    let after = running.world.stored();
    assert_eq!(after.tally, before.tally);
    assert_eq!(after.messages, before.messages);

    drop(kept);
    running.restart();
    running.finish(false, &mut figures);
    told(&figures);
}

/// Of a work log what was not read moves, and its position with it: in a folder that was read
/// far, and in one of which nothing was committed yet.
#[test]
fn work_that_was_not_read_moves_in_its_order() {
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "moved-work");
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    let lane = Topic::Work(MessageClass::Marketing);
    let (read, partition) = (700, Partition(3));
    let payload = |number: usize| format!("work {number}").into_bytes();
    tasks.block_on(async {
        let storage = fixture::open_storage(&folder, PARTITIONS, &runtime);
        let log = &storage.log;
        for part in 0..5 {
            let payloads = (part * 500..(part + 1) * 500).map(payload).collect();
            log.append(lane, partition, payloads)
                .await
                .expect("it is appended");
        }
        let advanced = Change::Advanced {
            source: SourceId::Work(MessageClass::Marketing),
            position: read,
        };
        let done = storage.journal.commit(vec![(partition, advanced)]).await;
        done.expect("it is committed");
        log.trim(lane, partition, read / 2)
            .await
            .expect("it is trimmed");
        close(storage).await;
    });
    let file = folder.join("moved.volley");
    let partitions = PartitionCount::new(PARTITIONS).expect("a power of two");
    let exported = transfer::export(&folder.join("data"), &file, PartitionCount::ONE);
    assert_eq!(exported.expect("an export").get("work"), Some(&1_800));

    let ground = tasks.block_on(Ground::make(cassandra, kafka, "moved_work", &runtime));
    let servers = Servers {
        cql: ground.cql.clone(),
        kafka: ground.kafka.clone(),
    };
    let import =
        |file: &Path| tasks.block_on(transfer::import(&servers, file, partitions, &runtime));
    assert!(!import(&file).expect("it is imported").was_done);
    assert!(import(&file).expect("it was imported").was_done);
    tasks.block_on(async {
        let store = ground.store(&runtime).await;
        let log = ground
            .log(&store, partitions, &runtime)
            .await
            .expect("logs");
        let found = log.read(lane, partition, 0, 10_000).await.expect("records");
        let expected = (700..2_500).map(payload);
        let expected: Vec<_> = (0..).zip(expected).collect();
        assert!(found == expected, "{} records", found.len());
        let key = CommittedPosition::key_of(partition, &SourceId::Work(MessageClass::Marketing));
        let row = store
            .get::<CommittedPosition>(&key)
            .await
            .expect("the store works");
        assert_eq!(row.expect("a position").position, 0);
    });

    // Another folder, of which nobody has committed anything, does not go on top of it.
    let other = folder.join("other");
    tasks.block_on(close(fixture::open_storage(&other, PARTITIONS, &runtime)));
    let file = other.join("moved.volley");
    let exported = transfer::export(&other.join("data"), &file, partitions);
    assert!(exported.expect("an export").is_empty());
    let refused = import(&file).expect_err("it is refused").to_string();
    assert!(refused.contains("not empty"), "{refused}");
}

/// Lets go of a folder.
async fn close(storage: Storage) {
    let mut closed = storage.closed.clone();
    drop(storage);
    closed.wait().await;
}

/// A file that is not whole, and settings with other partitions, are refused before anything is
/// written.
fn refuse_what_does_not_fit(settings: &ChildSettings, file: &Path) {
    let mut bytes = fs::read(file).expect("a file can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = file.with_extension("damaged");
    fs::write(&damaged, bytes).expect("a file can be written");
    let name = damaged.to_str().expect("text");
    must_fail(&settings.command(&["store", "import", name]), "is damaged");
    let other = settings.twin("other");
    let text = fs::read_to_string(other.folder.join("settings.toml")).expect("a file");
    let text = text.replace("partitions = 8", "partitions = 16");
    fs::write(other.folder.join("settings.toml"), text).expect("a file can be written");
    let name = file.to_str().expect("text");
    let refused = other.command(&["store", "import", name]);
    must_fail(&refused, "set node.partitions = 8");
}

/// Begins an import and kills it as soon as it has begun.
fn break_off(settings: &ChildSettings, file: &str, mut has_begun: impl FnMut() -> bool) {
    let mut import = Command::new(&settings.program)
        .env_clear()
        .args(["store", "import", file, "--config"])
        .arg(settings.folder.join("settings.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    while !has_begun() {
        let ended = import.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
    }
    import.kill().expect("a child can be killed");
    import.wait().expect("a child can be waited for");
}

fn must_fail(output: &std::process::Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(word), "{said}");
}
