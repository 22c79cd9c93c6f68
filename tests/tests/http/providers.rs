//! Orders to provider accounts: what operators may change while a node runs.

use engine::store::Replaced;
use reqwest::Method;
use schemas::UnixMicros;
use schemas::health::{HealthChange, HealthEvent, HealthState, ProviderHealth};
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

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_sees_how_each_account_does_and_nobody_else_does() {
    let server = TestServer::start("provider-health").await;
    let (_, client) = server.account().await;
    let path = format!("/v1/providers/{}", server.provider);
    let before = server.root.get(&path).await.json(200);
    assert_eq!(before["health"]["state"], "working");
    assert_eq!(before["health"]["rate"], before["rate"]);
    assert_eq!(before["health"]["changes"], json!([]));
    let provider = server.provider.parse().expect("an id");
    let mut health = ProviderHealth::unknown(provider, 500_000);
    health.state = HealthState::Resting;
    health.add((1..=2).map(|second| HealthChange {
        at: UnixMicros::from_seconds(second),
        event: if second == 1 {
            HealthEvent::Slowed
        } else {
            HealthEvent::Opened
        },
        cause: "throttled".to_owned(),
        rate_millionths: 500_000,
    }));
    let stored = server.storage.store.replace(health).await;
    assert!(matches!(stored, Ok(Replaced::Stored(_))));
    let shown = server.root.get(&path).await.json(200);
    let health = &shown["health"];
    assert_eq!(
        (&health["state"], &health["rate"]),
        (&json!("resting"), &json!(0.5))
    );
    let newest = &health["changes"][0];
    assert_eq!(newest["event"], "opened");
    assert_eq!(newest["at"], "1970-01-01T00:00:02.000000Z");
    assert_eq!(health["changes"][1]["cause"], "throttled");
    // An order that holds already is not exceeded by what was written down before it.
    order(&server, &json!({"rate": 0.25})).await.json(200);
    assert_eq!(
        server.root.get(&path).await.json(200)["health"]["rate"],
        0.25
    );
    let listed = server.root.get("/v1/providers").await.json(200);
    assert_eq!(listed["data"][0], server.root.get(&path).await.json(200));
    let for_accounts = client.get("/v1/providers").await.json(200);
    assert!(for_accounts["data"][0].get("health").is_none());
    assert_eq!(client.get(&path).await.status, 403);
    let absent = "/v1/providers/prv_00000000000000000000000000000000";
    assert_eq!(server.root.get(absent).await.status, 404);
    server.stop().await;
}
