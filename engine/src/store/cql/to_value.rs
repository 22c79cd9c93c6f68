//! From a record to [`Value`]s: what serde tells of its fields.

use serde::Serialize;
use serde::ser::{
    self, Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};

use super::value::Value;

/// Its text may name content: it must not leave this store.
pub(super) type Wrong = serde::de::value::Error;

/// The fields of anything that is serialised, ids as their bytes.
///
/// # Errors
/// When it holds a fraction, or a number that no `bigint` holds.
pub(super) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Wrong> {
    value.serialize(ToValue)
}

struct ToValue;

/// A list under way, with the variant that it belongs to.
struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

/// A map or struct under way, with the variant that it belongs to.
struct Fields {
    variant: Option<&'static str>,
    fields: Vec<(String, Value)>,
    key: String,
}

impl Items {
    fn of(variant: Option<&'static str>, length: usize) -> Self {
        let items = Vec::with_capacity(length);
        Self { variant, items }
    }

    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        self.items.push(to_value(value)?);
        Ok(())
    }

    fn whole(self) -> Result<Value, Wrong> {
        Ok(of_variant(self.variant, Value::List(self.items)))
    }
}

impl Fields {
    fn of(variant: Option<&'static str>, length: usize) -> Self {
        Self {
            variant,
            fields: Vec::with_capacity(length),
            key: String::new(),
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), Wrong> {
        self.fields.push((name, to_value(value)?));
        Ok(())
    }

    fn whole(self) -> Result<Value, Wrong> {
        Ok(of_variant(self.variant, Value::Map(self.fields)))
    }
}

fn of_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Map(vec![(name.to_owned(), value)]),
        None => value,
    }
}

macro_rules! integers {
    ($($method:ident($type:ty)),*) => {
        $(fn $method(self, number: $type) -> Result<Value, Wrong> {
            let number = i64::try_from(number);
            number.map(Value::Int).map_err(|_| Wrong::custom("a number too large"))
        })*
    };
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = Wrong;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    fn is_human_readable(&self) -> bool {
        false
    }

    integers!(
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64)
    );

    fn serialize_bool(self, is_so: bool) -> Result<Value, Wrong> {
        Ok(Value::Bool(is_so))
    }

    fn serialize_f32(self, _: f32) -> Result<Value, Wrong> {
        Err(Wrong::custom("a fraction"))
    }

    fn serialize_f64(self, _: f64) -> Result<Value, Wrong> {
        Err(Wrong::custom("a fraction"))
    }

    fn serialize_char(self, character: char) -> Result<Value, Wrong> {
        Ok(Value::Text(character.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, Wrong> {
        Ok(Value::Text(text.to_owned()))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, Wrong> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn serialize_none(self) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Wrong> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Wrong> {
        Ok(Value::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Wrong> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Wrong> {
        Ok(of_variant(Some(variant), to_value(value)?))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Wrong> {
        Ok(Items::of(None, length.unwrap_or(0)))
    }

    fn serialize_tuple(self, length: usize) -> Result<Items, Wrong> {
        Ok(Items::of(None, length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items, Wrong> {
        Ok(Items::of(None, length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items, Wrong> {
        Ok(Items::of(Some(variant), length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Fields, Wrong> {
        Ok(Fields::of(None, length.unwrap_or(0)))
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Fields, Wrong> {
        Ok(Fields::of(None, length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fields, Wrong> {
        Ok(Fields::of(Some(variant), length))
    }
}

macro_rules! lists {
    ($($trait:ident::$method:ident),*) => {
        $(impl $trait for Items {
            type Ok = Value;
            type Error = Wrong;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
                self.add(value)
            }

            fn end(self) -> Result<Value, Wrong> {
                self.whole()
            }
        })*
    };
}

lists!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($trait:ident),*) => {
        $(impl $trait for Fields {
            type Ok = Value;
            type Error = Wrong;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Wrong> {
                self.add(name.to_owned(), value)
            }

            fn end(self) -> Result<Value, Wrong> {
                self.whole()
            }
        })*
    };
}

structs!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Fields {
    type Ok = Value;
    type Error = Wrong;

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else it is, it is no text"
    )]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Wrong> {
        match to_value(key)? {
            Value::Text(key) => {
                self.key = key;
                Ok(())
            }
            _ => Err(Wrong::custom("a key that is no text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        let key = std::mem::take(&mut self.key);
        self.add(key, value)
    }

    fn end(self) -> Result<Value, Wrong> {
        self.whole()
    }
}
