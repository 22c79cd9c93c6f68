//! Every route against every kind of bad input: a 4xx that says what and where, and
//! nothing is changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Client, TestServer};

const ABSENT: &str = "00000000000000000000000000000000";

fn good_message() -> Value {
    json!({"to": "+15005550006", "body": "hello", "class": "transactional"})
}

/// `good_message` with one field set to another value; null leaves it out.
fn message_with(field: &str, value: Value) -> Value {
    let mut message = good_message();
    message[field] = value;
    message
}

async fn raw(client: &Client, path: &str, media: &str, body: Vec<u8>) -> Answer {
    let request = client
        .request(Method::POST, path)
        .header("Content-Type", media);
    Answer::of(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_json_route_refuses_what_is_not_its_json() {
    let server = TestServer::start("not-json").await;
    let (account, client) = server.account().await;
    let keys = format!("/v1/accounts/{account}/keys");
    for (client, path) in [
        (&client, "/v1/messages"),
        (&client, "/v1/contact-lists"),
        (&client, "/v1/campaigns"),
        (&server.root, "/v1/accounts"),
        (&server.root, keys.as_str()),
    ] {
        let json = "application/json";
        let refused = async |media: &str, body: &[u8]| {
            let (status, code, _) = raw(client, path, media, body.to_vec()).await.refusal();
            (status, code)
        };
        for body in [&b"{"[..], b"", b"{} {}", b"\xff\xfe", b"{\"name\": nope}"] {
            assert_eq!(
                refused(json, body).await,
                (400, "invalid_json".to_owned()),
                "{path}"
            );
        }
        for body in [&b"[]"[..], b"7", b"\"text\"", b"null"] {
            assert_eq!(
                refused(json, body).await,
                (422, "wrong_type".to_owned()),
                "{path}"
            );
        }
        let unknown = raw(client, path, json, b"{\"nonsense\": 1}".to_vec()).await;
        let pointer = Some("/nonsense".to_owned());
        assert_eq!(
            unknown.refusal(),
            (422, "unknown_field".to_owned(), pointer),
            "{path}"
        );
        let long = format!("{{\"name\": \"{}\"}}", "x".repeat(17 * 1_024));
        assert_eq!(
            refused(json, long.as_bytes()).await,
            (413, "body_too_large".to_owned())
        );
        let unsupported = (415, "unsupported_media_type".to_owned());
        assert_eq!(refused("text/plain", b"{}").await, unsupported, "{path}");
        assert_eq!(
            refused("application/x-www-form-urlencoded", b"a=b").await,
            unsupported
        );
    }
    assert_eq!(
        client.get("/v1/messages").await.json(200)["data"],
        json!([])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_of_a_message_is_judged() {
    let server = TestServer::start("fields").await;
    let (_, client) = server.account().await;
    let cases = [
        ("to", json!(null), "required"),
        ("to", json!(15_005_550_006_u64), "wrong_type"),
        ("to", json!("15005550006"), "invalid_phone"),
        ("to", json!("+1 500 555 0006"), "invalid_phone"),
        ("to", json!("+0123456789"), "invalid_phone"),
        ("body", json!(null), "required"),
        ("body", json!(""), "invalid_value"),
        ("body", json!("x".repeat(1_601)), "too_long"),
        ("class", json!(null), "required"),
        ("class", json!("Marketing"), "invalid_value"),
        ("from", json!("+15005550009"), "sender_unknown"),
        ("from", json!(""), "sender_unknown"),
        (
            "provider",
            json!(format!("prv_{ABSENT}")),
            "provider_unknown",
        ),
        ("provider", json!("twilio"), "provider_unknown"),
        ("send_at", json!("2020-01-01T00:00:00Z"), "send_at_in_past"),
        ("send_at", json!("2120-01-01T00:00:00Z"), "send_at_too_far"),
        ("send_at", json!("tomorrow"), "invalid_value"),
        ("validity_period", json!(0), "out_of_range"),
        ("validity_period", json!(36_001), "out_of_range"),
        ("validity_period", json!(-1), "wrong_type"),
        ("validity_period", json!(1.5), "wrong_type"),
        ("validity_period", json!("60"), "wrong_type"),
    ];
    for (field, value, code) in cases {
        let answer = client
            .post("/v1/messages", &message_with(field, value.clone()))
            .await;
        let expected = (422, code.to_owned(), Some(format!("/{field}")));
        assert_eq!(answer.refusal(), expected, "{field} {value}");
    }
    // All that is wrong is told at once.
    let answer = client
        .post("/v1/messages", &json!({"to": "x", "class": "y"}))
        .await;
    assert_eq!(answer.problem().errors.len(), 3);
    assert_eq!(
        client.get("/v1/messages").await.json(200)["data"],
        json!([])
    );
    // The longest that is taken is taken.
    let longest = message_with("body", json!("x".repeat(1_600)));
    assert_eq!(client.post("/v1/messages", &longest).await.status, 202);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_methods_are_judged_too() {
    let server = TestServer::start("queries").await;
    let (_, client) = server.account().await;
    for (query, code, parameter) in [
        ("limit=0", "out_of_range", "limit"),
        ("limit=1001", "out_of_range", "limit"),
        ("limit=ten", "out_of_range", "limit"),
        ("cursor=zzz", "invalid_cursor", "cursor"),
        ("status=gone", "invalid_value", "status"),
        ("provider=twilio", "invalid_value", "provider"),
        ("campaign=msg_1", "invalid_value", "campaign"),
        ("since=yesterday", "invalid_value", "since"),
        ("page=2", "unknown_parameter", "page"),
        ("limit=1&limit=2", "invalid_value", "limit"),
    ] {
        let answer = client.get(&format!("/v1/messages?{query}")).await;
        let expected = (422, code.to_owned(), Some(parameter.to_owned()));
        assert_eq!(answer.refusal(), expected, "{query}");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/messages", "GET, POST"),
        (Method::PUT, "/v1/campaigns", "POST"),
        (Method::GET, "/v1/contact-lists", "POST"),
        (Method::POST, "/v1/providers", "GET"),
        (Method::POST, "/livez", "GET"),
        (Method::GET, "/v1/webhooks/prv_1/status", "POST"),
    ] {
        let answer = Answer::of(client.request(method, path)).await;
        assert_eq!(
            answer.refusal(),
            (405, "method_not_allowed".to_owned(), None),
            "{path}"
        );
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
    assert_eq!(client.get("/v1/nothing").await.refusal().0, 404);
    server.stop().await;
}

/// Nobody learns whether another account's thing exists.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_as_if_it_were_absent() {
    let server = TestServer::start("foreign").await;
    let (_, owner) = server.account().await;
    let (_, other) = server.account().await;
    let id_of = |body: Value| body["id"].as_str().expect("an id").to_owned();
    let message = id_of(owner.post("/v1/messages", &good_message()).await.json(202));
    let list = id_of(
        owner
            .post("/v1/contact-lists", &json!({"name": "all"}))
            .await
            .json(201),
    );
    let imports = format!("/v1/contact-lists/{list}/imports");
    let job = id_of(
        raw(&owner, &imports, "text/csv", b"phone\n".to_vec())
            .await
            .json(202),
    );
    let campaign = json!({"lists": [list], "template": "hi"});
    let campaign = id_of(owner.post("/v1/campaigns", &campaign).await.json(201));
    for (method, path) in [
        (Method::GET, format!("/v1/messages/{message}")),
        (Method::GET, format!("/v1/jobs/{job}")),
        (Method::GET, format!("/v1/jobs/{job}/errors")),
        (Method::GET, format!("/v1/campaigns/{campaign}")),
        (Method::POST, format!("/v1/campaigns/{campaign}/start")),
        (Method::POST, imports),
    ] {
        let told = async |path: &str| {
            let mut problem = Answer::of(other.request(method.clone(), path).body("phone\n"))
                .await
                .problem();
            problem.request_id = String::new();
            problem
        };
        let hexadecimal = path
            .rsplit('_')
            .next()
            .and_then(|rest| rest.get(..32))
            .expect("an id");
        let foreign = told(&path).await;
        assert_eq!(foreign.status, 404, "{path}");
        assert_eq!(
            foreign,
            told(&path.replace(hexadecimal, ABSENT)).await,
            "{path}"
        );
        assert_eq!(
            foreign,
            told(&path.replace(hexadecimal, "7")).await,
            "{path}"
        );
    }
    let listed = other
        .get(&format!("/v1/messages?campaign={campaign}"))
        .await
        .json(200);
    assert_eq!(listed["data"], json!([]));
    let stolen = json!({"lists": [list], "template": "hi"});
    let refusal = other.post("/v1/campaigns", &stolen).await.refusal();
    assert_eq!(
        refusal,
        (422, "list_unknown".to_owned(), Some("/lists/0".to_owned()))
    );
    assert_eq!(
        owner
            .get(&format!("/v1/campaigns/{campaign}"))
            .await
            .json(200)["state"],
        "draft"
    );
    server.stop().await;
}
