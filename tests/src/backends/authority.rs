//! An authority of the tests, and the certificates that it signs: made anew for each set of
//! servers, so that no other authority's are taken for its own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// An authority. Its files lie in a folder of the servers.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// A certificate and its key, in a file each, and both in one as servers in Java want them.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Both.
    pub both: PathBuf,
}

impl Authority {
    /// Makes one, and what it signs for each of these names, all of them at 127.0.0.1.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn make<const N: usize>(folder: &Path, names: [&str; N]) -> (Self, [Certificate; N]) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let own = folder.file_name().expect("a folder has a name");
        let own = own.to_string_lossy().into_owned();
        params.distinguished_name.push(DnType::CommonName, own);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Self {
            folder: folder.to_owned(),
        };
        fs::write(authority.file(), issuer.pem()).expect("a file can be written");
        let signed = names.map(|name| {
            let addresses = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(addresses).expect("addresses");
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            Certificate::write(folder, name, &certificate.pem(), &key.serialize_pem())
        });
        (authority, signed)
    }

    /// Its own certificate, in PEM.
    pub fn file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }
}

impl Certificate {
    fn write(folder: &Path, name: &str, certificate: &str, key: &str) -> Self {
        let file = |kind: &str, text: String| {
            let file = folder.join(format!("{name}{kind}.pem"));
            fs::write(&file, text).expect("a file can be written");
            file
        };
        Self {
            both: file("", format!("{key}{certificate}")),
            certificate: file("-certificate", certificate.to_owned()),
            key: file("-key", key.to_owned()),
        }
    }
}
