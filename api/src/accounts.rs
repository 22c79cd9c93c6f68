//! Making accounts and API keys, for the door and for the command line alike.

use engine::runtime::Runtime;
use engine::store::{PutOnce, Replaced, Store, StoreError};
use schemas::account::{Account, ApiKey};
use schemas::{AccountId, KeyId, Secret};

use crate::auth::{hex, new_secret, secret_sha256};

/// Makes an account. `rate_millionths` is its limit, if it has one.
///
/// # Errors
/// When the store cannot hold it.
pub async fn create_account(
    store: &Store,
    runtime: &Runtime,
    name: String,
    weight: u32,
    rate_millionths: Option<u64>,
) -> Result<Account, StoreError> {
    let now = runtime.now();
    let account = Account {
        id: AccountId::mint(now, runtime.random_bytes()),
        name,
        weight,
        rate_millionths,
        number_key: Secret::new(hex(&runtime.random_bytes::<32>())),
        created_at: now,
        version: 0,
    };
    match store.replace(account).await? {
        Replaced::Stored(account) | Replaced::Conflict(Some(account)) => Ok(account),
        Replaced::Conflict(None) => Err(StoreError::Backend {
            detail: "a new row was refused".to_owned(),
        }),
    }
}

/// Makes an API key of an account; `None` when there is no such account.
///
/// # Errors
/// When the store cannot hold it.
pub async fn create_key(
    store: &Store,
    runtime: &Runtime,
    account: AccountId,
    name: String,
) -> Result<Option<(ApiKey, Secret)>, StoreError> {
    if store
        .get::<Account>(&Account::key_of(account))
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let now = runtime.now();
    let secret = new_secret(runtime);
    let key = ApiKey {
        secret_sha256: secret_sha256(secret.expose()),
        id: KeyId::mint(now, runtime.random_bytes()),
        account,
        name,
        created_at: now,
    };
    match store.put_once(&key).await? {
        // 256 random bits do not come twice.
        PutOnce::Stored | PutOnce::Exists(_) => Ok(Some((key, secret))),
    }
}
