//! Limits and shares of accounts: what operators may change while a node runs.

use engine::log::Topic;
use reqwest::Method;
use schemas::Partition;
use schemas::account::Account;
use schemas::campaign::ControlRecord;
use serde_json::{Value, json};

use crate::server::{Answer, TestServer};

async fn change(server: &TestServer, id: &str, body: &Value) -> Answer {
    let path = format!("/v1/accounts/{id}");
    let request = server.root.request(Method::PATCH, &path).json(body);
    Answer::of(request).await
}

/// What every node was told of accounts.
async fn told(server: &TestServer) -> Vec<ControlRecord> {
    let control = server
        .storage
        .log
        .read(Topic::Control, Partition(0), 0, 100);
    let records = control.await.expect("the log");
    let records = records.iter();
    let records = records.map(|(_, payload)| rmp_serde::from_slice(payload).expect("a record"));
    records.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_and_a_share_are_changed_and_stay_and_nodes_are_told() {
    let server = TestServer::start("account-limits").await;
    let wanted = json!({"name": "acme", "rate": 12.5});
    let made = server.root.post("/v1/accounts", &wanted).await.json(201);
    assert_eq!((&made["rate"], &made["weight"]), (&json!(12.5), &json!(1)));
    let id = made["id"].as_str().expect("an id").to_owned();
    let account = id.parse().expect("an id");
    let slower = change(&server, &id, &json!({"rate": 0.5})).await.json(200);
    assert_eq!(
        (&slower["rate"], &slower["weight"]),
        (&json!(0.5), &json!(1))
    );
    let heavier = change(&server, &id, &json!({"weight": 7})).await.json(200);
    assert_eq!(
        (&heavier["rate"], &heavier["weight"]),
        (&json!(0.5), &json!(7))
    );
    let key = Account::key_of(account);
    let row = server.storage.store.get::<Account>(&key).await;
    let row = row.expect("the store").expect("the row");
    assert_eq!((row.rate(), row.weight), (Some(0.5), 7));
    let free = change(&server, &id, &json!({"rate": null})).await.json(200);
    assert_eq!((&free["rate"], &free["weight"]), (&Value::Null, &json!(7)));
    let changed = ControlRecord::AccountChanged { account };
    assert_eq!(told(&server).await, vec![changed; 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_is_refused_and_changes_nothing() {
    let server = TestServer::start("account-refusals").await;
    let (account, client) = server.account().await;
    let id = account.to_string();
    for (body, place) in [
        (json!({"rate": 0.0}), "/rate"),
        (json!({"rate": -1.0}), "/rate"),
        (json!({"rate": 1e9}), "/rate"),
        (json!({"weight": 0}), "/weight"),
        (json!({"weight": 101, "rate": 1.0}), "/weight"),
    ] {
        let refusal = change(&server, &id, &body).await.refusal();
        let expected = (422, "out_of_range".to_owned(), Some(place.to_owned()));
        assert_eq!(refusal, expected, "{body}");
    }
    for body in [json!({"rate": "fast"}), json!({"speed": 1}), json!([])] {
        assert_eq!(change(&server, &id, &body).await.status, 422, "{body}");
    }
    let wanted = json!({"name": "acme", "rate": 0.001});
    let refusal = server.root.post("/v1/accounts", &wanted).await.refusal();
    assert_eq!((refusal.0, refusal.2.as_deref()), (422, Some("/rate")));
    let path = format!("/v1/accounts/{id}");
    let by_account = client.request(Method::PATCH, &path).json(&json!({}));
    assert_eq!(Answer::of(by_account).await.status, 403);
    let absent = "acc_00000000000000000000000000000000";
    assert_eq!(change(&server, absent, &json!({})).await.status, 404);
    let key = Account::key_of(account);
    let row = server.storage.store.get::<Account>(&key).await;
    let row = row.expect("the store").expect("the row");
    assert_eq!((row.rate(), row.weight), (None, 1));
    assert!(told(&server).await.is_empty());
    server.stop().await;
}
