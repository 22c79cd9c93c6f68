//! The sandbox's own count of segments, written from GSM 03.38 and the rules of
//! concatenation alone, so that it can contradict the engine's.
//!
//! A text of GSM 03.38 characters fits 160 septets, or 153 in each part of a
//! longer one; a character of the extension table takes two septets and is not
//! cut in half. Any other character turns the whole text into UCS-2: 70 UTF-16
//! units, or 67 a part. There a part never ends inside a grapheme cluster (which
//! is what Twilio's published calculator does), except between CR and LF.
//! The text is counted as it came: no normalisation.

use unicode_segmentation::UnicodeSegmentation;

/// Septets of a text that is sent alone.
const GSM_SINGLE: u32 = 160;
/// Septets of each part of a longer text: 7 go to the part header.
const GSM_PART: u32 = 153;
/// UTF-16 units of a text that is sent alone.
const UCS2_SINGLE: u32 = 70;
/// UTF-16 units of each part of a longer text: 3 go to the part header.
const UCS2_PART: u32 = 67;

/// How many segments a provider charges for `body`. An empty text counts as one.
pub fn count(body: &str) -> u32 {
    match gsm_units(body) {
        Some(units) if units <= GSM_SINGLE => 1,
        Some(_) => fill(body.chars().filter_map(septets), GSM_PART),
        None => ucs2_segments(body),
    }
}

/// Septets of the whole text, or nothing when a character is outside GSM 03.38.
fn gsm_units(body: &str) -> Option<u32> {
    body.chars()
        .try_fold(0_u32, |sum, character| Some(sum + septets(character)?))
}

/// Septets of one character: 1 in the basic set, 2 in the extension table.
fn septets(character: char) -> Option<u32> {
    match character {
        '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' | '\u{c}' => Some(2),
        '`' => None,
        ' '..='z' | '\n' | '\r' => Some(1),
        '£' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Δ' | 'Φ' | 'Γ'
        | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' | 'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' | 'Ä'
        | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        _ => None,
    }
}

fn ucs2_segments(body: &str) -> u32 {
    let units: u32 = body.chars().map(utf16_units).sum();
    if units <= UCS2_SINGLE {
        return 1;
    }
    let mut pieces = Vec::new();
    for cluster in body.graphemes(true) {
        let size: u32 = cluster.chars().map(utf16_units).sum();
        // CR LF may be cut, and a cluster longer than a part has to be.
        if cluster == "\r\n" || size > UCS2_PART {
            pieces.extend(cluster.chars().map(utf16_units));
        } else {
            pieces.push(size);
        }
    }
    fill(pieces.into_iter(), UCS2_PART)
}

fn utf16_units(character: char) -> u32 {
    if character.len_utf16() == 2 { 2 } else { 1 }
}

/// Fills part after part; a piece that does not fit whole opens the next one.
fn fill(pieces: impl Iterator<Item = u32>, part: u32) -> u32 {
    let (mut parts, mut used) = (1, 0);
    for piece in pieces {
        if used + piece > part {
            parts += 1;
            used = 0;
        }
        used += piece;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::count;
    use proptest::prelude::*;

    fn a(character: &str, times: usize) -> String {
        character.repeat(times)
    }

    /// Computed with Twilio's `sms-segments-calculator` 1.3.0.
    #[test]
    fn vectors_of_the_published_calculator() {
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        let vectors = [
            ("Hello, world!".to_owned(), 1),
            (a("A", 160), 1),
            (a("A", 161), 2),
            (a("A", 306), 2),
            (a("A", 307), 3),
            (a("€", 80), 1),
            (a("€", 81), 2),
            (a("A", 158) + "[]", 2),
            (a("A", 152) + "€" + &a("A", 152), 3),
            ("Привет, мир".to_owned(), 1),
            (a("я", 70), 1),
            (a("я", 71), 2),
            (a("я", 134), 2),
            (a("я", 135), 3),
            ("Hi 😀".to_owned(), 1),
            (a("😀", 35), 1),
            (a("😀", 36), 2),
            (a("😀", 67), 3),
            (a("a", 66) + "😀" + &a("a", 66), 3),
            (a("a", 65) + "😀" + &a("a", 67), 2),
            (a("a", 62) + family + &a("a", 61), 3),
            (a("A", 66) + "e\u{301}" + &a("A", 66), 3),
            (a("A", 152) + "\r\n" + &a("A", 152), 2),
            ("ç".to_owned() + &a("A", 70), 2),
            ("Ç".to_owned() + &a("A", 70), 1),
            ("Δelta Ω".to_owned() + &a("A", 153), 1),
            ("`".to_owned() + &a("A", 70), 2),
        ];
        for (text, segments) in vectors {
            assert_eq!(
                count(&text),
                segments,
                "{} characters",
                text.chars().count()
            );
        }
    }

    proptest! {
        #[test]
        fn one_more_character_never_needs_fewer(text in "\\PC{0,400}", more in any::<char>()) {
            // A joining character may merge clusters, and so move a border by one cluster.
            let longer = format!("{text}{more}");
            prop_assert!(count(&longer) + 1 >= count(&text));
        }

        #[test]
        fn parts_hold_the_text(text in "[A-Za-z €\\[\\]]{0,700}") {
            let units: u32 = text.chars().map(|c| if "€[]".contains(c) { 2 } else { 1 }).sum();
            let segments = count(&text);
            let room = if segments == 1 { 160 } else { segments * 153 };
            prop_assert!(units <= room);
            // A part wastes at most one septet, and only before a character of two.
            prop_assert!(segments == 1 || units.max(160) > (segments - 1) * 152);
        }
    }
}
