//! Receipts: only from the provider itself, and answered only when they are kept.

use std::sync::Arc;

use base64::Engine as _;
use engine::journal::Verdict;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use schemas::campaign::CampaignTally;
use schemas::change::{AfterAttempt, Change};
use schemas::message::message_key;
use schemas::provider::{AttemptRef, SubmitOutcome};
use schemas::{CampaignId, Envelope, Message, MessageStatus, Partition, ProviderId};
use sha1::Sha1;
use tests::fixture;

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

/// A receipt may come without the query that our callback URL has, where somebody set
/// another URL at the provider. The number leads to the partition that owns the message.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_without_our_query_reaches_its_message_by_the_number() {
    let server = TestServer::start("webhook-number").await;
    let (account, _) = server.account().await;
    let provider: ProviderId = server.provider.parse().expect("an id");
    let campaign = CampaignId::from_bytes([7; 16]);
    let envelope = fixture::envelope(account, Some(campaign), "+14155550123");
    let partition = server.storage.journal.partitions().of(envelope.to.slice());
    assert_ne!(partition, Partition(0), "the test needs another partition");
    for change in accepted(&envelope, provider) {
        let committed = server.storage.journal.commit(vec![(partition, change)]);
        assert_eq!(committed.await.expect("durable"), [Verdict::Done]);
    }
    let mut form = FORM.to_vec();
    form.push(("To", envelope.to.as_str()));
    let path = format!("/v1/webhooks/{}/status", server.provider);
    let request = server.client(None).request(Method::POST, &path).form(&form);
    let request = request.header("X-Twilio-Signature", signature(&path, &form));
    assert_eq!(Answer::of(request).await.status, 200);

    let key = message_key(account, envelope.id);
    let message = server.storage.store.get::<Message>(&key).await;
    let message = message.expect("it can be read").expect("it has a row");
    assert_eq!(message.status, MessageStatus::Delivered);
    let tally = CampaignTally::key_of(campaign, partition);
    let tally = server.storage.store.get::<CampaignTally>(&tally).await;
    let tally = tally.expect("it can be read").expect("it has a row");
    assert!(tally.is_exact(), "{tally:?}");
    assert_eq!(tally.count(MessageStatus::Delivered), 1);
    server.stop().await;
}

/// What a person texts to a number of ours, as the provider tells it.
fn texted<'a>(id: &'a str, body: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("AccountSid", FORM[2].1),
        ("Body", body),
        ("From", "+14155550123"),
        ("MessageSid", id),
        ("To", "+15005550001"),
    ]
}

async fn bring(server: &TestServer, form: &[(&str, &str)]) -> Answer {
    let path = format!("/v1/webhooks/{}/inbound", server.provider);
    let request = server.client(None).request(Method::POST, &path).form(form);
    Answer::of(request.header("X-Twilio-Signature", signature(&path, form))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_holds_from_the_answer_on_until_start() {
    let server = TestServer::start("webhook-stop").await;
    let (account, _) = server.account().await;
    let campaign = CampaignId::from_bytes([7; 16]);
    let envelope = fixture::envelope(account, Some(campaign), "+14155550123");
    let provider: ProviderId = server.provider.parse().expect("an id");
    let partition = server.storage.journal.partitions().of(envelope.to.slice());
    let begin = || {
        let [_, begun, _] = accepted(&envelope, provider);
        server.storage.journal.commit(vec![(partition, begun)])
    };
    // Whatever is not one of the words is answered and not kept.
    let id = |last: u8| format!("SM0123456789abcdef0123456789abcde{last}");
    let thanks = bring(&server, &texted(&id(1), "Thanks, stop by any time")).await;
    assert_eq!((thanks.status, thanks.text.as_str()), (200, "<Response/>"));
    let stop = bring(&server, &texted(&id(2), " Stop! ")).await;
    assert_eq!((stop.status, stop.text.as_str()), (200, "<Response/>"));
    let refused = Verdict::Refused(engine::journal::Refusal::OptedOut);
    assert_eq!(begin().await.expect("durable"), [refused]);
    assert_eq!(bring(&server, &texted(&id(3), "START")).await.status, 200);
    assert_eq!(bring(&server, &texted(&id(2), " Stop! ")).await.status, 200);
    assert_eq!(begin().await.expect("durable"), [Verdict::Done]);

    let path = format!("/v1/webhooks/{}/inbound", server.provider);
    let forged = server.client(None).request(Method::POST, &path);
    let forged = forged.form(&texted(&id(4), "STOP"));
    let forged = forged.header("X-Twilio-Signature", "c2lnbmF0dXJl");
    assert_eq!(Answer::of(forged).await.refusal().0, 403);
    server.stop().await;
}

/// One recipient, whose text the provider took.
fn accepted(envelope: &Arc<Envelope>, provider: ProviderId) -> [Change; 3] {
    let at = envelope.created_at;
    let attempt = AttemptRef {
        account: envelope.account,
        message: envelope.id,
        attempt: 1,
    };
    [
        Change::AudienceFrozen {
            campaign: envelope.campaign.expect("it has one"),
            chunk: 0,
            entries: 1,
            last: true,
        },
        Change::AttemptBegun {
            envelope: Arc::clone(envelope),
            attempt: 1,
            provider,
            sender: "+15005550001".to_owned(),
            at,
            deadline: at.plus_micros(1_000_000),
        },
        Change::AttemptEnded {
            attempt,
            outcome: SubmitOutcome::Accepted {
                provider_message_id: FORM[0].1.to_owned(),
            },
            then: AfterAttempt::Settle,
            sent_at: Some(at),
            at,
        },
    ]
}
