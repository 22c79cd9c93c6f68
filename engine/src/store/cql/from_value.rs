//! From [`Value`]s to a record: what serde asks for its fields.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what serde did not ask for is one case, whatever it is"
)]

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::to_value::Wrong;
use super::value::{Value, from_hex};

/// The record with these fields.
///
/// # Errors
/// When it cannot have them. The text may name content: it must not leave this store.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Wrong> {
    T::deserialize(FromValue(value))
}

struct FromValue(Value);

impl IntoDeserializer<'_, Wrong> for FromValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl FromValue {
    fn sequence<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, Wrong> {
        let mut items = SeqDeserializer::new(items.into_iter().map(FromValue));
        let sequence = visitor.visit_seq(&mut items)?;
        items.end()?;
        Ok(sequence)
    }

    fn entries<'de, V: Visitor<'de>>(
        fields: Vec<(String, Value)>,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let fields = fields.into_iter();
        let mut fields = MapDeserializer::new(fields.map(|(name, value)| (name, FromValue(value))));
        let map = visitor.visit_map(&mut fields)?;
        fields.end()?;
        Ok(map)
    }
}

impl<'de> de::Deserializer<'de> for FromValue {
    type Error = Wrong;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(is_so) => visitor.visit_bool(is_so),
            Value::Int(number) => visitor.visit_i64(number),
            Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::List(items) => Self::sequence(items, visitor),
            Value::Map(fields) => Self::entries(fields, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            // Bytes in JSON are digits.
            Value::Text(digits) => match from_hex(&digits) {
                Some(bytes) => visitor.visit_byte_buf(bytes),
                None => Err(Wrong::invalid_type(Unexpected::Str("text"), &visitor)),
            },
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            // An array of bytes is a sequence to serde.
            Value::Bytes(bytes) => {
                let items = bytes.into_iter().map(|byte| Value::Int(i64::from(byte)));
                Self::sequence(items.collect(), visitor)
            }
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let (variant, content) = match self.0 {
            Value::Text(variant) => (variant, Value::Null),
            Value::Map(mut fields) if fields.len() == 1 => fields.remove(0),
            _ => {
                return Err(Wrong::invalid_type(
                    Unexpected::Other("no variant"),
                    &visitor,
                ));
            }
        };
        visitor.visit_enum(Variant { variant, content })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct
        tuple_struct map struct identifier ignored_any
    }
}

struct Variant {
    variant: String,
    content: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Wrong;
    type Variant = FromValue;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, FromValue), Wrong> {
        let variant = seed.deserialize(FromValue(Value::Text(self.variant)))?;
        Ok((variant, FromValue(self.content)))
    }
}

impl<'de> VariantAccess<'de> for FromValue {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.0 {
            Value::Null => Ok(()),
            _ => Err(Wrong::custom(
                "a variant that carries nothing carries something",
            )),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        de::Deserializer::deserialize_seq(self, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        de::Deserializer::deserialize_any(self, visitor)
    }
}
