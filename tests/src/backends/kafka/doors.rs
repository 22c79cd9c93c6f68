//! The doors of a broker beside the plain one: those for whom it must know, and those over TLS.

use std::path::Path;

use engine::settings::{
    KafkaIdentity, KafkaLogin, KafkaSecurity, KafkaSettings, Mechanism, TlsSettings,
};
use schemas::Secret;

use crate::backends::authority::{Authority, Certificate};
use crate::port::Port;

/// Who may come in.
pub const USER: &str = "volley";

/// With this password, which no log may show.
pub const PASSWORD: &str = "correct-horse-battery";

/// The doors of one broker.
#[derive(Debug)]
pub struct Doors {
    password: Port,
    password_over_tls: Port,
    certificate_over_tls: Port,
    authority: Authority,
    broker: Certificate,
    node: Certificate,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// A user and a password, PLAIN, over a bare connection.
    Password,
    /// A user and a password over TLS.
    PasswordOverTls(Mechanism),
    /// A certificate over TLS.
    CertificateOverTls,
}

impl Doors {
    /// Doors with certificates in this folder.
    pub(super) fn new(folder: &Path) -> Self {
        let (authority, [broker, node]) = Authority::make(folder, ["broker", "node"]);
        Self {
            password: Port::reserve(),
            password_over_tls: Port::reserve(),
            certificate_over_tls: Port::reserve(),
            authority,
            broker,
            node,
        }
    }

    /// What leads a client to a door.
    pub fn settings(&self, door: Door, prefix: &str) -> KafkaSettings {
        let login = |mechanism| KafkaLogin {
            user: USER.to_owned(),
            password: Secret::new(PASSWORD),
            mechanism,
        };
        let tls = TlsSettings {
            ca_file: Some(self.authority.file()),
        };
        let (port, security) = match door {
            Door::Password => (
                &self.password,
                KafkaSecurity {
                    login: Some(login(Mechanism::Plain)),
                    ..KafkaSecurity::default()
                },
            ),
            Door::PasswordOverTls(mechanism) => (
                &self.password_over_tls,
                KafkaSecurity {
                    login: Some(login(mechanism)),
                    tls: Some(tls),
                    identity: None,
                },
            ),
            Door::CertificateOverTls => (
                &self.certificate_over_tls,
                KafkaSecurity {
                    login: None,
                    tls: Some(tls),
                    identity: Some(KafkaIdentity {
                        certificate_file: self.node.certificate.clone(),
                        key_file: self.node.key.clone(),
                    }),
                },
            ),
        };
        KafkaSettings {
            brokers: Some(format!("127.0.0.1:{}", port.number)),
            prefix: prefix.to_owned(),
            replication: Some(1),
            owners: schemas::PartitionCount::ONE,
            security,
        }
    }

    /// A certificate of an authority that signed none of the brokers'.
    pub fn foreign_authority(&self, folder: &Path) -> std::path::PathBuf {
        let (authority, []) = Authority::make(folder, []);
        authority.file()
    }

    /// The addresses, as a broker lists them.
    pub(super) fn listeners(&self) -> String {
        format!(
            ",SASL_PLAINTEXT://127.0.0.1:{},SASL_SSL://127.0.0.1:{},SSL://127.0.0.1:{}",
            self.password.number, self.password_over_tls.number, self.certificate_over_tls.number,
        )
    }

    /// What else a broker has to know of them.
    pub(super) fn broker_settings(&self) -> String {
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let plain = format!("{plain} user_{USER}=\"{PASSWORD}\";");
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let (broker, authority) = (self.broker.both.display(), self.authority.file());
        format!(
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl_plaintext.plain.sasl.jaas.config={plain}\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={plain}\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram}\n\
             listener.name.ssl.ssl.client.auth=required\n\
             ssl.keystore.type=PEM\nssl.keystore.location={broker}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n",
            authority.display(),
        )
    }

    /// What tells the brokers who may come in, when their folder is made.
    pub(super) fn users() -> [String; 4] {
        let user = |mechanism: &str| format!("{mechanism}=[name={USER},password={PASSWORD}]");
        let option = || "--add-scram".to_owned();
        [
            option(),
            user("SCRAM-SHA-256"),
            option(),
            user("SCRAM-SHA-512"),
        ]
    }
}
