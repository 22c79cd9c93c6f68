//! The same request twice makes one thing, also when both come at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Client, TestServer};

const TWINS: usize = 16;

/// Sends the same request many times at once: one body for all, and all but one say
/// that they are a repeat.
async fn one_of_twins(client: &Client, path: &str, body: &Value) -> Value {
    let answers = join_all((0..TWINS).map(|_| client.post_keyed(path, "twins", body))).await;
    let texts: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let fresh = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 201 | 202))
    );
    serde_json::from_str(&answers[0].text).expect("json")
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_make_one_message() {
    let server = TestServer::start("twins").await;
    let (_, client) = server.account().await;
    let request = json!({"to": "+15005550006", "body": "hello", "class": "transactional"});
    let message = one_of_twins(&client, "/v1/messages", &request).await;
    let listed = client.get("/v1/messages").await.json(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["data"][0]["id"], message["id"]);

    // The same words under the key of another account, and under another key, are
    // other requests.
    let (_, other) = server.account().await;
    let others = other
        .post_keyed("/v1/messages", "twins", &request)
        .await
        .json(202);
    assert_ne!(others["id"], message["id"]);
    let again = client
        .post_keyed("/v1/messages", "second", &request)
        .await
        .json(202);
    assert_ne!(again["id"], message["id"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_make_one_list_and_one_campaign() {
    let server = TestServer::start("twin-lists").await;
    let (_, client) = server.account().await;
    let list = one_of_twins(&client, "/v1/contact-lists", &json!({"name": "all"})).await;
    let request = json!({"lists": [list["id"]], "template": "hi"});
    // The key was used for the list: another path is another request.
    let reused = client
        .post_keyed("/v1/campaigns", "twins", &request)
        .await
        .refusal();
    assert_eq!(reused, (422, "idempotency_key_reused".to_owned(), None));
    let (_, second) = server.account().await;
    let list = second
        .post("/v1/contact-lists", &json!({"name": "all"}))
        .await
        .json(201);
    let request = json!({"lists": [list["id"]], "template": "hi"});
    one_of_twins(&second, "/v1/campaigns", &request).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_key_is_refused() {
    let server = TestServer::start("reused").await;
    let (_, client) = server.account().await;
    let request = json!({"to": "+15005550006", "body": "hello", "class": "transactional"});
    let first = client
        .post_keyed("/v1/messages", "key", &request)
        .await
        .json(202);
    let mut other = request.clone();
    other["body"] = json!("hallo");
    let refusal = client
        .post_keyed("/v1/messages", "key", &other)
        .await
        .refusal();
    assert_eq!(refusal, (422, "idempotency_key_reused".to_owned(), None));
    // What was refused leaves its key free.
    let bad = json!({"to": "x", "body": "hello", "class": "transactional"});
    assert_eq!(
        client
            .post_keyed("/v1/messages", "later", &bad)
            .await
            .status,
        422
    );
    assert_eq!(
        client
            .post_keyed("/v1/messages", "later", &request)
            .await
            .status,
        202
    );
    let listed = client.get("/v1/messages").await.json(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["data"][1]["id"], first["id"]);

    for key in ["", &"k".repeat(256), "tab\tinside"] {
        let refused = client
            .post_keyed("/v1/messages", key, &request)
            .await
            .refusal();
        assert_eq!((refused.0, refused.1.as_str()), (400, "invalid_header"));
    }
    let longest = client
        .post_keyed("/v1/messages", &"k".repeat(255), &request)
        .await;
    assert_eq!(longest.status, 202);
    let twice = client.request(Method::POST, "/v1/messages");
    let twice = twice
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "b")
        .json(&request);
    assert_eq!(Answer::of(twice).await.status, 400);
    server.stop().await;
}
