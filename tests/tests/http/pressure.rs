//! What the doors do when more is asked of them than they take: whoever is refused was not taken
//! in, is told when to come back, and stops campaigns all the same.

use std::cell::RefCell;
use std::time::Duration;

use engine::store::MemoryKv;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{Answer, Client, TestServer};

/// A quarter of what a node keeps in reserve.
const NEARLY_FULL: u64 = 16 << 20;

/// An empty disk.
const PLENTY: u64 = 1 << 40;

fn text(number: u64) -> Value {
    let to = format!("+1415200{number:04}");
    json!({"to": to, "body": "hello", "class": "marketing"})
}

async fn messages(client: &Client) -> usize {
    let list = client.get("/v1/messages?limit=1000").await.json(200);
    list["data"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_so_and_nothing_is_taken() {
    let limits = [("KEY_REQUESTS_PER_SECOND", "5")];
    let server = TestServer::start_with("rates", &limits).await;
    let (account, client) = server.account().await;
    let (mut taken, mut refused) = (0, 0);
    for number in 0..30 {
        let answer = client.post("/v1/messages", &text(number)).await;
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"key\";q=5;w=1, \"account\";q=4000;w=1"));
        assert!(answer.header("ratelimit").is_some());
        if answer.status == 202 {
            taken += 1;
            continue;
        }
        assert_eq!(answer.refusal(), (429, "rate_limited".to_owned(), None));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("ratelimit"), Some("\"key\";r=0;t=1"));
        refused += 1;
    }
    assert!(
        taken >= 5 && refused > 0,
        "{taken} taken, {refused} refused"
    );
    // Another key of the account has a rate of its own, as has another account.
    let second = server.key_of(account).await;
    assert_eq!(messages(&second).await, taken);
    let (_, other) = server.account().await;
    assert_eq!(messages(&other).await, 0);
    // Whoever administers is not counted.
    for _ in 0..20 {
        let path = format!("/v1/accounts/{account}");
        let order = server.root.request(Method::PATCH, &path).json(&json!({}));
        assert_eq!(Answer::of(order).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_rate_for_all_its_keys() {
    let limits = [("ACCOUNT_REQUESTS_PER_SECOND", "4")];
    let server = TestServer::start_with("account-rates", &limits).await;
    let (account, first) = server.account().await;
    let second = server.key_of(account).await;
    let mut refused = 0;
    for _ in 0..10 {
        for client in [&first, &second] {
            let answer = client.get("/v1/providers").await;
            if answer.status == 429 {
                assert_eq!(answer.header("ratelimit"), Some("\"account\";r=0;t=1"));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    server.stop().await;
}

/// A text whose body does not come to its end.
async fn half_a_text(server: &TestServer, secret: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("a line");
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_taken_at_once_is_refused_and_a_stop_is_not() {
    let limits = [("REQUESTS_IN_FLIGHT", "3")];
    let server = TestServer::start_with("in-flight", &limits).await;
    let (account, client) = server.account().await;
    let path = new_campaign(&client).await;
    let secret = server.secret_of(account).await;
    let open = RefCell::new(Vec::new());
    // One that comes beside a whole text may be refused itself.
    let ask = async || {
        let half = half_a_text(&server, &secret).await;
        open.borrow_mut().push(half);
        client.post("/v1/messages", &text(1)).await
    };
    let refused = eventually(ask, 503).await;
    assert_eq!(refused.refusal(), (503, "unavailable".to_owned(), None));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(client.get("/livez").await.status, 200);
    let paused = client.post(&format!("{path}/pause"), &json!({})).await;
    // It is done; what it became is told from the store.
    assert_eq!(paused.json(200)["state"], "paused");
    // Whoever goes away makes room, and nothing of what was refused was taken.
    open.take();
    let before = messages(&client).await;
    let refused = client.post("/v1/messages", &text(2)).await.status == 503;
    eventually(async || client.post("/v1/messages", &text(3)).await, 202).await;
    assert_eq!(messages(&client).await, before + 2 - usize::from(refused));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_uploads_than_are_taken_at_once_are_refused() {
    let server = TestServer::start_with("uploads", &[("UPLOADS", "1")]).await;
    let (account, client) = server.account().await;
    let list = json!({"name": "people"});
    let list = client.post("/v1/contact-lists", &list).await.json(201);
    let list = list["id"].as_str().expect("an id");
    let path = format!("/v1/contact-lists/{list}/imports");
    let secret = server.secret_of(account).await;
    let mut stream = TcpStream::connect(server.address()).await.expect("a line");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: text/csv\r\nContent-Length: 1000\r\n\r\nphone\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    while std::fs::read_dir(&server.imports)
        .expect("a folder")
        .next()
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let upload = async || {
        let request = client.request(Method::POST, &path);
        Answer::of(request.body("phone\n+14152000001\n")).await
    };
    let refused = eventually(&upload, 503).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Texts have room of their own.
    assert_eq!(client.post("/v1/messages", &text(1)).await.status, 202);
    drop(stream);
    eventually(&upload, 202).await;
    server.stop().await;
}

/// Asks until the answer has this status: a line that was opened or closed is seen in a moment.
async fn eventually(ask: impl AsyncFn() -> Answer, status: u16) -> Answer {
    for _ in 0..200 {
        let answer = ask().await;
        if answer.status == status {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {status}");
}

async fn new_campaign(client: &Client) -> String {
    let list = json!({"name": "people"});
    let list = client.post("/v1/contact-lists", &list).await.json(201);
    let wanted = json!({"lists": [list["id"]], "template": "hello"});
    let campaign = client.post("/v1/campaigns", &wanted).await.json(201);
    let path = format!("/v1/campaigns/{}", campaign["id"].as_str().expect("an id"));
    let started = client.post(&format!("{path}/start"), &json!({})).await;
    assert_eq!(started.json(202)["state"], "running");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_taken_on_a_nearly_full_disk() {
    let disk = MemoryKv::new();
    let server = TestServer::start_over("full-disk", &disk).await;
    let (account, client) = server.account().await;
    let path = new_campaign(&client).await;
    disk.set_free_bytes(NEARLY_FULL);
    for refused in [
        client.post("/v1/messages", &text(1)).await,
        client
            .post("/v1/contact-lists", &json!({"name": "x"}))
            .await,
    ] {
        assert_eq!(refused.refusal(), (507, "disk_full".to_owned(), None));
    }
    for (command, state) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "canceled"),
    ] {
        if command == "cancel" {
            let slower = client.request(Method::PATCH, &path);
            let slower = Answer::of(slower.json(&json!({"rate": 1.0}))).await;
            assert_eq!(slower.json(200)["rate"], 1.0);
        }
        let command = format!("{path}/{command}");
        let answer = client.post_keyed(&command, &command, &json!({})).await;
        assert_eq!(answer.json(200)["state"], state);
        let again = client.post_keyed(&command, &command, &json!({})).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    for (path, order) in [
        (
            format!("/v1/providers/{}", server.provider),
            json!({"enabled": false}),
        ),
        (format!("/v1/accounts/{account}"), json!({"rate": 0.5})),
    ] {
        let request = server.root.request(Method::PATCH, &path).json(&order);
        assert_eq!(Answer::of(request).await.status, 200, "{path}");
    }
    disk.set_free_bytes(PLENTY);
    assert_eq!(client.post("/v1/messages", &text(2)).await.status, 202);
    assert_eq!(messages(&client).await, 1);
    server.stop().await;
}
