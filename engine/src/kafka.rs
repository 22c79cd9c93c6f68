//! What clients of Kafka have in common: their settings, whether the brokers take them, and how a
//! partition is read.
//!
//! The C client tries for ever to get in where it is refused, as it does where nobody answers, and
//! whoever asks it something hears no more than that there is no broker. So whether the brokers
//! take us is asked before anything else, by a client that listens to what they say.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::runtime::{BootMicros, Runtime};
use crate::settings::{KafkaSecurity, KafkaSettings};

/// How long brokers may take to answer: see the same of the log.
const WAIT: Duration = Duration::from_secs(10);

/// How long the client tries other brokers, and the same once more, after one has refused it: a
/// broker that has just started may not know its users yet.
const REFUSED: Duration = Duration::from_secs(2);

/// How long each question may take, before it is heard what the client says.
const ROUND: Duration = Duration::from_millis(200);

/// What is in every text of OpenSSL about TLS.
const OF_OPENSSL: &str = "SSL routines";

/// What the client's log calls the end of a connection.
const FAILED: &str = "FAIL";

/// What is in the client's texts about a connection that the other side has ended: heard of when
/// it read next, or, which comes first, when it wrote (EPIPE, ECONNRESET as the system says them).
const ENDED: [&str; 3] = ["Disconnected", "Broken pipe", "Connection reset"];

/// Why brokers cannot be used: a text for people, without anything secret.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// They do not take us. It names the settings.
    Refused(String),
    /// None answers.
    Silent(String),
}

impl KafkaSettings {
    /// The settings that every client of these brokers has.
    pub(crate) fn client(&self) -> ClientConfig {
        client(self.bootstrap(), &self.security)
    }

    /// Where clients begin.
    pub(crate) fn bootstrap(&self) -> &str {
        self.brokers.as_deref().unwrap_or("")
    }
}

/// The settings that every client of some brokers has.
pub(crate) fn client(brokers: &str, security: &KafkaSecurity) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "volley")
        // Topics are created by us, with what we need, or not at all.
        .set("allow.auto.create.topics", "false")
        .set("socket.timeout.ms", "5000")
        // A broker that is back is found within half a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("security.protocol", protocol(security));
    if let Some(login) = &security.login {
        config
            .set("sasl.mechanism", login.mechanism.as_str())
            .set("sasl.username", &login.user)
            .set("sasl.password", login.password.expose());
    }
    if let Some(tls) = &security.tls {
        let authorities = tls.ca_file.as_ref().map(|file| file.to_string_lossy());
        // The library that we compile does not know where a system keeps the authorities that it
        // trusts: the client looks for them at all the usual places.
        let authorities = authorities.unwrap_or("probe".into());
        config.set("ssl.ca.location", authorities);
    }
    if let Some(identity) = &security.identity {
        let (certificate, key) = (&identity.certificate_file, &identity.key_file);
        config
            .set("ssl.certificate.location", certificate.to_string_lossy())
            .set("ssl.key.location", key.to_string_lossy());
    }
    config
}

/// Lets a consumer read one partition from an offset on, and nothing else.
///
/// # Errors
/// When the client refuses.
pub(crate) fn assign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    (topic, partition): (&str, i32),
    next: u64,
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset(next))?;
    consumer.assign(&list)
}

/// An offset as the client wants it. Kafka's are never negative and end at 2^63.
pub(crate) fn offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}

fn protocol(security: &KafkaSecurity) -> &'static str {
    match (&security.login, &security.tls) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

/// Waits until a broker answers clients of these settings. It is asked for this topic, which need
/// not be there.
///
/// # Errors
/// [`Unreached`], when none does.
pub(crate) async fn reach(
    mut config: ClientConfig,
    topic: &str,
    runtime: &Runtime,
) -> Result<(), Unreached> {
    config.set_log_level(RDKafkaLogLevel::Info);
    let (topic, clock) = (topic.to_owned(), runtime.clone());
    let asked = runtime.blocking(move || ask(&config, &topic, &clock));
    let lost = |error| Unreached::Silent(format!("Kafka: {error}"));
    asked.await.map_err(lost)?
}

