//! What every store backend must do, one function for each rule. Each backend's tests
//! run all of them.

mod lists;

use std::collections::BTreeSet;

use futures::future::{BoxFuture, join_all};
use schemas::account::{Account, ApiKey};
use schemas::audience::AudienceChunk;
use schemas::{AccountId, CampaignId, KeyId, Partition, Secret, UnixMicros};

use super::{Cursor, Order, PutOnce, Replaced, Store, StoreError};

pub use lists::*;

/// A backend under test.
pub trait StoreSubject: Send {
    /// Its store.
    fn store(&self) -> Store;
    /// Ends it as a power cut does, and opens what is left. Stores that were handed out
    /// must have been dropped.
    fn crash(&mut self) -> BoxFuture<'_, ()>;
}

/// Hands every case of this contract to a macro.
#[macro_export]
macro_rules! each_store_case {
    ($run:ident) => {
        $run! {
            of_racing_puts_one_wins,
            a_replacement_needs_the_version_that_was_read,
            racing_replacements_lose_nothing,
            pages_cover_every_row_once_in_both_orders,
            pages_are_stable_under_inserts,
            an_unknown_cursor_is_refused,
            an_invalid_range_is_refused,
            a_list_can_begin_at_any_part_of_a_key,
            short_lists_are_read_together,
            rows_of_many_keys_are_read_in_their_order,
            what_was_acknowledged_survives_a_crash,
        }
    };
}

fn api_key(secret: &str, name: &str) -> ApiKey {
    ApiKey {
        secret_sha256: secret.to_owned(),
        id: KeyId::from_bytes([1; 16]),
        account: AccountId::from_bytes([2; 16]),
        name: name.to_owned(),
        created_at: UnixMicros(1_767_367_800_000_000),
    }
}

pub(crate) fn account(number: u8) -> Account {
    Account {
        id: AccountId::from_bytes([number; 16]),
        name: format!("account {number}"),
        weight: 1,
        rate_millionths: None,
        number_key: Secret::new("00ff"),
        created_at: UnixMicros(1_767_367_800_000_000),
        version: 0,
    }
}

pub(crate) fn chunk(campaign: u8, partition: u16, chunk: u32) -> AudienceChunk {
    AudienceChunk {
        campaign: CampaignId::from_bytes([campaign; 16]),
        partition: Partition(partition),
        chunk,
        entries: Vec::new(),
    }
}

pub(crate) async fn store_account(store: &Store, number: u8) {
    let stored = store.replace(account(number)).await.expect("replace");
    assert!(matches!(stored, Replaced::Stored(row) if row.version == 1));
}

async fn put_chunk(store: &Store, row: AudienceChunk) {
    let put = store.put_once(&row).await.expect("put");
    assert!(matches!(put, PutOnce::Stored));
}

/// 64 puts of one key at once: one is stored, the others get that one.
pub async fn of_racing_puts_one_wins(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    let rows: Vec<_> = (0..64).map(|n| api_key("same", &n.to_string())).collect();
    let results = join_all(rows.iter().map(|row| store.put_once(row))).await;
    let mut winners = Vec::new();
    let mut answers = BTreeSet::new();
    for (row, result) in rows.iter().zip(results) {
        match result.expect("put") {
            PutOnce::Stored => winners.push(row.name.clone()),
            PutOnce::Exists(row) => {
                answers.insert(row.name);
            }
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), winners);
    let stored: ApiKey = store
        .get(&ApiKey::key_of("same"))
        .await
        .expect("get")
        .expect("it is there");
    assert_eq!(stored.name, winners[0]);
}

/// Only the version that is there can be replaced; a conflict tells what is there.
pub async fn a_replacement_needs_the_version_that_was_read(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    let version = |replaced: Result<Replaced<Account>, StoreError>| match replaced {
        Ok(Replaced::Stored(row)) => (true, Some(row.version)),
        Ok(Replaced::Conflict(row)) => (false, row.map(|row| row.version)),
        Err(error) => panic!("{error}"),
    };
    let with = |version| Account {
        version,
        ..account(1)
    };
    assert_eq!(version(store.replace(with(3)).await), (false, None));
    assert_eq!(version(store.replace(with(0)).await), (true, Some(1)));
    assert_eq!(version(store.replace(with(0)).await), (false, Some(1)));
    assert_eq!(version(store.replace(with(1)).await), (true, Some(2)));
    assert_eq!(version(store.replace(with(1)).await), (false, Some(2)));
    let there: Option<Account> = store.get(&Account::key_of(with(0).id)).await.expect("get");
    assert_eq!(there.map(|row| row.version), Some(2));
}

/// 16 writers who each add a letter and try again on a conflict: no letter is lost.
pub async fn racing_replacements_lose_nothing(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    store_account(&store, 1).await;
    let add = |letter: char| {
        let store = store.clone();
        async move {
            let key = Account::key_of(account(1).id);
            let mut row: Account = store.get(&key).await.expect("get").expect("there");
            loop {
                row.name.push(letter);
                match store.replace(row).await.expect("replace") {
                    Replaced::Stored(_) => return,
                    Replaced::Conflict(now) => row = now.expect("nobody deletes it"),
                }
            }
        }
    };
    join_all(('A'..='P').map(add)).await;
    let key = Account::key_of(account(1).id);
    let row: Account = store.get(&key).await.expect("get").expect("there");
    let mut letters: Vec<char> = row.name.chars().filter(char::is_ascii_uppercase).collect();
    letters.sort_unstable();
    assert_eq!(letters, ('A'..='P').collect::<Vec<_>>());
    assert_eq!(row.version, 17);
}

/// Everything that was answered before a crash is there after it, twice in a row.
pub async fn what_was_acknowledged_survives_a_crash(subject: &mut dyn StoreSubject) {
    for round in 0..3_u8 {
        let store = subject.store();
        for row in 0..round {
            let key = ApiKey::key_of(&format!("secret {row}"));
            let there: Option<ApiKey> = store.get(&key).await.expect("get");
            assert_eq!(there.map(|key| key.name), Some(format!("name {row}")));
        }
        let expected: Vec<u8> = (0..round).collect();
        assert_eq!(walk(&store, Order::Ascending, 10).await, expected);
        let row = api_key(&format!("secret {round}"), &format!("name {round}"));
        assert!(matches!(store.put_once(&row).await, Ok(PutOnce::Stored)));
        store_account(&store, round).await;
        drop(store);
        subject.crash().await;
    }
}
