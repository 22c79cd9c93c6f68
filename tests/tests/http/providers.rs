//! Orders to provider accounts: what operators may change while a node runs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, TestServer};

async fn order(server: &TestServer, body: &Value) -> Answer {
    let path = format!("/v1/providers/{}", server.provider);
    let request = server.root.request(Method::PATCH, &path).json(body);
    Answer::of(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_lowered_and_an_account_disabled_and_both_stay() {
    let server = TestServer::start("provider-orders").await;
    let (_, client) = server.account().await;
    let shown = |list: Value| list["data"][0].clone();
    let before = shown(client.get("/v1/providers").await.json(200));
    assert_eq!(
        (&before["rate"], &before["enabled"]),
        (&before["rate_limit"], &json!(true))
    );
    let slower = order(&server, &json!({"rate": 0.5})).await.json(200);
    assert_eq!(
        (&slower["rate"], &slower["enabled"]),
        (&json!(0.5), &json!(true))
    );
    let disabled = order(&server, &json!({"enabled": false})).await.json(200);
    assert_eq!(
        (&disabled["rate"], &disabled["enabled"]),
        (&json!(0.5), &json!(false))
    );
    assert_eq!(shown(client.get("/v1/providers").await.json(200)), disabled);
    let again = json!({"enabled": true, "rate": before["rate_limit"]});
    assert_eq!(order(&server, &again).await.json(200), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_is_refused_and_changes_nothing() {
    let server = TestServer::start("provider-refusals").await;
    let (_, client) = server.account().await;
    let before = client.get("/v1/providers").await.json(200);
    let limit = before["data"][0]["rate_limit"].as_f64().expect("a rate");
    for rate in [0.0, -1.0, 0.001, limit * 1.01] {
        let refusal = order(&server, &json!({"rate": rate})).await.refusal();
        assert_eq!(
            refusal,
            (422, "out_of_range".to_owned(), Some("/rate".to_owned()))
        );
    }
    for body in [
        json!({"rate": "fast"}),
        json!({"speed": 1}),
        json!({"enabled": 1}),
    ] {
        assert_eq!(order(&server, &body).await.status, 422, "{body}");
    }
    let path = format!("/v1/providers/{}", server.provider);
    let by_account = client.request(Method::PATCH, &path).json(&json!({}));
    assert_eq!(Answer::of(by_account).await.status, 403);
    let absent = "/v1/providers/prv_00000000000000000000000000000000";
    let absent = server.root.request(Method::PATCH, absent).json(&json!({}));
    assert_eq!(Answer::of(absent).await.status, 404);
    assert_eq!(client.get("/v1/providers").await.json(200), before);
    server.stop().await;
}
