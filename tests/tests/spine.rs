//! The spine: contacts go in, texts come out at the sandbox, everybody once, and the
//! numbers agree with the sandbox's own book.

use std::collections::BTreeMap;

use sandbox::book::{BOOK_FILE, Book, Record};
use schemas::MessageStatus;
use tests::fixture::{self, TestNode};

#[test]
fn a_campaign_reaches_everybody_once() {
    let tasks = fixture::tasks();
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "spine");
    let book_folder = folder.join("book");
    let sandbox = sandbox::Sandbox::start(sandbox::SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: (1..=3)
            .map(|index| fixture::sandbox_account(index, 2_000.0))
            .collect(),
        book_folder: book_folder.clone(),
        seed: 1,
        faults: sandbox::FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts");
    let address = sandbox.address();
    let (csv, names) = fixture::contacts(3_000);
    let rebuilt = fixture::on_system(
        async {
            let providers = (1..=3)
                .map(|index| fixture::provider(address, index, 2_000.0))
                .collect();
            let mut node = TestNode::start(&folder, 8, providers, &tasks).await;
            let account = node.account().await;
            let (list, progress) = node.import(account, csv.as_bytes()).await;
            assert_eq!(
                (progress.contacts, progress.merged, progress.rejected),
                (3_000, 0, 0)
            );
            let campaign = node.campaign(account, list, "Hi {{ first_name }}").await;
            let tally = node.finished(account, campaign).await;
            assert!(tally.is_exact(), "{tally:?}");
            assert_eq!(tally.total_recipients, 3_000);
            assert_eq!(tally.pending(), 0);
            let reached = [
                MessageStatus::Accepted,
                MessageStatus::Sent,
                MessageStatus::Delivered,
                MessageStatus::Undelivered,
            ];
            let reached: u64 = reached.into_iter().map(|status| tally.count(status)).sum();
            assert_eq!(reached, 3_000, "{tally:?}");
            node.node.drain().await.expect("the node drains");
            node.storage
                .compare_with_rebuilt()
                .expect("the journal can be read")
        },
        &tasks,
    );
    sandbox.shutdown().expect("the book is closed");
    let rows = rebuilt.expect("the rebuilt projections are the stored ones");
    assert!(rows > 9_000, "contacts, members and messages: {rows}");
    let texts = taken(&book_folder.join(BOOK_FILE));
    assert_eq!(texts.len(), 3_000);
    for (phone, name) in names {
        assert_eq!(
            texts.get(&phone),
            Some(&vec![format!("Hi {name}")]),
            "{phone}"
        );
    }
}

fn taken(book: &std::path::Path) -> BTreeMap<String, Vec<String>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in Book::read(book).expect("the book can be read") {
        if let Record::Text(text) = record.expect("the book is whole")
            && text.took
        {
            texts
                .entry(text.to.into_owned())
                .or_default()
                .push(text.body.into_owned());
        }
    }
    texts
}
