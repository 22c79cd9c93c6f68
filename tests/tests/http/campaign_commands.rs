//! Pausing, resuming and canceling: each in the states that allow it, once under a key,
//! and with the states named when it cannot be.

use serde_json::{Value, json};

use crate::server::{Client, TestServer};

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
            "draft or running or paused",
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
