//! From a folder to servers: a campaign begins on a node with a folder, which dies half-way with
//! attempts open, and ends on nodes with servers, to which everything was moved.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use schemas::topic::TopicMark;
use tests::backends::{cassandra, kafka};
use tests::child::{ChildNode, ChildSettings};
use tests::kill::figures::{Figures, Kind};
use tests::world::{Keeping, Plan, say};

use super::node::{machine, plan, started};

/// Recipients of the campaign.
const RECIPIENTS: u32 = 1_500;

#[test]
fn a_campaign_moves_from_a_folder_to_servers() {
    let _machine = machine();
    let servers = || Some((cassandra()?, kafka()?));
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
    say(&format!(
        "{} recipients, {} single texts, {} attempts cut off, {} unknown and never taken of {} \
         that may be",
        figures.recipients,
        figures.singles,
        figures.cut_off,
        figures.unknown_never_taken,
        figures.bound,
    ));
    assert!(figures.wrongs.is_empty(), "{:?}", figures.wrongs);
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
