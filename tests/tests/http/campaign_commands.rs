//! Pausing, resuming, canceling and changing: each in the states that allow it, once under a key,
//! and with the states named when it cannot be.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Client, TestServer};

async fn new_campaign(client: &Client) -> String {
    let list = json!({"name": "all"});
    let list = client.post("/v1/contact-lists", &list).await.json(201)["id"].clone();
    let request = json!({"lists": [list], "template": "hi"});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    format!("/v1/campaigns/{}", made["id"].as_str().expect("an id"))
}

async fn state_of(client: &Client, path: &str) -> Value {
    client.get(path).await.json(200)["state"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_paused_goes_on_and_is_canceled() {
    let server = TestServer::start("campaign-commands").await;
    let (_, client) = server.account().await;
    let path = new_campaign(&client).await;
    let nothing = json!({});
    let steps = [
        ("start", 202, "running"),
        ("pause", 200, "paused"),
        ("resume", 200, "running"),
        ("pause", 200, "paused"),
        ("cancel", 200, "canceled"),
    ];
    for (command, status, state) in steps {
        let answer = client.post(&format!("{path}/{command}"), &nothing).await;
        assert_eq!(answer.json(status)["state"], json!(state), "{command}");
        assert_eq!(state_of(&client, &path).await, json!(state));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_names_the_states_that_allow_it() {
    let server = TestServer::start("campaign-refusals").await;
    let (_, client) = server.account().await;
    let nothing = json!({});
    let cases = [
        (vec![], "pause", "running"),
        (vec![], "resume", "paused"),
        (vec!["start"], "resume", "paused"),
        (vec!["start", "pause"], "pause", "running"),
        (vec!["start", "cancel"], "pause", "running"),
        (vec!["start", "cancel"], "resume", "paused"),
        (
            vec!["start", "cancel"],
            "cancel",
            "draft or scheduled or running or paused",
        ),
        (vec!["cancel"], "start", "draft"),
    ];
    for (before, command, allowed) in cases {
        let path = new_campaign(&client).await;
        for step in &before {
            let done = client.post(&format!("{path}/{step}"), &nothing).await;
            assert!(done.status < 300, "{step}: {}", done.status);
        }
        let refused = client.post(&format!("{path}/{command}"), &nothing).await;
        let problem = refused.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (409, "campaign_state"),
            "{before:?}, {command}"
        );
        let detail = problem.detail.expect("a detail");
        assert!(detail.ends_with(allowed), "{detail}");
    }
    server.stop().await;
}

/// A client that heard no answer asks again, and somebody else may have gone on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_is_not_done_again() {
    let server = TestServer::start("campaign-repeats").await;
    let (_, client) = server.account().await;
    let path = new_campaign(&client).await;
    let nothing = json!({});
    client.post(&format!("{path}/start"), &nothing).await;
    let pause = format!("{path}/pause");
    let first = client.post_keyed(&pause, "stop", &nothing).await;
    assert_eq!(first.json(200)["state"], json!("paused"));
    client.post(&format!("{path}/resume"), &nothing).await;
    let again = client.post_keyed(&pause, "stop", &nothing).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(200)["state"], json!("running"));
    server.stop().await;
}

async fn change(client: &Client, path: &str, body: &Value) -> Answer {
    Answer::of(client.request(Method::PATCH, path).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_slowed_down_sent_elsewhere_and_let_go_again() {
    let server = TestServer::start("campaign-changes").await;
    let (_, client) = server.account().await;
    let path = new_campaign(&client).await;
    let drafted = client.get(&path).await.json(200);
    assert_eq!(
        (&drafted["rate"], &drafted["providers"]),
        (&json!(null), &json!([]))
    );
    let provider = server.provider.to_string();
    let slow = json!({"rate": 12.5, "providers": [provider, provider]});
    let slowed = change(&client, &path, &slow).await.json(200);
    assert_eq!(
        (&slowed["rate"], &slowed["providers"], &slowed["name"]),
        (&json!(12.5), &json!([provider]), &drafted["name"])
    );
    client
        .post(&format!("{path}/start"), &json!({}))
        .await
        .json(202);
    let renamed = change(&client, &path, &json!({"name": "Spring"}))
        .await
        .json(200);
    assert_eq!(
        (&renamed["rate"], &renamed["providers"], &renamed["name"]),
        (&json!(12.5), &json!([provider]), &json!("Spring"))
    );
    let free = json!({"rate": null, "providers": []});
    let freed = change(&client, &path, &free).await.json(200);
    assert_eq!(
        (&freed["rate"], &freed["providers"]),
        (&json!(null), &json!([]))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_is_refused_and_changes_nothing() {
    let server = TestServer::start("campaign-change-refusals").await;
    let (_, client) = server.account().await;
    let path = new_campaign(&client).await;
    let before = client.get(&path).await.json(200);
    let unknown = "prv_00000000000000000000000000000000";
    let cases = [
        (json!({"rate": 0}), "out_of_range", "/rate"),
        (json!({"rate": 2e6}), "out_of_range", "/rate"),
        (json!({"name": " "}), "invalid_value", "/name"),
        (
            json!({"providers": [unknown]}),
            "provider_unknown",
            "/providers/0",
        ),
        (json!({"rate": "fast"}), "wrong_type", "/rate"),
        (json!({"template": "other"}), "unknown_field", "/template"),
    ];
    for (body, code, field) in cases {
        let refusal = change(&client, &path, &body).await.refusal();
        let expected = (422, code.to_owned(), Some(field.to_owned()));
        assert_eq!(refusal, expected, "{body}");
    }
    assert_eq!(client.get(&path).await.json(200), before);
    client
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .json(200);
    let late = change(&client, &path, &json!({"rate": 1.0})).await;
    assert_eq!(late.problem().code, "campaign_state");
    server.stop().await;
}
