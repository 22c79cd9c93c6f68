//! `Idempotency-Key`: the same request twice makes one thing.
//!
//! The first request under a key claims an id for what it will make; the claim is
//! durable before anything is made. Whoever comes later under the same key makes, or
//! finds, the thing with the claimed id, also after a crash between the two. What makes
//! nothing, such as a command to a campaign, claims its key once it is done, so that a crash
//! in between leaves nothing that counts as done.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use engine::store::{PutOnce, Store};
use schemas::AccountId;
use schemas::message::IdempotencyKey;
use sha2::{Digest, Sha256};

use crate::auth::hex;
use crate::doors::DoorState;
use crate::problem::{Problem, ProblemCode};

/// The longest key, in characters, as with the providers people come from.
const KEY_CHARACTERS_MAX: usize = 255;

/// The key a request came with, and what the request is, but for its body.
pub struct IdempotencyHeader {
    key: Option<String>,
    method_and_path: String,
}

impl FromRequest for IdempotencyHeader {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let method_and_path = format!("{} {}\n", request.method(), request.uri());
        ready(read_key(request).map(|key| Self {
            key,
            method_and_path,
        }))
    }
}

fn read_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let usable = (1..=KEY_CHARACTERS_MAX).contains(&text.len())
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && values.next().is_none();
    if usable {
        return Ok(Some(text.to_owned()));
    }
    Err(Problem::with_detail(
        ProblemCode::InvalidHeader,
        format!(
            "Idempotency-Key must come once and have 1 to {KEY_CHARACTERS_MAX} ASCII characters"
        ),
    ))
}

/// An id that a request may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The id's 16 bytes.
    pub id: [u8; 16],
    /// Whether an earlier request claimed it.
    pub replayed: bool,
}

impl IdempotencyHeader {
    /// Whether the request came with a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The row that would claim `id` for this request; `None` without a key.
    pub fn row(
        &self,
        state: &DoorState,
        account: AccountId,
        body: &[u8],
        id: [u8; 16],
    ) -> Option<IdempotencyKey> {
        let request_sha256 = self.request_sha256(Sha256::new_with_prefix(body));
        self.row_of(state, account, request_sha256, id)
    }

    fn row_of(
        &self,
        state: &DoorState,
        account: AccountId,
        request_sha256: String,
        id: [u8; 16],
    ) -> Option<IdempotencyKey> {
        self.key.as_ref().map(|key| IdempotencyKey {
            account,
            key: key.clone(),
            request_sha256,
            resource: id,
            created_at: state.runtime().now(),
        })
    }

    fn request_sha256(&self, body: Sha256) -> String {
        let whole = Sha256::new_with_prefix(self.method_and_path.as_bytes());
        hex(&whole.chain_update(body.finalize()).finalize())
    }

    /// The claim that an earlier request made, if there is one.
    ///
    /// # Errors
    /// `idempotency_key_reused` when that was another request.
    pub async fn earlier(
        &self,
        state: &DoorState,
        account: AccountId,
        body: &[u8],
    ) -> Result<Option<Claim>, Problem> {
        let Some(row) = self.row(state, account, body, [0; 16]) else {
            return Ok(None);
        };
        let key = IdempotencyKey::key_of(account, &row.key);
        let Some(earlier) = state.store().get::<IdempotencyKey>(&key).await? else {
            return Ok(None);
        };
        // The first request may still be on its way to the disk: whoever hears of it here
        // must not hear of it before that.
        state.store().settled().await?;
        compare(&row, &earlier).map(Some)
    }

    /// Claims `id`, or finds what was claimed before.
    ///
    /// # Errors
    /// `idempotency_key_reused` when that was another request.
    pub async fn claim(
        &self,
        state: &DoorState,
        account: AccountId,
        body: &[u8],
        id: [u8; 16],
    ) -> Result<Claim, Problem> {
        self.claim_hashed(state, account, Sha256::new_with_prefix(body), id)
            .await
    }

    /// As [`IdempotencyHeader::claim`], for a command that is carried out already: also on a
    /// nearly full disk.
    ///
    /// # Errors
    /// As [`IdempotencyHeader::claim`].
    pub async fn claim_done(
        &self,
        state: &DoorState,
        account: AccountId,
        body: &[u8],
        id: [u8; 16],
    ) -> Result<Claim, Problem> {
        let store = state.store().for_commands();
        let row = self.row(state, account, body, id);
        put(&store, row, id).await
    }

    /// As [`IdempotencyHeader::claim`], for a body that was hashed as it came.
    ///
    /// # Errors
    /// As [`IdempotencyHeader::claim`].
    pub async fn claim_hashed(
        &self,
        state: &DoorState,
        account: AccountId,
        body: Sha256,
        id: [u8; 16],
    ) -> Result<Claim, Problem> {
        let row = self.row_of(state, account, self.request_sha256(body), id);
        put(state.store(), row, id).await
    }
}

/// Claims `id` by a row, where there is one.
async fn put(store: &Store, row: Option<IdempotencyKey>, id: [u8; 16]) -> Result<Claim, Problem> {
    let fresh = Claim {
        id,
        replayed: false,
    };
    let Some(row) = row else {
        return Ok(fresh);
    };
    match store.put_once(&row).await? {
        PutOnce::Stored => Ok(fresh),
        PutOnce::Exists(earlier) => compare(&row, &earlier),
    }
}

fn compare(row: &IdempotencyKey, earlier: &IdempotencyKey) -> Result<Claim, Problem> {
    if row.request_sha256 != earlier.request_sha256 {
        return Err(Problem::new(ProblemCode::IdempotencyKeyReused));
    }
    Ok(Claim {
        id: earlier.resource,
        replayed: true,
    })
}