/// Blocks.
fn ask(config: &ClientConfig, topic: &str, clock: &Runtime) -> Result<(), Unreached> {
    let brokers = config.get("bootstrap.servers").unwrap_or_default();
    let unfit = |error| Unreached::Refused(format!("Kafka at {brokers}: {error}"));
    let client: BaseProducer<Listener> = config
        .create_with_context(Listener::default())
        .map_err(unfit)?;
    let begun = clock.boot();
    let mut refused_at = None;
    loop {
        if client.client().fetch_metadata(Some(topic), ROUND).is_ok() {
            return Ok(());
        }
        client.poll(ROUND);
        let now = clock.boot();
        let heard = client.context().lock().clone();
        if let Some(refusal) = heard.refusal(brokers)
            && passed(*refused_at.get_or_insert(now), now, REFUSED)
        {
            return Err(refusal);
        }
        if passed(begun, now, WAIT) {
            return Err(heard.silence(brokers));
        }
    }
}

fn passed(since: BootMicros, now: BootMicros, time: Duration) -> bool {
    Duration::from_micros(now.saturating_sub(since)) >= time
}

/// The latest of each kind that the client told.
#[derive(Clone, Default)]
struct Heard {
    /// The user was refused.
    login: Option<String>,
    /// TLS did not come about.
    tls: Option<String>,
    /// No connection did.
    connection: Option<String>,
}

impl Heard {
    fn refusal(&self, brokers: &str) -> Option<Unreached> {
        let (what, reason) = match (&self.login, &self.tls) {
            (Some(reason), _) => (
                "the user is refused: check kafka.user, kafka.password and kafka.mechanism",
                reason,
            ),
            (None, Some(reason)) => (
                "TLS fails: check that kafka.ca_file has the authority that signed the brokers' \
                 certificates, that these name the hosts, and, where brokers want a certificate \
                 of the node, kafka.certificate_file",
                reason,
            ),
            (None, None) => return None,
        };
        let text = format!("Kafka at {brokers}: {what} ({reason})");
        Some(Unreached::Refused(text))
    }

    fn silence(&self, brokers: &str) -> Unreached {
        let why = match &self.connection {
            Some(reason) if ENDED.iter().any(|ended| reason.contains(ended)) => format!(
                "takes connections and ends them: see whether its port wants kafka.tls and \
                 kafka.user as they are set ({reason})"
            ),
            Some(reason) => format!("does not answer ({reason})"),
            None => "does not answer".to_owned(),
        };
        Unreached::Silent(format!("Kafka at {brokers} {why}"))
    }
}

/// Hears why there is no connection.
#[derive(Default)]
struct Listener {
    heard: Mutex<Heard>,
}

impl Listener {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka's client");
        // That the other side has ended a connection is no error to the client, and only logged.
        if facility == FAILED {
            // The client's thread stands before it.
            let reason = message
                .split_once("]: ")
                .map_or(message, |(_, reason)| reason);
            self.lock().connection = Some(reason.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = self.lock();
        let place = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication) => &mut heard.login,
            Some(RDKafkaErrorCode::SSL) => &mut heard.tls,
            // What a broker thinks of our certificate comes behind the handshake, and is told as a
            // failure to read.
            Some(RDKafkaErrorCode::BrokerTransportFailure) if reason.contains(OF_OPENSSL) => {
                &mut heard.tls
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                &mut heard.connection
            }
            // Some 150 others, none of which is about a connection.
            _ => return,
        };
        *place = Some(reason.to_owned());
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::{Heard, Unreached};

    fn silence(reason: &str) -> String {
        let heard = Heard {
            connection: Some(reason.to_owned()),
            ..Heard::default()
        };
        let (Unreached::Silent(text) | Unreached::Refused(text)) = heard.silence("here");
        text
    }

    /// Texts of librdkafka 2.12: which one it is depends on whether it reads or writes next.
    #[test]
    fn who_ends_connections_is_told_from_who_does_not_answer() {
        for ended in [
            "Disconnected (after 1ms in state UP)",
            "Send failed: error:80000020:system library::Broken pipe: tls_retry_write_records \
             failure (after 0ms in state UP)",
            "Send failed: Connection reset by peer (after 2ms in state UP)",
        ] {
            let text = silence(ended);
            assert!(text.contains("takes connections and ends them"), "{text}");
            assert!(text.contains(ended), "{text}");
        }
        let text = silence("Connect to ipv4#127.0.0.1:1 failed: Connection refused");
        assert!(text.contains("does not answer"), "{text}");
    }
}
