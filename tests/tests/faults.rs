//! A provider that goes wrong in every way it can, on real sockets, and no way for
//! receipts to reach us: nobody gets two texts, and once everything has been asked for,
//! no message says anything that the provider's book does not.

use std::collections::BTreeMap;
use std::path::Path;

use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::campaign::CampaignTally;
use schemas::{AccountId, CampaignId, Message, MessageStatus};
use tests::fixture::{self, TestNode};
use tests::judge::{self, Verdict, Witness};
use tests::rows;

/// Each provider account's rate, segments per second; look-ups have a tenth of it.
const RATE: f64 = 2_000.0;

/// How many provider accounts there are.
const PROVIDERS: usize = 3;

/// How often a settled state is looked for, 20 ms apart: at least 90 seconds. Unknown messages
/// are searched for 3 and 15 seconds after their attempt.
const LOOKS: usize = 4_500;

#[test]
fn realistic_faults_leave_nothing_wrong() {
    let verdict = campaign("realistic", 2_000, FaultPlan::realistic(), 11);
    assert!(verdict.balances(), "{verdict:?}");
    assert_eq!(
        verdict.unknown_taken, 0,
        "every text can be found: {verdict:?}"
    );
}

#[test]
fn harsh_faults_leave_nothing_wrong() {
    // Each throttling answer silences an account for a second or more, so of these few
    // are enough.
    let faults = FaultPlan {
        throttle_with_retry_after: 0.004,
        throttle_without_retry_after: 0.004,
        ..FaultPlan::harsh()
    };
    let verdict = campaign("harsh", 2_000, faults, 12);
    assert!(verdict.balances(), "{verdict:?}");
    assert_eq!(
        verdict.unknown_taken, 0,
        "every text can be found: {verdict:?}"
    );
    assert!(
        verdict.unknown_never_taken > 0,
        "faults were injected: {verdict:?}"
    );
}

/// Runs a campaign against a faulty sandbox until nothing more can be learnt.
fn campaign(name: &str, recipients: u32, faults: FaultPlan, seed: u64) -> Verdict {
    let tasks = fixture::tasks();
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), &format!("faults-{name}"));
    let book = folder.join("book");
    let sandbox = start_sandbox(&book, faults, seed);
    let address = sandbox.address();
    let (csv, names) = fixture::contacts(recipients);
    let (tally, messages) = fixture::on_system(
        async {
            let providers = (1..=PROVIDERS)
                .map(|index| fixture::provider(address, index, RATE))
                .collect();
            let mut node = TestNode::start(&folder, 8, providers, &tasks).await;
            let account = node.account().await;
            let (list, _) = node.import(account, csv.as_bytes()).await;
            let campaign = node.campaign(account, list, "Hi {{ first_name }}").await;
            let tally = node.finished(account, campaign).await;
            assert_eq!(tally.pending(), 0, "{tally:?}");
            sandbox.flush_book();
            let settled = settled(&node, account, campaign, &book).await;
            node.node.drain().await.expect("the node drains");
            let rebuilt = node.storage.compare_with_rebuilt();
            let rebuilt = rebuilt.expect("the journal can be read");
            rebuilt.expect("the rebuilt projections are the stored ones");
            settled
        },
        &tasks,
    );
    sandbox.shutdown().expect("the book is closed");
    assert!(tally.is_exact(), "{tally:?}");
    assert_eq!(tally.total_recipients, u64::from(recipients));
    let body = |(phone, name): (String, String)| (phone, format!("Hi {name}"));
    let expected: BTreeMap<_, _> = names.into_iter().map(body).collect();
    let verdict = judge::judge(&Witness::read(&book), &messages, &expected, false);
    say(&format!("{name}: {verdict:?}, {:?}", tally.by_status));
    verdict
}

/// Waits until no message waits for a receipt and every unknown one is of a text that
/// the provider does not have.
async fn settled(
    node: &TestNode,
    account: AccountId,
    campaign: CampaignId,
    book: &Path,
) -> (CampaignTally, Vec<Message>) {
    let witness = Witness::read(book);
    let mut looks = 0;
    loop {
        let tally = node.tally(campaign).await;
        let messages = rows::messages(&node.storage.store, account, campaign).await;
        let open = messages.iter().filter(|message| {
            let is_taken = witness
                .recipients
                .get(message.envelope.to.as_str())
                .is_some_and(|recipient| !recipient.taken.is_empty());
            message.status.awaits_receipt()
                || (message.status == MessageStatus::Unknown && is_taken)
        });
        looks += 1;
        if open.count() == 0 || looks == LOOKS {
            return (tally, messages);
        }
        node.pause().await;
    }
}

fn start_sandbox(book: &Path, faults: FaultPlan, seed: u64) -> Sandbox {
    Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: (1..=PROVIDERS)
            .map(|index| fixture::sandbox_account(index, RATE))
            .collect(),
        book_folder: book.to_owned(),
        seed,
        faults,
        threads: 1,
    })
    .expect("the sandbox starts")
}

/// Figures that belong to the test's result.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
