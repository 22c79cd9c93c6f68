//! From what people type to a number that can be dialled from anywhere.
//!
//! `rlibphonenumber`, a port of Google's libphonenumber, knows the numbering plans. In front of it
//! stand the things that spreadsheets and address books do to a number, and one restriction: a
//! cell with letters is refused. The library would read `Bob 555 1234` as a vanity number and
//! find somebody else's phone in it.

use std::borrow::Cow;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};
use schemas::Phone;

use super::reject::RejectReason;

/// Longest cell looked at, in bytes: 15 digits with separators, in a script of four bytes each.
const MAX_NUMBER_BYTES: usize = 128;

/// Fewest digits in a row before `.0` that make a cell a number which was stored as a decimal.
const MIN_DECIMAL_DIGITS: usize = 7;

/// The region is not a two-letter code of a region with a numbering plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown region `{0}`: a two-letter code such as US or DE is needed")]
pub struct UnknownRegion(pub String);

/// Reads numbers in national and international form.
#[derive(Debug, Clone, Copy)]
pub struct PhoneParser {
    region: Option<Region>,
}

impl PhoneParser {
    /// A parser that takes numbers without a country code to be of `default_region`
    /// (ISO 3166-1 alpha-2, either case); without one it reads international numbers alone.
    ///
    /// # Errors
    /// [`UnknownRegion`] if there is no numbering plan for it.
    pub fn new(default_region: Option<&str>) -> Result<Self, UnknownRegion> {
        let region = match default_region {
            None => None,
            Some(code) => {
                let known = Region::from_code(code).ok().filter(|region| {
                    PHONE_NUMBER_UTIL
                        .get_country_code_for_region(*region)
                        .is_some()
                });
                Some(known.ok_or_else(|| UnknownRegion(code.to_owned()))?)
            }
        };
        Ok(Self { region })
    }

    /// Reads one cell. Mobile, fixed and special numbers are all taken, if the numbering plan
    /// has them.
    ///
    /// # Errors
    /// The reason to refuse the record.
    pub fn parse(&self, cell: &str) -> Result<Phone, RejectReason> {
        let number = bare_number(cell);
        if number.is_empty() {
            return Err(RejectReason::MissingNumber);
        }
        if number.len() > MAX_NUMBER_BYTES {
            return Err(RejectReason::InvalidNumber);
        }
        if is_scientific(&number) {
            return Err(RejectReason::ScientificNotation);
        }
        if number.chars().any(is_foreign_to_numbers) {
            return Err(RejectReason::InvalidNumber);
        }
        let international = number.starts_with(['+', '＋']);
        if (international || self.region.is_some())
            && let Some(phone) = self.look_up(&number)
        {
            return Ok(phone);
        }
        // `00` is the way out of most countries; no plan has a national number behind it.
        if let Some(rest) = number.strip_prefix("00") {
            return self
                .look_up(&format!("+{rest}"))
                .ok_or(RejectReason::InvalidNumber);
        }
        if international || self.region.is_some() || !has_digit(&number) {
            Err(RejectReason::InvalidNumber)
        } else {
            Err(RejectReason::NoRegion)
        }
    }

    fn look_up(&self, number: &str) -> Option<Phone> {
        let mut parsed = PHONE_NUMBER_UTIL.parse(number, self.region).ok()?;
        if parsed.extension.is_some() || !PHONE_NUMBER_UTIL.is_valid_number(&parsed) {
            return None;
        }
        if !number.starts_with(['+', '＋'])
            && let Some(mobile) = mobile_without_plus(&parsed)
        {
            parsed = mobile;
        }
        let e164 = PHONE_NUMBER_UTIL
            .format(&parsed, PhoneNumberFormat::E164)
            .into_owned();
        Phone::from_e164(e164).ok()
    }
}

/// A number that was read as a national one, but begins with its own country code and is a mobile
/// number behind it, as when a spreadsheet took the `+` away: German `4915123456789` could be a
/// fixed line of a plan that allows almost any length, and never is.
fn mobile_without_plus(parsed: &PhoneNumber) -> Option<PhoneNumber> {
    let national = parsed.national_number.to_string();
    if !national.starts_with(&parsed.country_code.to_string()) || is_mobile(parsed) {
        return None;
    }
    let whole = PHONE_NUMBER_UTIL.parse(format!("+{national}"), None).ok()?;
    is_mobile(&whole).then_some(whole)
}

fn is_mobile(number: &PhoneNumber) -> bool {
    PHONE_NUMBER_UTIL.get_number_type(number) == PhoneNumberType::Mobile
}

/// Whether a cell could be a telephone number rather than a name: 7 digits or more, and nothing
/// that numbers do not have.
pub(super) fn looks_like_a_number(cell: &str) -> bool {
    let number = bare_number(cell);
    let digits = number
        .chars()
        .filter(|character| character.is_numeric())
        .count();
    digits >= 7 && !number.chars().any(is_foreign_to_numbers)
}

