//! Who may come in, and the paths that everybody may ask for.

use reqwest::Method;
use serde_json::json;

use crate::server::{Answer, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_key_of_ours() {
    let server = TestServer::start("keys").await;
    let (_, known) = server.account().await;
    assert_eq!(known.get("/v1/providers").await.status, 200);
    for key in [None, Some(""), Some("volley_0000"), Some("sk_live_0000")] {
        let stranger = server.client(key);
        for path in ["/v1/providers", "/v1/messages", "/v1/nothing", "/v1"] {
            let answer = stranger.get(path).await;
            assert_eq!(
                answer.refusal(),
                (401, "unauthorized".to_owned(), None),
                "{path}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        // Before the body is looked at.
        let answer = stranger
            .post("/v1/messages", &json!("not even an object"))
            .await;
        assert_eq!(answer.status, 401);
    }
    let basic = server
        .client(None)
        .request(Method::GET, "/v1/providers")
        .basic_auth("a", Some("b"));
    assert_eq!(Answer::of(basic).await.status, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_administers_and_nothing_else() {
    let server = TestServer::start("root").await;
    let account = server
        .root
        .post("/v1/accounts", &json!({"name": " acme "}))
        .await
        .json(201);
    assert_eq!(account["name"], "acme");
    let id = account["id"].as_str().expect("an id");
    let keys = format!("/v1/accounts/{id}/keys");
    let key = server
        .root
        .post(&keys, &json!({"name": "ci"}))
        .await
        .json(201);
    let secret = key["secret"].as_str().expect("a secret");
    assert_eq!(secret.len(), "volley_".len() + 64);
    let client = server.client(Some(secret));
    assert_eq!(client.get("/v1/messages").await.status, 200);

    assert_eq!(
        client
            .post("/v1/accounts", &json!({"name": "x"}))
            .await
            .status,
        403
    );
    assert_eq!(client.post(&keys, &json!({})).await.status, 403);
    assert_eq!(server.root.get("/v1/messages").await.status, 403);
    let absent = "/v1/accounts/acc_00000000000000000000000000000000/keys";
    assert_eq!(server.root.post(absent, &json!({})).await.status, 404);
    for name in [
        json!({}),
        json!({"name": " "}),
        json!({"name": "x".repeat(201)}),
    ] {
        let refusal = server.root.post("/v1/accounts", &name).await.refusal();
        assert_eq!((refusal.0, refusal.2.as_deref()), (422, Some("/name")));
    }
    assert_eq!(account["weight"], 1);
    let heavy = json!({"name": "acme", "weight": 100});
    let heavy = server.root.post("/v1/accounts", &heavy).await.json(201);
    assert_eq!(heavy["weight"], 100);
    for weight in [0, 101] {
        let wanted = json!({"name": "acme", "weight": weight});
        let refusal = server.root.post("/v1/accounts", &wanted).await.refusal();
        assert_eq!((refusal.0, refusal.2.as_deref()), (422, Some("/weight")));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_request_ids_need_no_key() {
    let server = TestServer::start("health").await;
    let nobody = server.client(None);
    assert_eq!(nobody.get("/livez").await.json(200)["status"], "ok");
    assert_eq!(
        nobody.get("/readyz").await.json(200)["checks"]["store"],
        "ok"
    );
    let metrics = nobody.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|media| media.starts_with("text/plain"))
    );

    let named = nobody
        .request(Method::GET, "/nothing")
        .header("X-Request-Id", "from-outside-7");
    let answer = Answer::of(named).await;
    assert_eq!(answer.problem().request_id, "from-outside-7");
    assert_eq!(answer.refusal(), (404, "not_found".to_owned(), None));
    let too_long = "x".repeat(129);
    let named = nobody
        .request(Method::GET, "/livez")
        .header("X-Request-Id", &too_long);
    let given = Answer::of(named).await;
    assert!(
        given
            .header("x-request-id")
            .is_some_and(|id| id != too_long && id.len() == 36)
    );
    server.announce_stop();
    let not_ready = nobody.get("/readyz").await;
    assert_eq!(not_ready.refusal(), (503, "unavailable".to_owned(), None));
    assert_eq!(not_ready.header("retry-after"), Some("1"));
    assert_eq!(nobody.get("/livez").await.status, 200);
    server.stop().await;
}
