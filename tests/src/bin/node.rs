//! A node in a process of its own, for tests that kill it.
//!
//! `node FOLDER PARTITIONS SANDBOX RECIPIENTS RATE`: on a fresh folder it imports
//! contacts and starts a campaign, else it goes on with the one that is there. On
//! standard output it says `open N` (attempts that the process before it left open)
//! when it has started, and `finished` when the campaign is and the node has drained.

use std::net::SocketAddr;
use std::path::Path;

use tests::child::{PROVIDERS, TEMPLATE};
use tests::fixture::{self, TestNode};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, partitions, sandbox, recipients, rate] = arguments.as_slice() else {
        panic!("usage: node FOLDER PARTITIONS SANDBOX RECIPIENTS RATE");
    };
    let partitions = partitions.parse().expect("a number of partitions");
    let sandbox: SocketAddr = sandbox.parse().expect("an address");
    let recipients = recipients.parse().expect("a number of recipients");
    let rate = rate.parse().expect("segments per second");
    let tasks = fixture::tasks();
    fixture::on_system(
        async {
            let providers = (1..=PROVIDERS)
                .map(|index| fixture::provider(sandbox, index, rate))
                .collect();
            let mut node = TestNode::start(Path::new(folder), partitions, providers, &tasks).await;
            say(&format!("open {}", node.open_at_start));
            let (account, campaign) = match node.only_campaign().await {
                Some(found) => found,
                None => {
                    let account = node.account().await;
                    let (csv, _) = fixture::contacts(recipients);
                    let (list, _) = node.import(account, csv.as_bytes()).await;
                    (account, node.campaign(account, list, TEMPLATE).await)
                }
            };
            node.finished(account, campaign).await;
            node.node.drain().await.expect("the node drains");
            say("finished");
        },
        &tasks,
    );
}

/// Standard output is how this program answers its parent.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
