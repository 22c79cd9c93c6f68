//! Who is calling: an API key in `Authorization: Bearer volley_…`.
//!
//! A key is 256 random bits, so its SHA-256 finds it and needs no salt. The node's root
//! key, which lies in its data folder, opens the administration of the node (accounts,
//! keys, verifications) and nothing else. Handlers get the caller by an extractor; the
//! check itself runs before anything of the request but its head is read.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use engine::runtime::Runtime;
use engine::store::{Store, StoreError};
use schemas::account::ApiKey;
use schemas::{AccountId, KeyId, Secret};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::doors::DoorState;
use crate::problem::{Problem, ProblemCode};

/// What every key starts with, so that a leaked one is recognised.
pub const KEY_PREFIX: &str = "volley_";
/// Keys remembered as good: about 100 bytes each, so one MiB. When it is full it is
/// emptied, and each key costs one read again.
const REMEMBERED_MAX: usize = 10_000;

/// Makes the secret of a new key.
pub fn new_secret(runtime: &Runtime) -> Secret {
    Secret::new(format!(
        "{KEY_PREFIX}{}",
        hex(&runtime.random_bytes::<32>())
    ))
}

/// The SHA-256 under which a secret is found, in hexadecimal.
pub fn secret_sha256(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let pairs = bytes
        .iter()
        .map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    pairs.flatten().collect()
}

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// An account, with one of its keys.
    Account(AccountId, KeyId),
    /// The holder of the root key.
    Root,
}

/// The account that calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller(pub AccountId);

/// The holder of the root key calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootCaller;

/// Somebody with a key calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnyCaller {
    /// The holder of the root key.
    Root,
    /// An account.
    Account,
}

/// Checks keys.
pub struct KeyRing {
    store: Store,
    root_sha256: String,
    remembered: Mutex<BTreeMap<String, (AccountId, KeyId)>>,
}

impl KeyRing {
    /// Keys of this store, and the node's root key.
    pub fn new(store: Store, root: &Secret) -> Self {
        Self {
            store,
            root_sha256: secret_sha256(root.expose()),
            remembered: Mutex::default(),
        }
    }

    async fn identify(&self, secret: &str) -> Result<Identity, Problem> {
        let found = self.find(secret).await?;
        found.ok_or_else(|| Problem::new(ProblemCode::Unauthorized))
    }

    /// Whose key this is; `None` if it is none of ours.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn find(&self, secret: &str) -> Result<Option<Identity>, StoreError> {
        if !secret.starts_with(KEY_PREFIX) {
            return Ok(None);
        }
        let sha256 = secret_sha256(secret);
        if bool::from(sha256.as_bytes().ct_eq(self.root_sha256.as_bytes())) {
            return Ok(Some(Identity::Root));
        }
        if let Some((account, key)) = self.recall(&sha256) {
            return Ok(Some(Identity::Account(account, key)));
        }
        let key = self.store.get::<ApiKey>(&ApiKey::key_of(&sha256)).await?;
        let Some(ApiKey { account, id, .. }) = key else {
            return Ok(None);
        };
        self.remember(sha256, (account, id));
        Ok(Some(Identity::Account(account, id)))
    }

    fn recall(&self, sha256: &str) -> Option<(AccountId, KeyId)> {
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.get(sha256).copied()
    }

    fn remember(&self, sha256: String, whose: (AccountId, KeyId)) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(sha256, whose);
    }
}

/// The middleware around everything that needs a key.
///
/// # Errors
/// What the framework could not turn into an answer itself.
pub async fn authenticate(
    state: web::Data<DoorState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let secret = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .map(str::to_owned);
    let identity = match secret {
        Some(secret) => state.keys().identify(&secret).await,
        None => Err(Problem::new(ProblemCode::Unauthorized)),
    };
    match identity {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.call(request)
                .await
                .map(ServiceResponse::map_into_boxed_body)
        }
        Err(problem) => Ok(request.into_response(problem.error_response())),
    }
}

/// The credentials of a `Bearer` header; the scheme's case does not matter (RFC 9110).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, credentials) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credentials.trim())
}

fn identity(request: &HttpRequest) -> Option<Identity> {
    request.extensions().get::<Identity>().copied()
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match identity(request) {
            Some(Identity::Account(account, _)) => Ok(Self(account)),
            Some(Identity::Root) => Err(Problem::with_detail(
                ProblemCode::Forbidden,
                "the root key only administers the node: use an account's API key",
            )),
            None => Err(Problem::new(ProblemCode::Unauthorized)),
        })
    }
}

impl FromRequest for AnyCaller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match identity(request) {
            Some(Identity::Root) => Ok(Self::Root),
            Some(Identity::Account(..)) => Ok(Self::Account),
            None => Err(Problem::new(ProblemCode::Unauthorized)),
        })
    }
}

impl FromRequest for RootCaller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match identity(request) {
            Some(Identity::Root) => Ok(Self),
            Some(Identity::Account(..)) => Err(Problem::new(ProblemCode::Forbidden)),
            None => Err(Problem::new(ProblemCode::Unauthorized)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_a_bearer_header_has_credentials() {
        assert_eq!(bearer("Bearer volley_ab"), Some("volley_ab"));
        assert_eq!(bearer("bearer  volley_ab "), Some("volley_ab"));
        assert_eq!(bearer("Basic volley_ab"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
