//! `tls` and `ca_file` of a section: whether its servers are reached over TLS, and who has to
//! have signed their certificates.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::SettingsError;
use super::layers::Section;

/// TLS to servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificates of the authorities that are believed, in PEM; `None`: those that the
    /// system believes.
    pub ca_file: Option<PathBuf>,
}

/// Reads both keys; `None` where TLS is off. `allowed` says why it cannot be on.
pub(super) fn read(
    section: &mut Section,
    allowed: impl FnOnce() -> Result<(), String>,
) -> Result<Option<TlsSettings>, SettingsError> {
    let is_on = section.checked("tls", |is_on: bool| match is_on {
        true => allowed().map(|()| true),
        false => Ok(false),
    })?;
    let ca_file = section.optional("ca_file", |file: PathBuf| certificates(&file).map(|_| file))?;
    match (is_on, ca_file) {
        (true, ca_file) => Ok(Some(TlsSettings { ca_file })),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(section.unused_without_tls("ca_file")),
    }
}

/// The certificates in a file.
///
/// # Errors
/// In words, when it cannot be read or has none.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match all {
        Ok(all) if Vec::is_empty(&all) => Err("has no certificate in PEM".to_owned()),
        Ok(all) => Ok(all),
        Err(problem) => Err(unreadable(&problem)),
    }
}

/// Looks whether a file has a key that nothing has encrypted.
///
/// # Errors
/// In words, when it cannot be read or has none.
pub(super) fn check_key(file: &Path) -> Result<(), String> {
    match PrivateKeyDer::from_pem_file(file) {
        Ok(_) => Ok(()),
        Err(pem::Error::NoItemsFound) => Err("has no unencrypted key in PEM".to_owned()),
        Err(problem) => Err(unreadable(&problem)),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not of the disk repeats parts of the file, which may hold a key"
)]
fn unreadable(problem: &pem::Error) -> String {
    match problem {
        pem::Error::Io(cause) => format!("cannot be read: {cause}"),
        _ => "is not PEM".to_owned(),
    }
}
