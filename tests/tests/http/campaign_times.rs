//! When a campaign begins, and between which hours it is sent.

use reqwest::Method;
use schemas::UnixMicros;
use serde_json::{Value, json};

use crate::server::{Answer, Client, TestServer};

const HOUR: i64 = 3_600_000_000;

fn in_hours(hours: i64) -> Value {
    json!(now().plus_micros(hours * HOUR).to_rfc3339())
}

fn now() -> UnixMicros {
    engine::runtime::Runtime::of_machine(tokio::runtime::Handle::current()).now()
}

async fn new_list(client: &Client) -> Value {
    let list = json!({"name": "all"});
    client.post("/v1/contact-lists", &list).await.json(201)["id"].clone()
}

async fn change(client: &Client, path: &str, body: &Value) -> Answer {
    Answer::of(client.request(Method::PATCH, path).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_waits_for_its_time_and_is_given_another() {
    let server = TestServer::start("campaign-times").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let request = json!({"lists": [list], "template": "hi", "send_at": in_hours(2)});
    let drafted = client.post("/v1/campaigns", &request).await.json(201);
    assert_eq!(drafted["state"], json!("draft"));
    let path = format!("/v1/campaigns/{}", drafted["id"].as_str().expect("an id"));
    let start = format!("{path}/start");
    let started = client.post(&start, &json!({})).await.json(202);
    assert_eq!(
        (
            &started["state"],
            &started["started_at"],
            &started["send_at"]
        ),
        (&json!("scheduled"), &json!(null), &drafted["send_at"])
    );
    let again = client.post(&start, &json!({})).await.problem();
    assert_eq!(again.code, "campaign_state");
    let paused = client.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!(paused.problem().code, "campaign_state");
    let later = json!({"send_at": in_hours(3)});
    let moved = change(&client, &path, &later).await.json(200);
    assert_ne!(moved["send_at"], drafted["send_at"]);
    let passed = change(&client, &path, &json!({"send_at": in_hours(-1)})).await;
    assert_eq!(passed.refusal().1, "send_at_in_past");
    let freed = change(&client, &path, &json!({"send_at": null})).await;
    assert_eq!(freed.json(200)["send_at"], json!(null));
    server.stop().await;
}

/// Whoever let its time pass may not want it sent in the night that it is by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_whose_time_has_passed_does_not_start() {
    let server = TestServer::start("campaign-passed").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let send_at = now().plus_micros(HOUR / 7_200);
    let request = json!({"lists": [list], "template": "hi", "send_at": send_at.to_rfc3339()});
    let drafted = client.post("/v1/campaigns", &request).await.json(201);
    let path = format!("/v1/campaigns/{}", drafted["id"].as_str().expect("an id"));
    while now() <= send_at {
        tokio::task::yield_now().await;
    }
    let start = format!("{path}/start");
    let refused = client.post(&start, &json!({})).await.refusal();
    assert_eq!(
        refused,
        (
            422,
            "send_at_in_past".to_owned(),
            Some("/send_at".to_owned())
        )
    );
    change(&client, &path, &json!({"send_at": null}))
        .await
        .json(200);
    let started = client.post(&start, &json!({})).await.json(202);
    assert_eq!(started["state"], json!("running"));
    let late = change(&client, &path, &json!({"send_at": in_hours(1)})).await;
    assert_eq!(late.problem().code, "campaign_state");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_waits_is_withdrawn() {
    let server = TestServer::start("campaign-withdrawn").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let request = json!({"lists": [list], "template": "hi", "send_at": in_hours(2)});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    let path = format!("/v1/campaigns/{}", made["id"].as_str().expect("an id"));
    let nothing = json!({});
    client
        .post(&format!("{path}/start"), &nothing)
        .await
        .json(202);
    let canceled = client.post(&format!("{path}/cancel"), &nothing).await;
    let canceled = canceled.json(200);
    assert_eq!(canceled["state"], json!("canceled"));
    assert_ne!(canceled["finished_at"], json!(null));
    assert_eq!(canceled["still_counting"], json!(false));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_kept_with_the_campaign_and_lets_it_take_days() {
    let server = TestServer::start("campaign-windows").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let window = json!({"from": "09:00", "until": "20:00", "time_zone": "Europe/Berlin"});
    let request = json!({"lists": [list], "template": "hi", "window": window});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    assert_eq!(
        (&made["window"], &made["validity_period"]),
        (&window, &json!(259_200))
    );
    let path = format!("/v1/campaigns/{}", made["id"].as_str().expect("an id"));
    let night = json!({"from": "20:30", "until": "24:00", "time_zone": "Asia/Tokyo"});
    let changed = change(&client, &path, &json!({"window": night})).await;
    assert_eq!(changed.json(200)["window"], night);
    let freed = change(&client, &path, &json!({"window": null})).await;
    assert_eq!(freed.json(200)["window"], json!(null));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_cannot_be_is_refused() {
    let server = TestServer::start("campaign-time-refusals").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let window = |from: &str, until: &str, time_zone: &str| json!({"window": {"from": from, "until": until, "time_zone": time_zone}});
    let cases = [
        (
            json!({"send_at": in_hours(-1)}),
            "send_at_in_past",
            "/send_at",
        ),
        (
            json!({"send_at": in_hours(9_000)}),
            "send_at_too_far",
            "/send_at",
        ),
        (json!({"send_at": "tomorrow"}), "invalid_value", "/send_at"),
        (
            json!({"validity_period": 1_209_601}),
            "out_of_range",
            "/validity_period",
        ),
        (
            json!({"window": {"from": "09:00"}}),
            "wrong_type",
            "/window",
        ),
        (
            window("9:00", "20:00", "Etc/UTC"),
            "invalid_value",
            "/window/from",
        ),
        (
            window("24:00", "20:00", "Etc/UTC"),
            "invalid_value",
            "/window/from",
        ),
        (
            window("09:00", "20:60", "Etc/UTC"),
            "invalid_value",
            "/window/until",
        ),
        (
            window("09:00", "24:01", "Etc/UTC"),
            "invalid_value",
            "/window/until",
        ),
        (
            window("09:00", "09:00", "Etc/UTC"),
            "invalid_value",
            "/window/until",
        ),
        (
            window("09:00", "20:00", "Berlin"),
            "invalid_value",
            "/window/time_zone",
        ),
    ];
    for (field, code, pointer) in cases {
        let mut request = json!({"lists": [list], "template": "hi"});
        for (name, value) in field.as_object().expect("an object") {
            request[name] = value.clone();
        }
        let refusal = client.post("/v1/campaigns", &request).await.refusal();
        let expected = (422, code.to_owned(), Some(pointer.to_owned()));
        assert_eq!(refusal, expected, "{field}");
    }
    server.stop().await;
}
