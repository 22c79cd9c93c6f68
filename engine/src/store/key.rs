//! From key parts to bytes whose order is the order of the parts.
//!
//! A row's key is the table's tag, then each part: ids as they are, unsigned numbers
//! big-endian, signed numbers big-endian with the sign bit flipped, text ended by a
//! zero byte. Parts have no type marks, because every key of a table has the same
//! types in the same places. Leading parts make a prefix of the keys they lead.

use schemas::record::{KeyPart, Table};

use super::error::StoreError;

/// The bytes of `parts` in `table`: the whole key of a row, or the prefix of a range.
///
/// # Errors
/// [`StoreError::InvalidRange`] when a text holds U+0000, which ends texts.
pub(crate) fn encode(table: Table, parts: &[KeyPart]) -> Result<Vec<u8>, StoreError> {
    // Most keys are an id, a day, a shard and an id.
    let mut bytes = Vec::with_capacity(48);
    bytes.push(table.tag);
    for part in parts {
        match part {
            KeyPart::Id(id) => bytes.extend_from_slice(id),
            KeyPart::U16(number) => bytes.extend_from_slice(&number.to_be_bytes()),
            KeyPart::U64(number) => bytes.extend_from_slice(&number.to_be_bytes()),
            KeyPart::I64(number) => {
                let flipped = number.cast_unsigned() ^ (1 << 63);
                bytes.extend_from_slice(&flipped.to_be_bytes());
            }
            KeyPart::Text(text) => {
                if text.as_bytes().contains(&0) {
                    return Err(StoreError::InvalidRange {
                        table: table.name,
                        detail: "a text in a key must not hold U+0000",
                    });
                }
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0);
            }
        }
    }
    Ok(bytes)
}

/// The smallest bytes above every key that starts with `prefix`.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Only a prefix of nothing but 0xff has no upper neighbour; tags never reach 0xff.
    vec![u8::MAX; prefix.len() + 1]
}

/// The smallest bytes above `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::record::{KeyPart, Table};

    use super::{encode, prefix_end, successor};

    const TABLE: Table = Table {
        name: "things",
        tag: 7,
        partition_parts: 1,
    };

    fn part(kind: u8) -> BoxedStrategy<KeyPart> {
        match kind {
            0 => any::<[u8; 16]>().prop_map(KeyPart::Id).boxed(),
            1 => any::<u16>().prop_map(KeyPart::U16).boxed(),
            2 => any::<u64>().prop_map(KeyPart::U64).boxed(),
            3 => prop_oneof![any::<i64>(), -2_i64..2]
                .prop_map(KeyPart::I64)
                .boxed(),
            _ => "[a-c\u{1}é€\u{10ffff}]{0,4}"
                .prop_map(KeyPart::Text)
                .boxed(),
        }
    }

    /// Two keys of the same types, as two rows of one table have.
    fn two_keys() -> impl Strategy<Value = (Vec<KeyPart>, Vec<KeyPart>)> {
        prop::collection::vec(0_u8..5, 1..5).prop_flat_map(|kinds| {
            let one: Vec<_> = kinds.iter().map(|kind| part(*kind)).collect();
            (one.clone(), one)
        })
    }

    proptest! {
        #[test]
        fn the_order_of_bytes_is_the_order_of_parts((left, right) in two_keys()) {
            let (low, high) = (encode(TABLE, &left)?, encode(TABLE, &right)?);
            prop_assert_eq!(low.cmp(&high), left.cmp(&right));
        }

        #[test]
        fn a_prefix_range_holds_its_keys_and_no_others(
            (left, right) in two_keys(), parts in 0_usize..5,
        ) {
            let parts = parts.min(left.len());
            let prefix = encode(TABLE, &left[..parts])?;
            let end = prefix_end(&prefix);
            let key = encode(TABLE, &right)?;
            let inside = prefix <= key && key < end;
            prop_assert_eq!(inside, right[..parts] == left[..parts]);
        }

        #[test]
        fn nothing_lies_between_a_key_and_its_successor((left, right) in two_keys()) {
            let (key, other) = (encode(TABLE, &left)?, encode(TABLE, &right)?);
            let next = successor(&key);
            prop_assert!(key < next);
            prop_assert!(other <= key || other >= next);
        }
    }

    #[test]
    fn a_text_with_a_zero_is_refused() {
        let parts = [KeyPart::Text("a\0b".to_owned())];
        assert!(encode(TABLE, &parts).is_err());
    }
}
