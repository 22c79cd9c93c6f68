//! How servers are reached: users, passwords and certificates.

use std::path::PathBuf;

use super::message;
#[cfg(feature = "kafka-tls")]
use crate::settings::{KafkaIdentity, Mechanism, TlsSettings};
use crate::settings::{Settings, SettingsError};

/// As much of a certificate as its file must look like, and the same of a key.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

/// A file that is removed again.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("volley-{}-{name}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).expect("a file");
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a text")
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("it is there");
    }
}

/// Files of the names that the sample has.
pub(super) struct SampleFiles(PathBuf);

pub(super) fn files_of_the_sample() -> SampleFiles {
    let folder = std::env::temp_dir().join(format!("volley-sample-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in [
        ("kafka-ca.pem", CERTIFICATE),
        ("kafka.pem", CERTIFICATE),
        ("kafka.key", KEY),
        ("cql-ca.pem", CERTIFICATE),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    SampleFiles(folder)
}

impl SampleFiles {
    pub(super) fn folder(&self) -> &str {
        self.0.to_str().expect("a text")
    }
}

impl Drop for SampleFiles {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is there");
    }
}

/// The settings with these keys of a section.
fn section(name: &str, keys: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variable = |key: &str| format!("VOLLEY_{name}__{key}").to_uppercase();
    let variables = keys
        .iter()
        .map(|(key, value)| (variable(key), (*value).to_owned()));
    Settings::load(None, variables)
}

/// The same, refused; the text.
fn refused(name: &str, keys: &[(&str, &str)]) -> String {
    message(section(name, keys))
}

#[test]
fn the_password_for_kafka_is_taken_and_never_shown() {
    let keys = [
        ("user", "volley"),
        ("password", "hunter2"),
        ("mechanism", "PLAIN"),
    ];
    let settings = section("kafka", &keys).expect("settings");
    let login = settings.kafka.security.login.as_ref().expect("a login");
    assert_eq!(
        (login.user.as_str(), login.password.expose()),
        ("volley", "hunter2")
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
    let mut shown = settings.in_force.iter();
    let shown = shown.find(|one| one.key == "kafka.password");
    assert_eq!(shown.map(|one| one.value.as_str()), Some("(set)"));
}

#[test]
fn half_of_what_belongs_together_is_refused() {
    let error = refused("kafka", &[("user", "volley"), ("password", "hunter2")]);
    assert!(error.contains("`kafka.mechanism` is not set"), "{error}");
    let error = refused("kafka", &[("mechanism", "PLAIN")]);
    assert!(error.contains("`kafka.user` is not set"), "{error}");
    let file = TestFile::new("half.pem", CERTIFICATE);
    for (name, key) in [("kafka", "ca_file"), ("cql", "ca_file")] {
        let error = refused(name, &[(key, file.path())]);
        assert!(
            error.contains(&format!("`{name}.tls` is not set")),
            "{error}"
        );
    }
    let error = refused("kafka", &[("certificate_file", file.path())]);
    assert!(error.contains("`kafka.key_file` is not set"), "{error}");
}

#[test]
fn mechanisms_that_are_not_supported_are_refused_by_name() {
    let keys = [
        ("user", "volley"),
        ("password", "hunter2"),
        ("mechanism", "GSSAPI"),
    ];
    let error = refused("kafka", &keys);
    assert!(error.contains("is not PLAIN, SCRAM-SHA-256"), "{error}");
}

#[test]
fn files_of_certificates_are_looked_at() {
    let other = TestFile::new("other.pem", KEY);
    let text = TestFile::new("text.pem", "hunter2");
    for (file, problem) in [
        ("/nowhere/ca.pem", "cannot be read"),
        (other.path(), "has no certificate"),
        (text.path(), "has no certificate"),
    ] {
        let error = refused("cql", &[("tls", "true"), ("ca_file", file)]);
        assert!(error.contains("cql.ca_file"), "{error}");
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let file = TestFile::new("ca.pem", CERTIFICATE);
    let keys = [("tls", "true"), ("ca_file", file.path())];
    let settings = section("cql", &keys).expect("settings");
    let tls = settings.cql.tls.expect("it is on");
    assert_eq!(tls.ca_file.as_ref(), Some(&file.0));
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn what_this_build_cannot_do_is_refused_with_the_cure() {
    let cure = "build it with --features kafka-tls";
    let error = refused("kafka", &[("tls", "true")]);
    assert!(
        error.contains("kafka.tls") && error.contains(cure),
        "{error}"
    );
    let keys = [
        ("user", "volley"),
        ("password", "hunter2"),
        ("mechanism", "SCRAM-SHA-512"),
    ];
    let error = refused("kafka", &keys);
    assert!(error.contains("or use PLAIN"), "{error}");
    assert!(error.contains(cure), "{error}");
}

#[cfg(feature = "kafka-tls")]
#[test]
fn kafka_is_reached_over_tls_with_a_certificate_of_the_node() {
    let (certificate, key) = (
        TestFile::new("node.pem", CERTIFICATE),
        TestFile::new("node.key", KEY),
    );
    let keys = [
        ("tls", "true"),
        ("ca_file", certificate.path()),
        ("certificate_file", certificate.path()),
        ("key_file", key.path()),
        ("user", "volley"),
        ("password", "hunter2"),
        ("mechanism", "SCRAM-SHA-512"),
    ];
    let security = section("kafka", &keys).expect("settings").kafka.security;
    let login = security.login.as_ref().expect("a login");
    assert_eq!(login.mechanism, Mechanism::ScramSha512);
    let ca_file = Some(certificate.0.clone());
    assert_eq!(security.tls, Some(TlsSettings { ca_file }));
    let identity = KafkaIdentity {
        certificate_file: certificate.0.clone(),
        key_file: key.0.clone(),
    };
    assert_eq!(security.identity, Some(identity));
    let error = refused(
        "kafka",
        &[("tls", "true"), ("key_file", certificate.path())],
    );
    assert!(error.contains("has no unencrypted key"), "{error}");
    assert!(!format!("{:?}", crate::kafka::client("", &security)).contains("hunter2"));
}