/// Takes away what programs put around a number: white space, invisible marks, the apostrophe or
/// `="…"` that keeps a spreadsheet from calculating, `tel:`, and the `.0` of a decimal.
fn bare_number(cell: &str) -> Cow<'_, str> {
    let mut text = cell.trim_matches(is_padding);
    if let Some(inner) = text
        .strip_prefix("=\"")
        .and_then(|rest| rest.strip_suffix('"'))
    {
        text = inner.trim_matches(is_padding);
    }
    text = text.strip_prefix('\'').unwrap_or(text);
    if text
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"))
    {
        text = &text[4..];
    }
    text = text.trim_matches(is_padding);
    if let Some(whole) = text.strip_suffix(".0") {
        let digits = whole.strip_prefix('+').unwrap_or(whole);
        if digits.len() >= MIN_DECIMAL_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            text = whole;
        }
    }
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    if text.contains(is_invisible) {
        return Cow::Owned(
            text.chars()
                .filter(|character| !is_invisible(*character))
                .collect(),
        );
    }
    Cow::Borrowed(text)
}

fn is_padding(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Marks of direction and width that address books paste along with a number.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}'
    )
}

/// Letters, and the signs that begin an extension or a code for the network.
fn is_foreign_to_numbers(character: char) -> bool {
    character.is_alphabetic() || matches!(character, '#' | '*' | ';' | ',' | '@' | '=' | '_')
}

fn has_digit(number: &str) -> bool {
    number.chars().any(char::is_numeric)
}

/// `4.91512E+11`, `4,91512E+11`, `5E11`.
fn is_scientific(number: &str) -> bool {
    let number = number.strip_prefix(['+', '-']).unwrap_or(number);
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return false;
    };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_is_decimal = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa),
    };
    mantissa_is_decimal && digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(region: Option<&str>, cell: &str) -> Result<String, RejectReason> {
        let parser = PhoneParser::new(region).expect("a known region");
        parser.parse(cell).map(|phone| phone.as_str().to_owned())
    }

    #[test]
    fn national_and_international_forms_meet() {
        for cell in [
            "+4915123456789",
            "0151 23456789",
            "+49 (0)151 2345-6789",
            "0049 151 23456789",
            "'015123456789",
            "tel:+49-151-23456789",
            "=\"015123456789\"",
            "\u{202a}+49 151 23456789\u{202c}",
            "４９ではない",
            "+４９１５１２３４５６７８９",
            "٠١٥١٢٣٤٥٦٧٨٩",
            "15123456789.0",
            "+49\u{a0}151\u{a0}23456789",
            "0151/23456789",
            "  +49.151.2345.6789 ",
            "4915123456789",
        ] {
            let expected = if cell.contains('で') {
                Err(RejectReason::InvalidNumber)
            } else {
                Ok("+4915123456789".to_owned())
            };
            assert_eq!(parse(Some("de"), cell), expected, "{cell}");
        }
        for cell in [
            "(415) 555-2671",
            "415.555.2671",
            "1 415 555 2671",
            "011 1 415 555 2671",
        ] {
            assert_eq!(
                parse(Some("US"), cell),
                Ok("+14155552671".to_owned()),
                "{cell}"
            );
        }
        assert_eq!(
            parse(Some("US"), "0044 20 7946 0018"),
            Ok("+442079460018".to_owned())
        );
        assert_eq!(
            parse(Some("IT"), "06 698 83145"),
            Ok("+390669883145".to_owned())
        );
        assert_eq!(
            parse(None, "0049 151 23456789"),
            Ok("+4915123456789".to_owned())
        );
    }

    #[test]
    fn what_is_no_number_says_why() {
        use RejectReason::{InvalidNumber, MissingNumber, NoRegion, ScientificNotation};
        for (region, cell, reason) in [
            (None, "", MissingNumber),
            (None, " \u{a0}", MissingNumber),
            (Some("US"), "'", MissingNumber),
            (None, "0151 23456789", NoRegion),
            (None, "4155552671", NoRegion),
            (None, "n/a", InvalidNumber),
            (None, "-", InvalidNumber),
            (None, "+49 151", InvalidNumber),
            (None, "+999 123456789", InvalidNumber),
            (Some("US"), "555-2671", InvalidNumber),
            (Some("US"), "123 456 7890", InvalidNumber),
            (Some("US"), "Bob 415 555 2671", InvalidNumber),
            (Some("US"), "415 555 2671 ext. 12", InvalidNumber),
            (Some("US"), "415 555 2671#12", InvalidNumber),
            (Some("US"), "1-800-FLOWERS", InvalidNumber),
            (Some("US"), "415 555 2671, 415 555 2672", InvalidNumber),
            (Some("US"), "415 555 2671 / 415 555 2672", InvalidNumber),
            (Some("DE"), "4.91512E+11", ScientificNotation),
            (Some("DE"), "4,91512E+11", ScientificNotation),
            (None, "5e11", ScientificNotation),
            (None, "ann@example.com", InvalidNumber),
        ] {
            assert_eq!(parse(region, cell), Err(reason), "{cell:?} in {region:?}");
        }
    }

    #[test]
    fn only_regions_with_a_plan_are_regions() {
        for code in ["ZZ", "", "USA", "D", "ü", "49"] {
            let error = PhoneParser::new(Some(code)).expect_err("no plan");
            assert_eq!(error, UnknownRegion(code.to_owned()));
        }
        assert!(PhoneParser::new(Some("gb")).is_ok());
    }
}
