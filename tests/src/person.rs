//! Somebody who texts back, as the provider brings it to a node.

use sandbox::dialect::{Dialect, PersonText};
use schemas::ProviderId;

use crate::fixture;

/// Says STOP to the first provider account's sender; the provider calls at the node behind `url`,
/// which is how that is known from outside.
///
/// # Panics
/// When it is not answered with 200.
pub async fn say_stop(url: &str, number: &str) {
    let provider = ProviderId::of_name("sandbox-1");
    let account = fixture::sandbox_account(1, 1.0);
    let text = PersonText {
        url: &format!("{url}/v1/webhooks/{provider}/inbound"),
        id: &format!("SM{:0>32}", &number[1..]),
        from: number,
        to: &account.senders[0],
        body: "STOP",
    };
    let brought = Dialect::Twilio.inbound(&account, &text).expect("a form");
    let http = reqwest::Client::builder().no_proxy().build();
    let mut request = http.expect("a client").post(&brought.url);
    for (name, value) in brought.headers {
        request = request.header(name, value);
    }
    let answer = request.body(brought.body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}
