//! CloudEvents 1.0 as their Kafka protocol binding has them: in binary mode the attributes are
//! headers `ce_…` and the value is the data; in structured mode the value is the whole event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::Secret;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::record::{IDEMPOTENCY_CHARACTERS_MAX, Incoming, Poison, checked};

/// The only type that asks for a message: others may share a topic's tools, never its meaning.
pub const EVENT_TYPE: &str = "volley.message.requested";

/// The only version that there is.
const VERSION: &str = "1.0";

/// Media types of whole events (structured mode); a batch of them is another type.
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch";

/// What a record carries.
pub(super) struct Opened {
    /// The request, as JSON.
    pub(super) data: Vec<u8>,
    /// An event's source and id name it once; plain JSON has none.
    pub(super) idempotency_key: Option<String>,
}

/// The attributes that count here.
struct Attributes {
    version: String,
    kind: String,
    source: String,
    id: String,
    data_type: Option<String>,
}

/// A whole event. Attributes of other people's are allowed and mean nothing here.
#[derive(Deserialize)]
struct Structured<'a> {
    specversion: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    id: Option<String>,
    datacontenttype: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<Secret>,
}

/// Opens a record: a structured event, a binary one, or plain JSON.
///
/// # Errors
/// When it says that it is an event and is none that asks for a message.
pub(super) fn open(record: &Incoming) -> Result<Opened, Poison> {
    let value = record.value.as_deref().unwrap_or_default();
    let media_type = record.text_header("content-type")?.unwrap_or_default();
    let media_type = media_type.to_ascii_lowercase();
    if media_type.starts_with(BATCH) {
        let detail = "one record is one event: batches are not taken";
        return Err(Poison::new("unsupported_media_type", detail));
    }
    if media_type.starts_with(STRUCTURED) {
        return structured(value);
    }
    if let Some(version) = record.text_header("ce_specversion")? {
        let header = |name: &str| record.text_header(name).map(Option::unwrap_or_default);
        let attributes = Attributes {
            version,
            kind: header("ce_type")?,
            source: header("ce_source")?,
            id: header("ce_id")?,
            data_type: Some(media_type).filter(|media_type| !media_type.is_empty()),
        };
        return attributes.with(value.to_vec());
    }
    check_json(&media_type)?;
    Ok(Opened {
        data: value.to_vec(),
        idempotency_key: None,
    })
}

fn structured(value: &[u8]) -> Result<Opened, Poison> {
    let event: Structured<'_> = serde_json::from_slice(value).map_err(|error| {
        Poison::new("invalid_json", format!("the event cannot be read: {error}"))
    })?;
    let data = match (event.data, event.data_base64) {
        (Some(data), None) => data.get().as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD
            .decode(encoded.expose())
            .map_err(|_| Poison::new("invalid_value", "`data_base64` is not base64"))?,
        (Some(_), Some(_)) => {
            let detail = "an event has `data` or `data_base64`, not both";
            return Err(Poison::new("invalid_value", detail));
        }
        (None, None) => return Err(Poison::new("required", "the event has no `data`")),
    };
    let attributes = Attributes {
        version: event.specversion.unwrap_or_default(),
        kind: event.kind.unwrap_or_default(),
        source: event.source.unwrap_or_default(),
        id: event.id.unwrap_or_default(),
        data_type: event.datacontenttype,
    };
    attributes.with(data)
}

impl Attributes {
    fn with(self, data: Vec<u8>) -> Result<Opened, Poison> {
        if self.version != VERSION {
            let detail = format!("`specversion` must be {VERSION}");
            return Err(Poison::new("invalid_value", detail));
        }
        if self.kind != EVENT_TYPE {
            let detail = format!("events of the type `{EVENT_TYPE}` are taken");
            return Err(Poison::new("invalid_value", detail));
        }
        if self.source.is_empty() || self.id.is_empty() {
            return Err(Poison::new(
                "required",
                "an event has a `source` and an `id`",
            ));
        }
        check_json(&self.data_type.unwrap_or_default())?;
        let named = format!("ce:{} {}", self.source, self.id);
        let fits = named.len() <= IDEMPOTENCY_CHARACTERS_MAX && checked(named.clone()).is_ok();
        let idempotency_key = match fits {
            true => named,
            false => format!(
                "ce:sha256:{}",
                STANDARD.encode(Sha256::digest(named.as_bytes()))
            ),
        };
        Ok(Opened {
            data,
            idempotency_key: Some(idempotency_key),
        })
    }
}

