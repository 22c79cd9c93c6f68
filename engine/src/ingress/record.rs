//! One record: whose it is, which request it carries, and the key under which it counts once.

use schemas::{MessageClass, Secret};

use super::cloud_event;

/// The header with the API key of the account whose message it is.
pub const KEY_HEADER: &str = "volley-key";

/// The header with the producer's own key of the request.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// The longest key, in characters: as over REST.
pub const IDEMPOTENCY_CHARACTERS_MAX: usize = 255;

/// Where a record stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its topic.
    pub topic: String,
    /// Its partition, as Kafka counts.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// When it was produced, in milliseconds since 1970, as its producer or broker says.
    pub timestamp: i64,
}

/// A record as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where it stands.
    pub origin: Origin,
    /// What its topic is for.
    pub class: MessageClass,
    /// Its key, whatever that is.
    pub key: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Never the content.
impl std::fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Incoming({:?})", self.origin)
    }
}

/// The request in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    /// The API key that tells whose it is.
    pub secret: Secret,
    /// The key under which it counts once: the producer's, else the event's, else none.
    pub idempotency_key: Option<String>,
    /// The request, as JSON.
    pub request: Vec<u8>,
}

/// Why a record cannot be taken in. The words are those of the REST API's problems.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poison {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong in this case; it may quote the record.
    pub detail: String,
}

impl Poison {
    /// With this word.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl Origin {
    /// The key of a record whose producer gave none: the record itself counts once, however
    /// often it is read. With its time, because a topic that is made anew begins at 0 again.
    pub fn idempotency_key(&self) -> String {
        let Self {
            topic,
            partition,
            offset,
            timestamp,
        } = self;
        format!("kafka:{topic}/{partition}/{offset}@{timestamp}")
    }
}

impl Incoming {
    /// Reads the record, but for the fields of its request.
    ///
    /// # Errors
    /// Why it cannot be taken in.
    pub fn deliver(&self) -> Result<Delivered, Poison> {
        let secret = self.text_header(KEY_HEADER)?.ok_or_else(|| {
            let detail = format!("the header `{KEY_HEADER}` must hold an API key");
            Poison::new("unauthorized", detail)
        })?;
        if self.value.is_none() {
            return Err(Poison::new("required", "the record has no value"));
        }
        let given = self.text_header(IDEMPOTENCY_HEADER)?;
        let event = cloud_event::open(self)?;
        let idempotency_key = match given {
            Some(key) => Some(checked(key)?),
            None => event.idempotency_key,
        };
        Ok(Delivered {
            secret: Secret::new(secret),
            idempotency_key,
            request: event.data,
        })
    }

    /// A header's text; its name in any case, for brokers' tools and libraries differ.
    ///
    /// # Errors
    /// When it comes twice or is not text.
    pub(super) fn text_header(&self, name: &str) -> Result<Option<String>, Poison> {
        let mut values = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            let detail = format!("the header `{name}` comes twice");
            return Err(Poison::new("invalid_header", detail));
        }
        match String::from_utf8(value.clone()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => {
                let detail = format!("the header `{name}` is not UTF-8");
                Err(Poison::new("invalid_header", detail))
            }
        }
    }
}

/// A producer's key, if it can be one.
///
/// # Errors
/// When it is empty, too long or no ASCII text.
pub fn checked(key: String) -> Result<String, Poison> {
    let usable = (1..=IDEMPOTENCY_CHARACTERS_MAX).contains(&key.len())
        && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if usable {
        return Ok(key);
    }
    let detail =
        format!("an idempotency key has 1 to {IDEMPOTENCY_CHARACTERS_MAX} ASCII characters");
    Err(Poison::new("invalid_header", detail))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use schemas::MessageClass;

    use super::{Incoming, Origin};

    pub(crate) fn incoming(headers: &[(&str, &str)], value: &str) -> Incoming {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Incoming {
            origin: Origin {
                topic: "volley.requests.marketing".to_owned(),
                partition: 3,
                offset: 17,
                timestamp: 1_767_367_800_000,
            },
            class: MessageClass::Marketing,
            key: None,
            headers: headers.iter().map(header).collect(),
            value: Some(value.as_bytes().to_vec()),
        }
    }

    #[test]
    fn plain_json_is_handed_on_as_it_is() {
        let record = incoming(
            &[("Volley-Key", "volley_ab"), ("Idempotency-Key", "7")],
            "{}",
        );
        let delivered = record.deliver().expect("a request");
        assert_eq!(delivered.secret.expose(), "volley_ab");
        assert_eq!(delivered.idempotency_key.as_deref(), Some("7"));
        assert_eq!(delivered.request, b"{}");
        assert_eq!(
            record.origin.idempotency_key(),
            "kafka:volley.requests.marketing/3/17@1767367800000"
        );
    }

    #[test]
    fn what_is_wrong_with_headers_is_named() {
        let long = "x".repeat(256);
        let key = ("volley-key", "volley_ab");
        for (headers, code) in [
            (vec![], "unauthorized"),
            (vec![key, ("VOLLEY-KEY", "volley_cd")], "invalid_header"),
            (vec![key, ("idempotency-key", "")], "invalid_header"),
            (vec![key, ("idempotency-key", &long)], "invalid_header"),
            (vec![key, ("idempotency-key", "é")], "invalid_header"),
        ] {
            let poison = incoming(&headers, "{}").deliver().expect_err("poison");
            assert_eq!(poison.code, code, "{headers:?}");
            assert!(!poison.detail.contains("volley_ab"));
        }
    }

    #[test]
    fn a_tombstone_is_no_request() {
        let mut record = incoming(&[("volley-key", "volley_ab")], "");
        record.value = None;
        assert_eq!(record.deliver().expect_err("poison").code, "required");
    }

    proptest! {
        /// Whatever a record holds, it is read or refused, and its debug form shows none of it.
        #[test]
        fn anything_is_read_or_refused(
            headers in prop::collection::vec(("[a-z_-]{1,12}", prop::collection::vec(any::<u8>(), 0..40)), 0..5),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let record = Incoming { headers, value, ..incoming(&[], "") };
            let _ = record.deliver();
            let told = format!("{record:?}");
            prop_assert!(told.len() < 200);
        }
    }
}
