//! Contacts files: durable as they came, then a job, then the node is told.

use engine::log::Topic;
use reqwest::Method;
use schemas::Partition;
use serde_json::{Value, json};

use crate::server::{Answer, Client, TestServer};

async fn upload(client: &Client, path: &str, body: Vec<u8>, key: Option<&str>) -> Answer {
    let mut request = client
        .request(Method::POST, path)
        .header("Content-Type", "text/csv");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    Answer::of(request.body(body)).await
}

async fn new_list(client: &Client) -> String {
    let list = client
        .post("/v1/contact-lists", &json!({"name": "all"}))
        .await
        .json(201);
    list["id"].as_str().expect("an id").to_owned()
}

fn files(server: &TestServer) -> Vec<String> {
    let entries = std::fs::read_dir(&server.imports).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    names.map(|name| name.expect("a name")).collect()
}

async fn told(server: &TestServer) -> usize {
    let records = server
        .storage
        .log
        .read(Topic::Control, Partition(0), 0, 100)
        .await;
    records.expect("records").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_a_job() {
    let server = TestServer::start("job").await;
    let (_, client) = server.account().await;
    let path = format!(
        "/v1/contact-lists/{}/imports?region=et&phone_column=tel",
        new_list(&client).await
    );
    // More than one write, and not UTF-8: judging the content is the job's business.
    let file: Vec<u8> = (0..700_000_u32).map(|byte| (byte % 251) as u8).collect();
    let job = upload(&client, &path, file.clone(), Some("once"))
        .await
        .json(202);
    let id = job["id"].as_str().expect("an id");
    assert_eq!(files(&server), [format!("{id}.csv")]);
    assert_eq!(
        std::fs::read(server.imports.join(format!("{id}.csv"))).expect("a file"),
        file
    );
    assert_eq!(told(&server).await, 1);

    let shown = client.get(&format!("/v1/jobs/{id}")).await.json(200);
    assert_eq!(shown, job);
    assert_eq!(
        (&shown["state"], &shown["total"]),
        (&json!("pending"), &json!(0))
    );
    let errors = client
        .get(shown["errors_url"].as_str().expect("a url"))
        .await;
    assert_eq!(
        (errors.status, errors.text.as_str()),
        (200, "line,column,reason\n")
    );

    let again = upload(&client, &path, file, Some("once")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(202), job);
    assert_eq!(files(&server).len(), 1);
    let other = upload(&client, &path, b"phone\n".to_vec(), Some("once"))
        .await
        .refusal();
    assert_eq!((other.0, other.1.as_str()), (422, "idempotency_key_reused"));
    assert_eq!(files(&server).len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_no_file() {
    let server = TestServer::start("no-file").await;
    let (_, client) = server.account().await;
    let path = format!("/v1/contact-lists/{}/imports", new_list(&client).await);
    let refused = async |query: &str, body: Vec<u8>| -> (u16, String) {
        let (status, code, _) = upload(&client, &format!("{path}{query}"), body, None)
            .await
            .refusal();
        (status, code)
    };
    let file = || b"phone\n+15005550006\n".to_vec();
    assert_eq!(refused("", Vec::new()).await, (422, "required".to_owned()));
    assert_eq!(
        refused("?region=XX", file()).await,
        (422, "invalid_value".to_owned())
    );
    assert_eq!(
        refused("?colunm=x", file()).await,
        (422, "unknown_parameter".to_owned())
    );
    let oversize = vec![b'1'; 1_024 * 1_024 + 1];
    assert_eq!(
        refused("", oversize).await,
        (413, "body_too_large".to_owned())
    );
    let absent = "/v1/contact-lists/lst_00000000000000000000000000000000/imports";
    assert_eq!(upload(&client, absent, file(), None).await.status, 404);
    assert_eq!(files(&server), Vec::<String>::new());
    assert_eq!(told(&server).await, 0);
    let job: Value = upload(&client, &path, file(), None).await.json(202);
    assert_eq!(job["kind"], "import_contacts");
    server.stop().await;
}
