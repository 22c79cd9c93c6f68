//! TLS to the servers, and what it says when it does not come about.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::settings::{TlsSettings, certificates};
use crate::store::error::StoreError;

/// What the driver needs for it.
///
/// # Errors
/// [`StoreError::Backend`], when the authorities cannot be read.
pub(super) fn config(tls: &TlsSettings) -> Result<Arc<ClientConfig>, StoreError> {
    let unfit = |problem: String| StoreError::Backend {
        detail: format!("TLS to CQL: {problem}"),
    };
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(error.to_string()))?;
    let builder = match &tls.ca_file {
        Some(file) => {
            let all = certificates(file)
                .map_err(|problem| unfit(format!("cql.ca_file {}: {problem}", file.display())))?;
            let mut roots = RootCertStore::empty();
            for certificate in all {
                let added = roots.add(certificate);
                added.map_err(|error| unfit(format!("cql.ca_file {}: {error}", file.display())))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder
            .with_platform_verifier()
            .map_err(|error| unfit(error.to_string()))?,
    };
    Ok(builder.with_no_client_auth().into())
}

/// Why there is no TLS, and the cure.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "open lists: whatever else it is, is told in the library's own words"
)]
pub(super) fn told(error: &rustls::Error) -> String {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error {
        // The latter where a known authority has the name of the one that signed it.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is signed by nobody who is known here: set cql.ca_file to the \
             certificate of the authority that signed it"
                .to_owned()
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate does not name its IP address: give it one that does".to_owned(),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired: renew it".to_owned()
        }
        InvalidMessage(_) => {
            "it does not speak TLS there: set cql.tls to false, or name a port that does".to_owned()
        }
        other => format!("TLS fails: {other}"),
    }
}
