//! `[kafka]`: the brokers of requests, events and journals, and how they are reached.

use std::path::PathBuf;

use schemas::{PartitionCount, Secret};

use super::error::SettingsError;
use super::layers::{Layers, Section};
use super::tls::{self, TlsSettings};

/// Section `[kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `VOLLEY_KAFKA__BROKERS`: where to begin, `host:port,…`; `None`: nothing is read from
    /// Kafka.
    pub brokers: Option<String>,
    /// `VOLLEY_KAFKA__PREFIX`: what the names of topics begin with, before a dot.
    pub prefix: String,
    /// `VOLLEY_KAFKA__REPLICATION`: on how many brokers each record of a topic lies that is made
    /// by a node; `None`: as the brokers have it.
    pub replication: Option<u16>,
    /// `VOLLEY_KAFKA__OWNERS`: among how many nodes at most the partitions are divided, a power of
    /// two; the same at all nodes.
    pub owners: PartitionCount,
    /// How the brokers are reached.
    pub security: KafkaSecurity,
}

/// How brokers are reached: as whom, and over what. Plainly and as nobody where neither is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// Who says hello.
    pub login: Option<KafkaLogin>,
    /// TLS, if it is on.
    pub tls: Option<TlsSettings>,
    /// The certificate that is shown to brokers which want one.
    pub identity: Option<KafkaIdentity>,
}

/// A user of the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLogin {
    /// `VOLLEY_KAFKA__USER`
    pub user: String,
    /// `VOLLEY_KAFKA__PASSWORD`
    pub password: Secret,
    /// `VOLLEY_KAFKA__MECHANISM`: how it is shown that the password is known.
    pub mechanism: Mechanism,
}

/// A certificate of this node, for brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaIdentity {
    /// `VOLLEY_KAFKA__CERTIFICATE_FILE`: the certificate and what leads to its authority, in PEM.
    pub certificate_file: PathBuf,
    /// `VOLLEY_KAFKA__KEY_FILE`: its key, in PEM, not encrypted.
    pub key_file: PathBuf,
}

/// How a password is shown: the mechanisms of SASL that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As it is.
    Plain,
    /// By a proof that does not tell it.
    ScramSha256,
    /// The same, with the longer hash.
    ScramSha512,
}

/// What a volley without TLS to Kafka says to whoever asks for it.
const NOT_BUILT: &str =
    "this volley was built without TLS to Kafka: build it with --features kafka-tls";

impl Mechanism {
    const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// As SASL calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    fn of(name: String) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        let Some(found) = all.find(|mechanism| mechanism.as_str() == name) else {
            return Err("is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".to_owned());
        };
        match found {
            // OpenSSL has its hashes, and is linked together with TLS only.
            Self::ScramSha256 | Self::ScramSha512 if !cfg!(feature = "kafka-tls") => {
                Err(format!("{NOT_BUILT}, which SCRAM needs, or use PLAIN"))
            }
            Self::Plain | Self::ScramSha256 | Self::ScramSha512 => Ok(found),
        }
    }
}

impl KafkaSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("kafka");
        let settings = Self {
            brokers: section.checked("brokers", brokers)?,
            prefix: section.checked("prefix", |prefix: String| {
                let letters = prefix
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                // Kafka takes 249 characters, and `.requests.transactional.dlq` is behind it.
                let fits = (1..=200).contains(&prefix.len());
                (letters && fits).then_some(prefix).ok_or_else(|| {
                    "has 1 to 200 letters, digits, dots, underscores and hyphens".to_owned()
                })
            })?,
            replication: section.optional("replication", |replication: u16| {
                let allowed = (1..=99).contains(&replication);
                allowed
                    .then_some(replication)
                    .ok_or_else(|| "is not from 1 to 99".to_owned())
            })?,
            owners: section.checked("owners", |count: u16| {
                PartitionCount::new(count)
                    .map_err(|_| "is not a power of two from 1 to 4096".to_owned())
            })?,
            security: KafkaSecurity::read(&mut section)?,
        };
        section.finish()?;
        Ok(settings)
    }
}

impl KafkaSecurity {
    fn read(section: &mut Section) -> Result<Self, SettingsError> {
        let login = KafkaLogin::read(section)?;
        let tls = tls::read(section, || match cfg!(feature = "kafka-tls") {
            true => Ok(()),
            false => Err(NOT_BUILT.to_owned()),
        })?;
        let identity = KafkaIdentity::read(section)?;
        if identity.is_some() && tls.is_none() {
            return Err(section.unused_without_tls("certificate_file"));
        }
        Ok(Self {
            login,
            tls,
            identity,
        })
    }
}

impl KafkaLogin {
    fn read(section: &mut Section) -> Result<Option<Self>, SettingsError> {
        let user = section.optional("user", Ok)?;
        let password = section.secret("password")?;
        let mechanism = section.optional("mechanism", Mechanism::of)?;
        let given = [
            ("user", user.is_some()),
            ("password", password.is_some()),
            ("mechanism", mechanism.is_some()),
        ];
        section.all_or_none(given)?;
        Ok(match (user, password, mechanism) {
            (Some(user), Some(password), Some(mechanism)) => Some(Self {
                user,
                password,
                mechanism,
            }),
            _ => None,
        })
    }
}

impl KafkaIdentity {
    fn read(section: &mut Section) -> Result<Option<Self>, SettingsError> {
        let certificate_file = section.optional("certificate_file", |file: PathBuf| {
            tls::certificates(&file).map(|_| file)
        })?;
        let key_file = section.optional("key_file", |file: PathBuf| {
            tls::check_key(&file).map(|()| file)
        })?;
        let given = [
            ("certificate_file", certificate_file.is_some()),
            ("key_file", key_file.is_some()),
        ];
        section.all_or_none(given)?;
        let both = certificate_file.zip(key_file);
        Ok(both.map(|(certificate_file, key_file)| Self {
            certificate_file,
            key_file,
        }))
    }
}

/// Brokers, if they can be some.
fn brokers(text: String) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !cfg!(feature = "cluster") {
        return Err("needs a volley that was built with the feature `cluster`".to_owned());
    }
    let has_port = |broker: &str| {
        let port = broker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        matches!(port, Some(Ok(1..)))
    };
    match text.split(',').all(has_port) {
        true => Ok(Some(text)),
        false => Err("is a list such as `kafka-1:9092,kafka-2:9092`".to_owned()),
    }
}
