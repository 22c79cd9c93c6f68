//! Receipts: only from the provider itself, and answered only when they are kept.

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use sha1::Sha1;

use crate::server::{AUTH_TOKEN, Answer, PUBLIC_URL, TestServer};

/// Twilio's signature of a form: the URL, then each name and value in the order of the
/// names, under the account's token.
fn signature(path: &str, form: &[(&str, &str)]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(AUTH_TOKEN.as_bytes()).expect("a key");
    mac.update(format!("{PUBLIC_URL}{path}").as_bytes());
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

const FORM: [(&str, &str); 3] = [
    ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
    ("MessageStatus", "delivered"),
    ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
];

async fn call(server: &TestServer, path: &str, signature: Option<&str>) -> Answer {
    let mut request = server.client(None).request(Method::POST, path).form(&FORM);
    if let Some(signature) = signature {
        request = request.header("X-Twilio-Signature", signature);
    }
    Answer::of(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_provider_itself_is_believed() {
    let server = TestServer::start("webhook").await;
    let path = format!("/v1/webhooks/{}/status", server.provider);
    let good = signature(&path, &FORM);
    let believed = call(&server, &path, Some(&good)).await;
    assert_eq!((believed.status, believed.text.as_str()), (200, ""));

    let refused = (403, "invalid_signature".to_owned(), None);
    assert_eq!(call(&server, &path, None).await.refusal(), refused);
    assert_eq!(
        call(&server, &path, Some("c2lnbmF0dXJl")).await.refusal(),
        refused
    );
    let other_path = format!("{path}?x=1");
    assert_eq!(
        call(&server, &other_path, Some(&good)).await.refusal(),
        refused
    );
    for unknown in ["prv_00000000000000000000000000000000", "twilio"] {
        let path = format!("/v1/webhooks/{unknown}/status");
        assert_eq!(
            call(&server, &path, Some(&signature(&path, &FORM)))
                .await
                .refusal()
                .0,
            404
        );
    }
    let oversize = server
        .client(None)
        .request(Method::POST, &path)
        .body(vec![b'x'; 70_000]);
    assert_eq!(Answer::of(oversize).await.refusal().0, 413);
    server.stop().await;
}
