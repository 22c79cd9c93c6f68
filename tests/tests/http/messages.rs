//! Single messages: accepted, found, shown.

use serde_json::json;

use crate::server::{SENDER, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_found_at_once() {
    let server = TestServer::start("found").await;
    let (_, client) = server.account().await;
    let request = json!({
        "to": "+251911234567", "from": SENDER, "body": "selam \u{20ac}", "class": "transactional",
        "provider": server.provider, "validity_period": 60,
    });
    let answer = client.post("/v1/messages", &request).await;
    let accepted = answer.json(202);
    let path = answer.header("location").expect("a location").to_owned();
    assert_eq!(
        path,
        format!("/v1/messages/{}", accepted["id"].as_str().expect("an id"))
    );

    let found = client.get(&path).await.json(200);
    for (field, value) in request.as_object().expect("an object") {
        if field != "validity_period" {
            assert_eq!(&found[field], value, "{field}");
        }
    }
    assert_eq!(found["status"], "queued");
    assert_eq!(
        (&found["encoding"], &found["segments"]),
        (&json!("gsm7"), &json!(1))
    );
    assert_eq!(found["timeline"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["timeline"][0]["event"], "created");
    let instant = |field: &str| {
        let text = found[field].as_str().expect("a time");
        schemas::UnixMicros::from_rfc3339(text).expect("RFC 3339")
    };
    assert_eq!(
        instant("valid_until").0 - instant("created_at").0,
        60_000_000
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_later_is_scheduled() {
    let server = TestServer::start("later").await;
    let (_, client) = server.account().await;
    let runtime = engine::runtime::Runtime::of_machine(tokio::runtime::Handle::current());
    let at = runtime.now().plus_micros(3_600_000_000).to_rfc3339();
    let request = json!({"to": "+251911234567", "body": "x", "class": "marketing", "send_at": at});
    let accepted = client.post("/v1/messages", &request).await.json(202);
    assert_eq!(
        (&accepted["status"], &accepted["send_at"]),
        (&json!("scheduled"), &json!(at))
    );
    let scheduled = client.get("/v1/messages?status=scheduled").await.json(200);
    assert_eq!(scheduled["data"][0]["id"], accepted["id"]);
    assert_eq!(
        client.get("/v1/messages?status=queued").await.json(200)["data"],
        json!([])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_listed_without_their_secrets() {
    let server = TestServer::start("providers").await;
    let (_, client) = server.account().await;
    let answer = client.get("/v1/providers").await;
    let body = answer.json(200);
    assert_eq!(body["data"][0]["id"], json!(server.provider));
    assert_eq!(body["data"][0]["senders"], json!([SENDER]));
    assert_eq!(
        (&body["data"][0]["rate"], &body["data"][0]["unit"]),
        (&json!(1.0), &json!("segments/s"))
    );
    assert!(!answer.text.contains(crate::server::AUTH_TOKEN));
    server.stop().await;
}
