//! The document of the API and the page to try it, as the server has them.

use reqwest::Method;
use serde_json::Value;

use crate::server::{Answer, TestServer};

/// What the document has of each path.
fn paths(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().map(|(path, methods)| (path.as_str(), methods))
}

/// What a path takes is told by whoever asks it for what nobody takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_the_methods_that_the_server_allows() {
    let server = TestServer::start("document").await;
    let (_, client) = server.account().await;
    let document = server.client(None).get("/openapi.json").await.json(200);
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    assert!(paths(&document).count() > 20);
    for (path, methods) in paths(&document) {
        let place = path.replace("{id}", "any");
        let unheard_of = Method::from_bytes(b"PURGE").expect("a method");
        let answer = Answer::of(client.request(unheard_of, &place)).await;
        assert_eq!(answer.refusal().0, 405, "{path}");
        let mut allowed: Vec<String> = answer
            .header("allow")
            .expect("what is allowed")
            .split(", ")
            .map(str::to_lowercase)
            .collect();
        allowed.sort_unstable();
        let mut described: Vec<&String> = methods.as_object().expect("methods").keys().collect();
        described.sort_unstable();
        assert_eq!(described, allowed.iter().collect::<Vec<_>>(), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_and_asks_nobody_else() {
    let server = TestServer::start("docs").await;
    let nobody = server.client(None);
    let page = nobody.get("/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"));
    assert!(!policy.contains("http"), "{policy}");
    assert!(!page.text.contains("://"), "{}", page.text);
    let scripts: Vec<&str> = page
        .text
        .split("src=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(scripts, ["/docs/scalar.js", "/docs/page.js"]);
    for script in scripts {
        let request = nobody.request(Method::GET, script);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{script}");
        let media_type = &response.headers()["content-type"];
        assert_eq!(media_type, "text/javascript; charset=utf-8", "{script}");
        assert!(
            !response.bytes().await.expect("a body").is_empty(),
            "{script}"
        );
    }
    server.stop().await;
}
