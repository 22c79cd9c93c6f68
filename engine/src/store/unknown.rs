//! Fields that a newer release wrote and we do not know: carried over when we replace
//! the row that holds them.
//!
//! Which fields are unknown is found by difference: `previous` is the row as it was
//! stored, `understood` the same row after we read and wrote it. A map's key that the
//! first has and the second has not is unknown. (A key of a data map that we removed
//! on purpose is in both, so it stays removed.) In lists, an element that stayed as it
//! was keeps what was unknown in it.

/// `new` with the unknown fields of `previous`; `None` when one of them is not whole
/// MessagePack.
pub(crate) fn carry_over(previous: &[u8], understood: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut merged = Vec::with_capacity(previous.len().max(new.len()));
    merge(previous, understood, new, &mut merged)?;
    Some(merged)
}

fn merge(previous: &[u8], understood: &[u8], new: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if understood == new {
        out.extend_from_slice(previous);
        return Some(());
    }
    match (read(previous)?, read(understood)?, read(new)?) {
        (Shape::Map(previous), Shape::Map(understood), Shape::Map(new)) => {
            merge_maps(&previous, &understood, &new, out)
        }
        (Shape::List(previous), Shape::List(understood), Shape::List(new))
            if previous.len() == understood.len() =>
        {
            write_length(out, 0x90, 0xdc, new.len())?;
            for (index, item) in new.iter().enumerate() {
                match (previous.get(index), understood.get(index)) {
                    (Some(previous), Some(understood)) if understood == item => {
                        out.extend_from_slice(previous);
                    }
                    _ => out.extend_from_slice(item),
                }
            }
            Some(())
        }
        _ => {
            out.extend_from_slice(new);
            Some(())
        }
    }
}

type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

fn merge_maps(
    previous: &Pairs<'_>,
    understood: &Pairs<'_>,
    new: &Pairs<'_>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let find = |pairs: &Pairs<'_>, key: &[u8]| -> Option<usize> {
        pairs.iter().position(|(candidate, _)| *candidate == key)
    };
    let unknown: Vec<_> = previous
        .iter()
        .filter(|(key, _)| find(understood, key).is_none() && find(new, key).is_none())
        .collect();
    write_length(out, 0x80, 0xde, new.len() + unknown.len())?;
    for (key, value) in new {
        out.extend_from_slice(key);
        match (find(previous, key), find(understood, key)) {
            (Some(before), Some(known)) => {
                merge(previous[before].1, understood[known].1, value, out)?;
            }
            _ => out.extend_from_slice(value),
        }
    }
    for (key, value) in unknown {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    Some(())
}

/// One value, as far as it matters here.
enum Shape<'a> {
    Map(Pairs<'a>),
    List(Vec<&'a [u8]>),
    Other,
}

fn read(bytes: &[u8]) -> Option<Shape<'_>> {
    let head = Head::read(bytes)?;
    let mut rest = bytes.get(head.bytes..)?;
    let mut next = || {
        let (value, after) = rest.split_at_checked(length(rest)?)?;
        rest = after;
        Some(value)
    };
    match head.kind {
        Kind::Map => (0..head.items)
            .map(|_| Some((next()?, next()?)))
            .collect::<Option<_>>()
            .map(Shape::Map),
        Kind::List => (0..head.items)
            .map(|_| next())
            .collect::<Option<_>>()
            .map(Shape::List),
        Kind::Leaf => Some(Shape::Other),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Map,
    List,
    Leaf,
}

/// The first bytes of a value: its kind, their number (of a leaf: of the whole value)
/// and how many items follow.
struct Head {
    kind: Kind,
    bytes: usize,
    items: usize,
}

impl Head {
    /// The formats of <https://github.com/msgpack/msgpack/blob/master/spec.md>.
    fn read(bytes: &[u8]) -> Option<Self> {
        let number = |width: usize| -> Option<usize> {
            let digits = bytes.get(1..=width)?;
            Some(
                digits
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            )
        };
        let first = *bytes.first()?;
        let low = |bits: u8| usize::from(first & ((1 << bits) - 1));
        let leaf = |bytes| (Kind::Leaf, bytes, 0);
        let (kind, bytes, items) = match first {
            0x80..=0x8f => (Kind::Map, 1, low(4)),
            0xde => (Kind::Map, 3, number(2)?),
            0xdf => (Kind::Map, 5, number(4)?),
            0x90..=0x9f => (Kind::List, 1, low(4)),
            0xdc => (Kind::List, 3, number(2)?),
            0xdd => (Kind::List, 5, number(4)?),
            0xa0..=0xbf => leaf(1 + low(5)),
            0xc4 | 0xd9 => leaf(2 + number(1)?),
            0xc5 | 0xda => leaf(3 + number(2)?),
            0xc6 | 0xdb => leaf(5 + number(4)?),
            0xc7 => leaf(3 + number(1)?),
            0xc8 => leaf(4 + number(2)?),
            0xc9 => leaf(6 + number(4)?),
            0xcc | 0xd0 => leaf(2),
            0xcd | 0xd1 => leaf(3),
            0xca | 0xce | 0xd2 => leaf(5),
            0xcb | 0xcf | 0xd3 => leaf(9),
            0xd4..=0xd8 => leaf(2 + (1 << (first - 0xd4))),
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => leaf(1),
            // Never used by the format.
            0xc1 => return None,
        };
        Some(Self { kind, bytes, items })
    }
}

/// How many bytes the first value of `bytes` takes. Without recursion: a damaged row
/// may claim any depth.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    let mut open = 1_usize;
    while open > 0 {
        let head = Head::read(bytes.get(at..)?)?;
        at = at.checked_add(head.bytes)?;
        let items = match head.kind {
            Kind::Map => head.items.checked_mul(2)?,
            Kind::List => head.items,
            Kind::Leaf => 0,
        };
        open = (open - 1).checked_add(items)?;
    }
    (at <= bytes.len()).then_some(at)
}

/// The head of a map or list: up to 15 items in the first byte, else 16 bits after it.
fn write_length(out: &mut Vec<u8>, short: u8, long: u8, items: usize) -> Option<()> {
    let items = u16::try_from(items).ok();
    match items {
        Some(few @ 0..=15) => out.push(short | few as u8),
        Some(many) => {
            out.push(long);
            out.extend_from_slice(&many.to_be_bytes());
        }
        // Records hold nothing of this size beside chunks, which are written once.
        None => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{carry_over, length};

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 60, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,2}", inner, 0..20)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn packed(value: &Value) -> Vec<u8> {
        rmp_serde::to_vec_named(value).expect("plain values can be packed")
    }

    proptest! {
        #[test]
        fn lengths_are_those_of_the_encoder(value in value(), tail in any::<[u8; 4]>()) {
            let mut bytes = packed(&value);
            let expected = bytes.len();
            prop_assert!(length(&bytes[..expected - 1]).is_none());
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(length(&bytes), Some(expected));
        }

        #[test]
        fn without_unknown_fields_the_new_row_is_taken(before in value(), new in value()) {
            let (before, new) = (packed(&before), packed(&new));
            let merged = carry_over(&before, &before, &new);
            let merged: Value = rmp_serde::from_slice(&merged.expect("whole values"))?;
            prop_assert_eq!(packed(&merged), new);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = carry_over(&bytes, &bytes[bytes.len() / 2..], &bytes);
        }
    }
}
