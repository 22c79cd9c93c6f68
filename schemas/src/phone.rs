//! Telephone numbers in E.164.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::id::text_of;
use crate::slice::Slice;

/// A number in E.164: `+`, then 7 to 15 digits, the first not 0 (ITU-T E.164).
/// `Debug` and `Display` hide its middle; [`Phone::as_str`] is the whole number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Phone(String);

/// The text is not a number in E.164.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number in E.164 form: `+` and 7 to 15 digits")]
pub struct NotE164;

impl Phone {
    /// Takes a number that is already in E.164.
    ///
    /// # Errors
    /// [`NotE164`] when it is not `+` and 7 to 15 digits without a leading zero.
    pub fn from_e164(text: impl Into<String>) -> Result<Self, NotE164> {
        let text = text.into();
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let well_formed = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if well_formed {
            Ok(Self(text))
        } else {
            Err(NotE164)
        }
    }

    /// The whole number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// The slice this number belongs to, for ever.
    pub fn slice(&self) -> Slice {
        Slice::of_digits(self.digits())
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, tail) = (&self.0[..4], &self.0[self.0.len() - 2..]);
        write!(formatter, "{head}…{tail}")
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl PartialSchema for Phone {
    fn schema() -> RefOr<Schema> {
        text_of(r"^\+[1-9][0-9]{6,14}$", "+15005550006")
    }
}

impl ToSchema for Phone {}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_e164(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Phone;

    #[test]
    fn only_e164_is_a_phone() {
        assert!(Phone::from_e164("+251911234567").is_ok());
        for wrong in [
            "251911234567",
            "+0911234567",
            "+12",
            "+1234567890123456",
            "+1 5005550006",
        ] {
            assert!(Phone::from_e164(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_hides_the_middle() {
        let phone = Phone::from_e164("+251911234534").expect("a number");
        assert_eq!(format!("{phone:?}"), "+251…34");
    }
}
