//! Accounts (our customers) and their API keys.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, KeyId};
use crate::record::{CompareAndSet, Key, KeyPart, Record, Table, Versioned, WriteOnce, tables};
use crate::secret::Secret;
use crate::time::UnixMicros;

/// A customer of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// Keys the HMAC from which campaign message ids are made, so that an id reveals
    /// no number. 32 random bytes in hexadecimal.
    pub number_key: Secret,
    /// Its share beside the others of a class: 1 to [`Account::MOST_WEIGHT`].
    #[serde(default = "Account::plain_weight")]
    pub weight: u32,
    /// Millionths of a segment per second that it sends at most, with all of its campaigns and
    /// single messages, where it has a limit of its own.
    #[serde(default)]
    pub rate_millionths: Option<u64>,
    /// When it was created.
    pub created_at: UnixMicros,
    /// See [`Versioned`].
    pub version: u64,
}

impl Account {
    /// The largest share.
    pub const MOST_WEIGHT: u32 = 100;

    /// The share of whoever was given none.
    pub const fn plain_weight() -> u32 {
        1
    }

    /// The limit of its own, in segments per second.
    pub fn rate(&self) -> Option<f64> {
        self.rate_millionths.map(|rate| rate as f64 / 1e6)
    }

    /// The partition that holds every account.
    pub fn partition_key() -> Key {
        vec![KeyPart::U16(0)]
    }

    /// The key of one account.
    pub fn key_of(id: AccountId) -> Key {
        vec![KeyPart::U16(0), KeyPart::Id(*id.as_bytes())]
    }
}

impl Record for Account {
    type Writing = CompareAndSet;
    const TABLE: Table = tables::ACCOUNTS;

    fn key(&self) -> Key {
        Self::key_of(self.id)
    }
}

impl Versioned for Account {
    fn version(&self) -> u64 {
        self.version
    }

    fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}

/// An API key. The secret itself is shown once and never stored: the row is found by
/// the SHA-256 of the secret, which is 256 random bits, so no salt is needed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// SHA-256 of the secret, in hexadecimal.
    pub secret_sha256: String,
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMicros,
}

impl ApiKey {
    /// The key under which the secret with this hash is found.
    pub fn key_of(secret_sha256: &str) -> Key {
        vec![KeyPart::Text(secret_sha256.to_owned())]
    }
}

impl Record for ApiKey {
    type Writing = WriteOnce;
    const TABLE: Table = tables::API_KEYS;

    fn key(&self) -> Key {
        Self::key_of(&self.secret_sha256)
    }
}
