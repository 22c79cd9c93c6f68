//! What settings of provider accounts are taken and which are refused, and with what words.

use super::{ProviderSettings, ProviderSettingsError};
use crate::provider::open;

const WHOLE: &str = r#"
    name = "first"
    kind = "twilio"
    rate = 12.5
    senders = ["+15005550001", "VOLLEY"]
    account_sid = "AC0123456789abcdef0123456789abcdef"
    auth_token = "a-secret-canary"
"#;

fn settings(text: &str) -> ProviderSettings {
    toml::from_str(text).expect("settings")
}

fn refusal(text: &str) -> ProviderSettingsError {
    open(&settings(text), None).expect_err("must be refused")
}

#[test]
fn an_account_has_defaults() {
    let account = open(&settings(WHOLE), None).expect("opens");
    assert_eq!(account.default_sender, "+15005550001");
    assert_eq!(account.max_in_flight, 64);
    assert_eq!(account.id, schemas::ProviderId::of_name("first"));
    assert!((account.rate - 12.5).abs() < f64::EPSILON);
}

#[test]
fn a_sender_may_have_a_limit_of_its_own() {
    let senders = "{ number = \"VOLLEY\", rate = 1.5 }";
    let account = open(&settings(&WHOLE.replace("\"VOLLEY\"", senders)), None);
    let account = account.expect("opens");
    assert_eq!(account.senders, ["+15005550001", "VOLLEY"]);
    let limited: Vec<_> = account.sender_rates.into_iter().collect();
    assert_eq!(limited, [("VOLLEY".to_owned(), 1.5)]);
}

#[test]
fn a_sender_that_is_neither_text_nor_table_is_told_what_it_may_be() {
    let text = WHOLE.replace("\"VOLLEY\"", "{ number = \"VOLLEY\", rat = 1.5 }");
    let error = toml::from_str::<ProviderSettings>(&text).expect_err("must be refused");
    assert!(error.message().contains("`number` and `rate`"), "{error}");
}

#[test]
fn an_unknown_setting_gets_a_suggestion() {
    let error = refusal(&format!("{WHOLE}\nauth_tokn = \"x\""));
    assert!(
        error.to_string().contains("did you mean `auth_token`?"),
        "{error}"
    );
    let error = refusal(&format!("{WHOLE}\nmax_inflight = 3"));
    assert!(
        error.to_string().contains("did you mean `max_in_flight`?"),
        "{error}"
    );
}

#[test]
fn an_unknown_kind_gets_the_known_ones() {
    let error = refusal(&WHOLE.replace("\"twilio\"", "\"twillio\""));
    assert_eq!(
        error.to_string(),
        "provider `first`: unknown kind `twillio`; known are: twilio"
    );
}

#[test]
fn each_wrong_value_is_named() {
    let cases = [
        ("rate = 12.5", "rate = 0.0", "rate"),
        ("rate = 12.5", "rate = nan", "rate"),
        ("rate = 12.5", "rate = 1.0\nburst = 0", "burst"),
        (
            "rate = 12.5",
            "rate = 1.0\nmax_in_flight = 0",
            "max_in_flight",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\nconnect_timeout_ms = 0",
            "connect_timeout_ms",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\nrequest_timeout_ms = 5000",
            "request_timeout_ms",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\ndefault_sender = \"+1\"",
            "default_sender",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\nbase_url = \"ftp://x\"",
            "base_url",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\nbase_url = \"https://u:p@x\"",
            "base_url",
        ),
        (
            "rate = 12.5",
            "rate = 1.0\nwebhook_keys = 3",
            "webhook_keys",
        ),
        ("\"+15005550001\", \"VOLLEY\"", "", "senders"),
        ("\"VOLLEY\"", "\" \"", "senders"),
        (
            "\"VOLLEY\"",
            "{ number = \"VOLLEY\", rate = 0.0 }",
            "senders",
        ),
        ("\"first\"", "\"first one\"", "name"),
        ("AC01", "XX01", "account_sid"),
        ("\"a-secret-canary\"", "\"\"", "auth_token"),
        ("\"a-secret-canary\"", "12345678", "auth_token"),
    ];
    for (from, to, name) in cases {
        let error = refusal(&WHOLE.replacen(from, to, 1));
        let named = matches!(
            &error,
            ProviderSettingsError::Invalid { setting, .. } if *setting == name
        );
        assert!(named, "{to}: {error}");
        assert!(!error.to_string().contains("12345678"), "{error}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{WHOLE}\nwebhook_keys = {{ one = \"another-canary\" }}");
    let shown = format!("{:?}", settings(&text));
    assert!(
        shown.contains("auth_token") && !shown.contains("canary"),
        "{shown}"
    );
}