/// A request is JSON; one that does not say what it is, is taken for that.
fn check_json(media_type: &str) -> Result<(), Poison> {
    let essence = media_type.split(';').next().unwrap_or("").trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Poison::new(
        "unsupported_media_type",
        "a request is `application/json`",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::incoming;

    const KEY: (&str, &str) = ("volley-key", "volley_ab");
    const EVENT: [(&str, &str); 4] = [
        ("ce_specversion", "1.0"),
        ("ce_type", "volley.message.requested"),
        ("ce_source", "/shop"),
        ("ce_id", "41"),
    ];

    #[test]
    fn a_binary_event_is_its_value_and_counts_by_its_source_and_id() {
        let mut headers = vec![KEY, ("content-type", "application/json; charset=utf-8")];
        headers.extend(EVENT);
        let delivered = incoming(&headers, r#"{"to":"x"}"#)
            .deliver()
            .expect("a request");
        assert_eq!(delivered.request, br#"{"to":"x"}"#);
        assert_eq!(delivered.idempotency_key.as_deref(), Some("ce:/shop 41"));
        headers.push(("idempotency-key", "mine"));
        let delivered = incoming(&headers, "{}").deliver().expect("a request");
        assert_eq!(delivered.idempotency_key.as_deref(), Some("mine"));
    }

    #[test]
    fn a_structured_event_is_opened() {
        let headers = [
            KEY,
            (
                "content-type",
                "application/cloudevents+json; charset=UTF-8",
            ),
        ];
        let event = |data: &str| {
            format!(
                r#"{{"specversion":"1.0","type":"volley.message.requested","source":"/shop",
                    "id":"41","time":"2026-01-01T00:00:00Z","traceparent":"00-1",{data}}}"#
            )
        };
        let plain = event(r#""datacontenttype":"application/json","data":{"to":"x"}"#);
        let encoded = event(r#""data_base64":"eyJ0byI6IngifQ==""#);
        for event in [plain, encoded] {
            let delivered = incoming(&headers, &event).deliver().expect("a request");
            assert_eq!(delivered.request, br#"{"to":"x"}"#);
            assert_eq!(delivered.idempotency_key.as_deref(), Some("ce:/shop 41"));
        }
    }

    #[test]
    fn a_long_source_counts_by_its_hash() {
        let long = "s".repeat(300);
        let mut headers = vec![KEY];
        headers.extend(EVENT.map(|(name, value)| match name {
            "ce_source" => (name, long.as_str()),
            _ => (name, value),
        }));
        let delivered = incoming(&headers, "{}").deliver().expect("a request");
        let key = delivered.idempotency_key.expect("a key");
        assert!(key.starts_with("ce:sha256:") && key.len() == 54, "{key}");
    }

    #[test]
    fn what_is_no_such_event_is_refused() {
        let with = |name: &str, value: &'static str| {
            let mut headers = vec![KEY];
            headers.extend(EVENT.map(|(own, old)| (own, if own == name { value } else { old })));
            headers
        };
        let structured = vec![KEY, ("content-type", "application/cloudevents+json")];
        let batch = vec![KEY, ("content-type", "application/cloudevents-batch+json")];
        let text = vec![KEY, ("content-type", "text/plain")];
        for (headers, value, code) in [
            (with("ce_specversion", "0.3"), "{}", "invalid_value"),
            (with("ce_type", "order.placed"), "{}", "invalid_value"),
            (with("ce_id", ""), "{}", "required"),
            (structured.clone(), "{", "invalid_json"),
            (structured, "{}", "required"),
            (batch, "[]", "unsupported_media_type"),
            (text, "{}", "unsupported_media_type"),
        ] {
            let poison = incoming(&headers, value).deliver().expect_err("poison");
            assert_eq!(poison.code, code, "{headers:?}");
        }
    }
}
