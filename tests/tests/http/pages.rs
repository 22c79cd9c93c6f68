//! Listings: every row once, newest first, also while rows are added.

use std::collections::BTreeSet;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use schemas::{Body, Encoding, Envelope, MessageClass, MessageId, Phone};
use serde_json::{Value, json};

use crate::server::{Client, TestServer};

async fn send(client: &Client, number: usize) -> String {
    let request = json!({"to": format!("+2519{number:08}"), "body": "x", "class": "marketing"});
    let accepted = client.post("/v1/messages", &request).await.json(202);
    accepted["id"].as_str().expect("an id").to_owned()
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().expect("rows").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_sees_every_message_once_while_others_come() {
    let server = TestServer::start("walk").await;
    let (_, client) = server.account().await;
    let before: BTreeSet<String> = join_all((0..150).map(|number| send(&client, number)))
        .await
        .into_iter()
        .collect();
    assert_eq!(before.len(), 150);

    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = client
            .get(&format!("/v1/messages?limit=7{cursor}"))
            .await
            .json(200);
        seen.extend(ids(&page));
        pages += 1;
        send(&client, 1_000 + pages).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(
        seen.is_sorted_by(|newer, older| newer > older),
        "newest first, none twice"
    );
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fits_nothing_ends() {
    let server = TestServer::start("filter").await;
    let (_, client) = server.account().await;
    let (_, other) = server.account().await;
    let sent = send(&client, 1).await;
    send(&other, 2).await;
    for query in [
        "status=delivered",
        "since=2120-01-01T00:00:00Z",
        "until=2020-01-01T00:00:00Z",
    ] {
        let page = client.get(&format!("/v1/messages?{query}")).await.json(200);
        assert_eq!(page, json!({"data": [], "next_cursor": null}), "{query}");
    }
    let page = client
        .get("/v1/messages?since=2020-01-01T00:00:00Z&limit=10")
        .await
        .json(200);
    assert_eq!(ids(&page), [sent]);
    // A listing leaves timelines to the message itself.
    assert_eq!(page["data"][0].get("timeline"), None);
    server.stop().await;
}

/// A filter that fits nothing looks at 10,000 rows, then gives a cursor.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_looks_at_a_bounded_number_of_rows() {
    const ROWS: u64 = 10_050;
    let server = TestServer::start("bounded").await;
    let (account, client) = server.account().await;
    let runtime = engine::runtime::Runtime::of_machine(tokio::runtime::Handle::current());
    let accept = |number: u64| {
        let to = Phone::from_e164(format!("+2519{number:08}")).expect("a number");
        let now = runtime.now();
        let envelope = Envelope {
            account,
            id: MessageId::new(now, to.slice(), number.to_be_bytes()),
            campaign: None,
            contact: None,
            to,
            from: None,
            body: Body::new("x"),
            class: MessageClass::Marketing,
            provider: None,
            send_at: None,
            valid_until: now.plus_micros(60_000_000),
            encoding: Encoding::Gsm7,
            segments: 1,
            created_at: now,
        };
        server.storage.intake.accept(envelope, None)
    };
    let accepted = futures::stream::iter((0..ROWS).map(accept)).buffer_unordered(1_000);
    let accepted: Vec<_> = accepted.try_collect().await.expect("accepted");
    assert_eq!(accepted.len() as u64, ROWS);

    let first = client.get("/v1/messages?status=delivered").await.json(200);
    assert_eq!(first["data"], json!([]));
    let cursor = first["next_cursor"].as_str().expect("a cursor").to_owned();
    let second = client
        .get(&format!("/v1/messages?status=delivered&cursor={cursor}"))
        .await;
    assert_eq!(second.json(200), json!({"data": [], "next_cursor": null}));
    // Exactly the rest is behind the cursor.
    let rest = client
        .get(&format!("/v1/messages?limit=1000&cursor={cursor}"))
        .await
        .json(200);
    assert_eq!(ids(&rest).len(), 50);
    server.stop().await;
}
