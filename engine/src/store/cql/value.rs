//! A record's fields as plain values, between a struct and the columns of its row.

use serde_json::Value as Json;

/// One value. Records hold no fractions, and no number beyond an `i64`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    /// A struct's fields or a map's entries, in their order.
    Map(Vec<(String, Self)>),
}

impl Value {
    /// What lies at a path of field names.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        let Some((name, rest)) = path.split_first() else {
            return Some(self);
        };
        let Self::Map(fields) = self else {
            return None;
        };
        let field = fields.iter().find(|(field, _)| field == name);
        field.and_then(|(_, value)| value.at(rest))
    }

    /// Puts a value at a path of field names, which makes the structs on its way.
    pub(super) fn put(&mut self, path: &[String], value: Self) {
        let Some((name, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(fields) = self else { return };
        let index = fields.iter().position(|(field, _)| field == name);
        let index = index.unwrap_or_else(|| {
            fields.push((name.clone(), Self::Null));
            fields.len() - 1
        });
        fields[index].1.put(rest, value);
    }

    /// The value as JSON. Bytes become hexadecimal digits, as ids have them in the API.
    pub(super) fn to_json(&self, names: &[(String, String)]) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(is_so) => Json::Bool(*is_so),
            Self::Int(number) => Json::from(*number),
            Self::Text(text) => Json::String(text.clone()),
            Self::Bytes(bytes) => Json::String(to_hex(bytes)),
            Self::List(items) => items.iter().map(|item| item.to_json(names)).collect(),
            Self::Map(fields) => {
                let written = |field: &String| {
                    let renamed = names.iter().find(|(stored, _)| stored == field);
                    renamed.map_or(field, |(_, written)| written).clone()
                };
                let fields = fields.iter();
                Json::Object(
                    fields
                        .map(|(field, value)| (written(field), value.to_json(names)))
                        .collect(),
                )
            }
        }
    }

    /// The value that [`Value::to_json`] wrote, but that bytes stay digits: who asks for bytes
    /// gets them from either. `None` when there is a number that no record holds.
    pub(super) fn of_json(json: Json, names: &[(String, String)]) -> Option<Self> {
        Some(match json {
            Json::Null => Self::Null,
            Json::Bool(is_so) => Self::Bool(is_so),
            Json::Number(number) => Self::Int(number.as_i64()?),
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| Self::of_json(item, names))
                    .collect::<Option<_>>()?,
            ),
            Json::Object(fields) => {
                let stored = |field: String| {
                    let renamed = names.iter().find(|(_, written)| *written == field);
                    renamed.map_or(field, |(stored, _)| stored.clone())
                };
                let fields = fields.into_iter();
                Self::Map(
                    fields
                        .map(|(field, value)| Some((stored(field), Self::of_json(value, names)?)))
                        .collect::<Option<_>>()?,
                )
            }
        })
    }
}

/// `new` with what of `previous` this release does not know: what `understood`, the same row
/// after we read and wrote it, does not have. As [`crate::store::unknown`] does for rows of
/// bytes.
pub(super) fn carry_over(previous: &Json, understood: &Json, new: &Json) -> Json {
    if understood == new {
        return previous.clone();
    }
    match (previous, understood, new) {
        (Json::Object(previous), Json::Object(understood), Json::Object(new)) => {
            let mut merged = new.clone();
            for (field, value) in previous {
                match (understood.get(field), new.get(field)) {
                    (None, None) => {
                        merged.insert(field.clone(), value.clone());
                    }
                    (Some(known), Some(new)) => {
                        merged.insert(field.clone(), carry_over(value, known, new));
                    }
                    _ => {}
                }
            }
            Json::Object(merged)
        }
        (Json::Array(previous), Json::Array(understood), Json::Array(new))
            if previous.len() == understood.len() =>
        {
            let pairs = previous.iter().zip(understood);
            let mut kept: Vec<_> = pairs.collect();
            let merged = new.iter().map(|item| {
                // An element that stayed keeps what was unknown in it, also where those before
                // it are gone, as the oldest of a bounded list are.
                let place = kept.iter().position(|(_, understood)| *understood == item);
                match place {
                    Some(place) => kept
                        .drain(..=place)
                        .next_back()
                        .map_or(item, |(kept, _)| kept),
                    None => item,
                }
                .clone()
            });
            merged.collect()
        }
        _ => new.clone(),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub(super) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::carry_over;

    #[test]
    fn what_a_newer_release_wrote_is_carried_along_at_every_level() {
        let previous = json!([{"at": 1, "by": "x"}, {"at": 2, "by": "y", "in": {"a": 1, "b": 2}}]);
        let understood = json!([{"at": 1}, {"at": 2, "in": {"a": 1}}]);
        let grown = json!([{"at": 1}, {"at": 2, "in": {"a": 1}}, {"at": 3}]);
        assert_eq!(
            carry_over(&previous, &understood, &grown),
            json!([{"at": 1, "by": "x"}, {"at": 2, "by": "y", "in": {"a": 1, "b": 2}}, {"at": 3}])
        );
        let moved_on = json!([{"at": 2, "in": {"a": 1}}, {"at": 3}]);
        assert_eq!(
            carry_over(&previous, &understood, &moved_on),
            json!([{"at": 2, "by": "y", "in": {"a": 1, "b": 2}}, {"at": 3}])
        );
        let changed = json!({"in": {"a": 5}});
        assert_eq!(
            carry_over(&previous[1], &understood[1], &changed),
            json!({"by": "y", "in": {"a": 5, "b": 2}})
        );
    }
}
