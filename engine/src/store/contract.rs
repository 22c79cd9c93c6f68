//! What every store backend must do, one function for each rule. Each backend's tests
//! run all of them.

use std::collections::BTreeSet;

use futures::future::{BoxFuture, join_all};
use schemas::account::{Account, ApiKey};
use schemas::audience::AudienceChunk;
use schemas::record::KeyPart;
use schemas::{AccountId, CampaignId, KeyId, Partition, Secret, UnixMicros};

use super::writer::Admission;
use super::{Cursor, Order, PutOnce, Replaced, Store, StoreError};
use crate::log::Log;

/// A backend under test.
pub trait Subject: Send {
    /// Its store.
    fn store(&self) -> Store;
    /// Its log.
    fn log(&self) -> Log;
    /// Ends it as a power cut does, and opens what is left. Stores and logs that were
    /// handed out must have been dropped.
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
            a_batch_that_fails_on_any_put_leaves_nothing,
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

fn account(number: u8) -> Account {
    Account {
        id: AccountId::from_bytes([number; 16]),
        name: format!("account {number}"),
        number_key: Secret::new("00ff"),
        created_at: UnixMicros(1_767_367_800_000_000),
        version: 0,
    }
}

fn chunk(campaign: u8, partition: u16, chunk: u32) -> AudienceChunk {
    AudienceChunk {
        campaign: CampaignId::from_bytes([campaign; 16]),
        partition: Partition(partition),
        chunk,
        entries: Vec::new(),
    }
}

async fn store_account(store: &Store, number: u8) {
    let stored = store.replace(account(number)).await.expect("replace");
    assert!(matches!(stored, Replaced::Stored(row) if row.version == 1));
}

async fn put_chunk(store: &Store, row: AudienceChunk) {
    let put = store.put_once(&row).await.expect("put");
    assert!(matches!(put, PutOnce::Stored));
}

/// 64 puts of one key at once: one is stored, the others get that one.
pub async fn of_racing_puts_one_wins(subject: &mut dyn Subject) {
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
pub async fn a_replacement_needs_the_version_that_was_read(subject: &mut dyn Subject) {
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
pub async fn racing_replacements_lose_nothing(subject: &mut dyn Subject) {
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

async fn walk(store: &Store, order: Order, limit: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store
            .list::<Account>(&Account::partition_key(), after.as_ref(), order, limit)
            .await
            .expect("list");
        assert!(page.rows.len() <= limit);
        seen.extend(page.rows.iter().map(|row| row.id.as_bytes()[0]));
        match page.next {
            // A cursor is handed to callers as text.
            Some(next) => after = Some(next.to_string().parse().expect("a cursor")),
            None => return seen,
        }
    }
}

/// Pages of any size show every row once, from either end, and end without an empty one.
pub async fn pages_cover_every_row_once_in_both_orders(subject: &mut dyn Subject) {
    let store = subject.store();
    assert!(walk(&store, Order::Ascending, 5).await.is_empty());
    let mut numbers: Vec<u8> = (0..25).map(|number| number * 10).collect();
    for number in &numbers {
        store_account(&store, *number).await;
    }
    for limit in [1, 5, 7, 25, 26] {
        assert_eq!(walk(&store, Order::Ascending, limit).await, numbers);
    }
    numbers.reverse();
    for limit in [1, 5, 7, 25, 26] {
        assert_eq!(walk(&store, Order::Descending, limit).await, numbers);
    }
}

/// Rows that come between two pages neither repeat nor hide others.
pub async fn pages_are_stable_under_inserts(subject: &mut dyn Subject) {
    let store = subject.store();
    for number in [10, 20, 30, 40] {
        store_account(&store, number).await;
    }
    let prefix = Account::partition_key();
    for (order, first, added, rest) in [
        (Order::Ascending, [10, 20], [5, 35], vec![30, 35, 40]),
        (
            Order::Descending,
            [40, 35],
            [45, 15],
            vec![30, 20, 15, 10, 5],
        ),
    ] {
        let page = store.list::<Account>(&prefix, None, order, 2).await;
        let page = page.expect("list");
        let numbers =
            |rows: &[Account]| -> Vec<u8> { rows.iter().map(|row| row.id.as_bytes()[0]).collect() };
        assert_eq!(numbers(&page.rows), first);
        for number in added {
            store_account(&store, number).await;
        }
        let page = store
            .list::<Account>(&prefix, page.next.as_ref(), order, 10)
            .await
            .expect("list");
        assert_eq!(numbers(&page.rows), rest);
        assert!(page.next.is_none());
    }
}

/// What is no cursor, or one of another list, is a typed error.
pub async fn an_unknown_cursor_is_refused(subject: &mut dyn Subject) {
    let store = subject.store();
    for number in [1, 2] {
        store_account(&store, number).await;
        put_chunk(&store, chunk(1, 1, u32::from(number))).await;
    }
    let prefix = Account::partition_key();
    let page = store
        .list::<Account>(&prefix, None, Order::Ascending, 1)
        .await;
    let cursor = page.expect("list").next.expect("one more row");
    let text = cursor.to_string();
    let longer = format!("{text}AAAA");
    for wrong in [
        "",
        "x",
        "AAAAAAAAAAAA",
        &text[1..],
        &longer,
        "ключ",
        "a b+/==",
    ] {
        assert!(
            matches!(wrong.parse::<Cursor>(), Err(StoreError::UnknownCursor)),
            "{wrong}"
        );
    }
    let prefix = [KeyPart::Id([1; 16]), KeyPart::U16(1)];
    for order in [Order::Ascending, Order::Descending] {
        let listed = store.list::<AudienceChunk>(&prefix, Some(&cursor), order, 1);
        assert!(matches!(listed.await, Err(StoreError::UnknownCursor)));
    }
    let page = store.list::<AudienceChunk>(&prefix, None, Order::Ascending, 1);
    let cursor = page.await.expect("list").next.expect("one more row");
    let elsewhere = [KeyPart::Id([1; 16]), KeyPart::U16(2)];
    let listed = store.list::<AudienceChunk>(&elsewhere, Some(&cursor), Order::Ascending, 1);
    assert!(matches!(listed.await, Err(StoreError::UnknownCursor)));
}

/// Part of a partition key, a limit out of bounds, a start outside the prefix, a text
/// that no key can hold: typed errors.
pub async fn an_invalid_range_is_refused(subject: &mut dyn Subject) {
    let store = subject.store();
    let invalid = |error| matches!(error, StoreError::InvalidRange { .. });
    let prefix = [KeyPart::Id([1; 16]), KeyPart::U16(1)];
    for (prefix, limit) in [
        (&prefix[..1], 10),
        (&[], 10),
        (&prefix, 0),
        (&prefix, 10_001),
    ] {
        let listed = store.list::<AudienceChunk>(prefix, None, Order::Ascending, limit);
        assert!(invalid(listed.await.expect_err("refused")));
        let listed = store.list_from::<AudienceChunk>(prefix, prefix, Order::Descending, limit);
        assert!(invalid(listed.await.expect_err("refused")));
    }
    let outside = [KeyPart::Id([1; 16]), KeyPart::U16(2)];
    for from in [&outside[..], &prefix[..1]] {
        let listed = store.list_from::<AudienceChunk>(&prefix, from, Order::Ascending, 10);
        assert!(invalid(listed.await.expect_err("refused")));
    }
    let put = store.put_once(&api_key("a\0b", "n")).await;
    assert!(invalid(put.expect_err("refused")));
    let got = store.get::<ApiKey>(&ApiKey::key_of("a\0b")).await;
    assert!(invalid(got.expect_err("refused")));
}

/// A list begins at a whole key or a part of one, inclusive, from either end.
pub async fn a_list_can_begin_at_any_part_of_a_key(subject: &mut dyn Subject) {
    let store = subject.store();
    for partition in 0..3 {
        for number in 0..4 {
            put_chunk(&store, chunk(1, partition, number)).await;
        }
    }
    let prefix = AudienceChunk::key_of(CampaignId::from_bytes([1; 16]), Partition(1), 0);
    let prefix = &prefix[..2];
    for (from, order, limit, expected) in [
        (None, Order::Ascending, 10, vec![0, 1, 2, 3]),
        (None, Order::Descending, 3, vec![3, 2, 1]),
        (Some(2), Order::Ascending, 10, vec![2, 3]),
        (Some(2), Order::Descending, 10, vec![2, 1, 0]),
        (Some(2), Order::Descending, 1, vec![2]),
        (Some(9), Order::Ascending, 10, vec![]),
        (Some(9), Order::Descending, 2, vec![3, 2]),
    ] {
        let mut start = prefix.to_vec();
        start.extend(from.map(KeyPart::U64));
        let listed = store.list_from::<AudienceChunk>(prefix, &start, order, limit);
        let numbers: Vec<u32> = listed
            .await
            .expect("list")
            .iter()
            .map(|row| row.chunk)
            .collect();
        assert_eq!(numbers, expected, "from {from:?} {order:?}");
    }
}

/// Six puts in one batch, of which the k-th fails: none of them is there, and neither
/// is what the batch would have replaced gone.
pub async fn a_batch_that_fails_on_any_put_leaves_nothing(subject: &mut dyn Subject) {
    let store = subject.store();
    store_account(&store, 0).await;
    for failing in 0..6_u8 {
        let batch = move |overlay: &mut super::overlay::Overlay<'_>| {
            overlay.delete::<Account>(&Account::key_of(account(0).id))?;
            for number in 0..6 {
                if number == failing {
                    return Err(StoreError::UnknownCursor);
                }
                overlay.put(&account(number + 1))?;
            }
            Ok(())
        };
        let failed = store.operations.run(Admission::Intake, batch);
        // Another operation beside it, most often in the same group.
        let row = chunk(7, 0, u32::from(failing));
        let (failed, beside) = futures::join!(failed, store.put_once(&row));
        assert!(matches!(failed, Err(StoreError::UnknownCursor)));
        assert!(matches!(beside, Ok(PutOnce::Stored)));
        assert_eq!(walk(&store, Order::Ascending, 10).await, [0]);
    }
    drop(store);
    subject.crash().await;
    let store = subject.store();
    assert_eq!(walk(&store, Order::Ascending, 10).await, [0]);
    let prefix = [KeyPart::Id([7; 16]), KeyPart::U16(0)];
    let beside = store.list::<AudienceChunk>(&prefix, None, Order::Ascending, 10);
    assert_eq!(beside.await.expect("list").rows.len(), 6);
}

/// Everything that was answered before a crash is there after it, twice in a row.
pub async fn what_was_acknowledged_survives_a_crash(subject: &mut dyn Subject) {
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
