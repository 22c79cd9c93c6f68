//! What every backend must do when rows are listed.

use schemas::account::Account;
use schemas::audience::AudienceChunk;
use schemas::record::KeyPart;
use schemas::{CampaignId, Partition};

use super::*;

pub(crate) async fn walk(store: &Store, order: Order, limit: usize) -> Vec<u8> {
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
pub async fn pages_cover_every_row_once_in_both_orders(subject: &mut dyn StoreSubject) {
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
pub async fn pages_are_stable_under_inserts(subject: &mut dyn StoreSubject) {
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
pub async fn an_unknown_cursor_is_refused(subject: &mut dyn StoreSubject) {
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
pub async fn an_invalid_range_is_refused(subject: &mut dyn StoreSubject) {
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
pub async fn a_list_can_begin_at_any_part_of_a_key(subject: &mut dyn StoreSubject) {
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

/// Of several lists, those that fit are read to their end, and a cut one is not given.
pub async fn short_lists_are_read_together(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    for (partition, chunks) in [(0, 2), (2, 3), (3, 1)] {
        for number in 0..chunks {
            put_chunk(&store, chunk(1, partition, number)).await;
        }
    }
    let prefix = |partition| {
        let key = AudienceChunk::key_of(CampaignId::from_bytes([1; 16]), Partition(partition), 0);
        key[..2].to_vec()
    };
    let prefixes: Vec<_> = (0..4).map(prefix).collect();
    for (limit, expected) in [
        (10, vec![vec![0, 1], vec![], vec![0, 1, 2], vec![0]]),
        (6, vec![vec![0, 1], vec![], vec![0, 1, 2], vec![0]]),
        (5, vec![vec![0, 1], vec![], vec![0, 1, 2]]),
        (4, vec![vec![0, 1], vec![]]),
        (1, vec![]),
    ] {
        let listed = store.list_each::<AudienceChunk>(&prefixes, limit).await;
        let listed = listed.expect("lists").into_iter();
        let numbers: Vec<Vec<u32>> = listed
            .map(|rows| rows.iter().map(|row| row.chunk).collect())
            .collect();
        assert_eq!(numbers, expected, "limit {limit}");
    }
    let half = vec![prefix(0)[..1].to_vec()];
    for (prefixes, limit) in [(&half, 10), (&prefixes, 0)] {
        let listed = store.list_each::<AudienceChunk>(prefixes, limit).await;
        assert!(matches!(listed, Err(StoreError::InvalidRange { .. })));
    }
}

/// Some keys have a row and some have none, and one is asked for twice; there are more of them
/// than a backend reads at once.
pub async fn rows_of_many_keys_are_read_in_their_order(subject: &mut dyn StoreSubject) {
    let store = subject.store();
    for number in (0..200).step_by(3) {
        store_account(&store, number).await;
    }
    let numbers: Vec<u8> = (0..200).rev().chain([3, 3]).collect();
    let keys = numbers
        .iter()
        .map(|number| Account::key_of(AccountId::from_bytes([*number; 16])));
    let rows = store.get_each::<Account>(&keys.collect::<Vec<_>>()).await;
    let rows = rows.expect("the rows are read");
    let found = rows.iter().map(|row| row.as_ref().map(|row| row.id));
    let expected = numbers.iter().map(|number| {
        let is_there = number % 3 == 0;
        is_there.then_some(AccountId::from_bytes([*number; 16]))
    });
    assert!(found.eq(expected), "they are not those that were asked for");
    let none = store.get_each::<Account>(&[]).await;
    assert!(none.expect("nothing is read").is_empty());
}
