//! Campaigns: written down, started once, and every node is told.

use engine::log::Topic;
use futures::future::join_all;
use schemas::Partition;
use schemas::campaign::ControlRecord;
use serde_json::{Value, json};

use crate::server::{Client, SENDER, TestServer};

async fn new_list(client: &Client) -> Value {
    client
        .post("/v1/contact-lists", &json!({"name": "all"}))
        .await
        .json(201)["id"]
        .clone()
}

async fn told(server: &TestServer) -> Vec<Vec<u8>> {
    let records = server
        .storage
        .log
        .read(Topic::Control, Partition(0), 0, 100)
        .await;
    records
        .expect("records")
        .into_iter()
        .map(|(_, payload)| payload)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_written_down_and_started() {
    let server = TestServer::start("campaign").await;
    let (account, client) = server.account().await;
    let lists = json!([new_list(&client).await]);
    let request = json!({"lists": lists, "template": "Hi {{ first_name }}", "from": SENDER});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    let id = made["id"].as_str().expect("an id");
    assert_eq!(
        (&made["state"], &made["class"]),
        (&json!("draft"), &json!("marketing"))
    );
    assert_eq!(
        (&made["validity_period"], &made["name"]),
        (&json!(36_000), &json!(id))
    );
    assert!(told(&server).await.is_empty());

    let path = format!("/v1/campaigns/{id}");
    let start = format!("{path}/start");
    let started = client.post_keyed(&start, "go", &json!({})).await.json(202);
    assert_eq!(
        (&started["state"], &started["still_counting"]),
        (&json!("running"), &json!(true))
    );
    let again = client.post_keyed(&start, "go", &json!({})).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(202)["started_at"], started["started_at"]);
    let refused = client.post(&start, &json!({})).await.problem();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (409, "campaign_state")
    );
    assert!(
        refused
            .detail
            .is_some_and(|detail| detail.contains("running") && detail.contains("draft"))
    );
    // A refused start does not become a start by being repeated under its key.
    for _ in 0..2 {
        assert_eq!(
            client.post_keyed(&start, "other", &json!({})).await.status,
            409
        );
    }
    assert_eq!(client.get(&path).await.json(200), started);

    let expected = rmp(&ControlRecord::CampaignChanged {
        account,
        campaign: id.parse().expect("an id"),
    });
    assert_eq!(told(&server).await, [expected.clone(), expected]);
    server.stop().await;
}

fn rmp(record: &ControlRecord) -> Vec<u8> {
    rmp_serde::to_vec_named(record).expect("a record")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_at_once_one_wins() {
    let server = TestServer::start("starts").await;
    let (_, client) = server.account().await;
    let request = json!({"lists": [new_list(&client).await], "template": "hi"});
    let made = client.post("/v1/campaigns", &request).await.json(201);
    let start = format!(
        "/v1/campaigns/{}/start",
        made["id"].as_str().expect("an id")
    );
    let nothing = json!({});
    let answers = join_all((0..16).map(|_| client.post(&start, &nothing))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 202).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 15);
    assert_eq!(told(&server).await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_of_a_campaign_is_judged() {
    let server = TestServer::start("campaign-fields").await;
    let (_, client) = server.account().await;
    let list = new_list(&client).await;
    let cases = [
        ("lists", json!(null), "required", "/lists"),
        ("lists", json!([]), "required", "/lists"),
        ("lists", json!("all"), "wrong_type", "/lists"),
        ("lists", json!([list, 7]), "wrong_type", "/lists"),
        ("lists", json!([list, "lst_7"]), "list_unknown", "/lists/1"),
        (
            "lists",
            json!(vec![list.clone(); 101]),
            "too_long",
            "/lists",
        ),
        ("template", json!(null), "required", "/template"),
        ("template", json!(""), "invalid_value", "/template"),
        (
            "template",
            json!("Hi {{ first_name"),
            "invalid_template",
            "/template",
        ),
        (
            "template",
            json!("Hi {% frob %}"),
            "invalid_template",
            "/template",
        ),
        ("class", json!("bulk"), "invalid_value", "/class"),
        ("from", json!("+15005550009"), "sender_unknown", "/from"),
        (
            "providers",
            json!(["prv_7"]),
            "provider_unknown",
            "/providers/0",
        ),
        ("rate", json!(0.001), "out_of_range", "/rate"),
        (
            "validity_period",
            json!(0),
            "out_of_range",
            "/validity_period",
        ),
        ("name", json!("a\nb"), "invalid_value", "/name"),
    ];
    for (field, value, code, pointer) in cases {
        let mut request = json!({"lists": [list], "template": "hi"});
        request[field] = value.clone();
        let refusal = client.post("/v1/campaigns", &request).await.refusal();
        assert_eq!(
            refusal,
            (422, code.to_owned(), Some(pointer.to_owned())),
            "{field} {value}"
        );
    }
    server.stop().await;
}
