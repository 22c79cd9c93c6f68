//! How many parts a text needs, and where they end.
//!
//! One message carries 140 octets: 160 septets of GSM-7 or 70 code units of UCS-2. A longer text
//! is cut into parts that each lose 6 octets to the header that lets the phone join them, which
//! leaves 153 septets or 67 units (3GPP TS 23.040, section 9.2.3.24.1). The number of parts is not
//! a division: an escape pair or a surrogate pair that does not fit moves to the next part whole,
//! and, as Twilio's published calculator has it, so does a grapheme cluster of UCS-2 (a flag, a
//! family of emoji, a letter with its accents). CR LF alone may be torn.
//!
//! Clusters follow the Unicode version of `unicode-segmentation`; a calculator with an older table
//! tears some newer emoji and Indic conjuncts, which can differ by one part at a boundary.

use schemas::Encoding;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::gsm7;

/// Units that fit when the whole text is one part: septets of GSM-7, UTF-16 code units of UCS-2.
pub const fn single_capacity(encoding: Encoding) -> u32 {
    match encoding {
        Encoding::Gsm7 => 160,
        Encoding::Ucs2 => 70,
    }
}

/// Units that fit in each part when there is more than one.
pub const fn part_capacity(encoding: Encoding) -> u32 {
    match encoding {
        Encoding::Gsm7 => 153,
        Encoding::Ucs2 => 67,
    }
}

/// What a text weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentCount {
    /// The encoding the whole text travels in.
    pub encoding: Encoding,
    /// Septets (GSM-7) or UTF-16 code units (UCS-2) of the text, headers not counted.
    pub units: u32,
    /// Parts sent; at least 1, also for an empty text.
    pub segments: u32,
}

/// Counts the encoding, units and parts of `body`, without allocating.
///
/// The body is taken as it is: a decomposed accent (e + U+0301) is not composed first, and no
/// typographic sign is replaced by a plainer one. Counts saturate at `u32::MAX`.
pub fn count_segments(body: &str) -> SegmentCount {
    let (encoding, units) = measure(body);
    let segments = if units <= single_capacity(encoding) {
        1
    } else if encoding == Encoding::Gsm7 && units as usize == body.len() {
        // Plain one-septet ASCII: nothing can straddle a boundary.
        units.div_ceil(part_capacity(encoding))
    } else {
        let mut cuts: u32 = 0;
        fill_parts(body, encoding, |_| cuts = cuts.saturating_add(1));
        cuts.saturating_add(1)
    };
    SegmentCount {
        encoding,
        units,
        segments,
    }
}

/// Cuts `body` into the parts it is sent as, in order; one empty part for an empty text.
///
/// The parts joined are the body, and there are as many as [`count_segments`] says.
pub fn split(body: &str) -> Vec<&str> {
    let (encoding, units) = measure(body);
    if units <= single_capacity(encoding) {
        return vec![body];
    }
    let mut parts = Vec::new();
    let mut start = 0;
    fill_parts(body, encoding, |end| {
        parts.push(&body[start..end]);
        start = end;
    });
    parts.push(&body[start..]);
    parts
}

/// Decides the encoding and adds up the units.
fn measure(body: &str) -> (Encoding, u32) {
    let mut septets: usize = 0;
    let mut bytes = body.as_bytes().iter();
    for &byte in bytes.by_ref() {
        match gsm7::ascii_septets_of(byte) {
            0 => return measure_beyond_ascii(body),
            cost => septets += usize::from(cost),
        }
    }
    (Encoding::Gsm7, saturated(septets))
}

fn measure_beyond_ascii(body: &str) -> (Encoding, u32) {
    let mut septets: usize = 0;
    for character in body.chars() {
        match gsm7::septets(character) {
            Some(cost) => septets += cost as usize,
            None => return (Encoding::Ucs2, saturated(body.encode_utf16().count())),
        }
    }
    (Encoding::Gsm7, saturated(septets))
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Fills parts one after another and reports the byte offset of each cut between two parts.
fn fill_parts(body: &str, encoding: Encoding, cut_at: impl FnMut(usize)) {
    let mut filler = Filler {
        capacity: part_capacity(encoding),
        used: 0,
        offset: 0,
        cut_at,
    };
    match encoding {
        Encoding::Gsm7 => {
            for character in body.chars() {
                filler.push(character.len_utf8(), gsm7::septets(character).unwrap_or(1));
            }
        }
        Encoding::Ucs2 => {
            for cluster in body.graphemes(true) {
                let units = saturated(cluster.encode_utf16().count());
                // A cluster that no part could hold has to be torn between characters.
                if cluster == "\r\n" || units > part_capacity(encoding) {
                    for character in cluster.chars() {
                        filler.push(character.len_utf8(), character.len_utf16() as u32);
                    }
                } else {
                    filler.push(cluster.len(), units);
                }
            }
        }
    }
}

/// The part being filled.
struct Filler<F> {
    capacity: u32,
    used: u32,
    offset: usize,
    cut_at: F,
}

impl<F: FnMut(usize)> Filler<F> {
    /// Adds a piece that must stay whole, `bytes` long in UTF-8 and `units` on the air.
    fn push(&mut self, bytes: usize, units: u32) {
        if self.used + units > self.capacity {
            (self.cut_at)(self.offset);
            self.used = 0;
        }
        self.used += units;
        self.offset += bytes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that a random body is strung together from; each hurts at a boundary.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zA-Z0-9 ]{1,60}",
            1 => Just("€".to_owned()),
            1 => "[\\[\\]{}|~^\\\\\u{c}]{1,5}",
            1 => "[éèñÜ¿ΔΩ]{1,4}",
            1 => Just("\r\n".to_owned()),
        ]
    }

    fn wide_piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => piece(),
            1 => "[я-ћ]{1,40}",
            1 => Just("😀".to_owned()),
            1 => Just("👨‍👩‍👧‍👦".to_owned()),
            1 => Just("🇩🇪".to_owned()),
            1 => Just("e\u{301}".to_owned()),
            1 => "\\PC{1,12}",
            1 => "[\u{300}-\u{310}]{1,90}",
        ]
    }

    fn body() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::collection::vec(piece(), 0..25).prop_map(|pieces| pieces.concat()),
            prop::collection::vec(wide_piece(), 0..25).prop_map(|pieces| pieces.concat()),
        ]
    }

    fn units_of(part: &str, encoding: Encoding) -> u32 {
        match encoding {
            Encoding::Gsm7 => part
                .chars()
                .map(|c| gsm7::septets(c).expect("in GSM-7"))
                .sum(),
            Encoding::Ucs2 => part.encode_utf16().count() as u32,
        }
    }

    proptest! {
        #[test]
        fn parts_join_to_the_body_and_fit(body in body()) {
            let count = count_segments(&body);
            let parts = split(&body);
            prop_assert_eq!(parts.len() as u32, count.segments);
            prop_assert_eq!(parts.concat(), body.clone());
            let capacity = if parts.len() == 1 {
                single_capacity(count.encoding)
            } else {
                part_capacity(count.encoding)
            };
            let mut total = 0;
            for part in &parts {
                let units = units_of(part, count.encoding);
                prop_assert!(units <= capacity, "{} units in a part", units);
                prop_assert!(parts.len() == 1 || units > 0, "an empty part");
                // A slice of UTF-8 cannot start with half a surrogate pair; say so all the same.
                if let Some(first) = part.encode_utf16().next() {
                    prop_assert!(!(0xdc00..0xe000).contains(&first));
                }
                total += units;
            }
            prop_assert_eq!(total, count.units);
        }

        #[test]
        fn no_part_could_have_taken_the_next_piece(body in body()) {
            let encoding = count_segments(&body).encoding;
            let parts = split(&body);
            for pair in parts.windows(2) {
                let next = match encoding {
                    Encoding::Gsm7 => &pair[1][..pair[1].chars().next().map_or(0, char::len_utf8)],
                    Encoding::Ucs2 => pair[1].graphemes(true).next().unwrap_or(""),
                };
                let joined = units_of(pair[0], encoding) + units_of(next, encoding);
                prop_assert!(joined > part_capacity(encoding) || next == "\r\n");
            }
        }

        #[test]
        fn a_cluster_that_fits_a_part_is_never_torn(body in body()) {
            let count = count_segments(&body);
            prop_assume!(count.encoding == Encoding::Ucs2);
            let mut cuts = std::collections::BTreeSet::new();
            let mut offset = 0;
            for part in split(&body) {
                offset += part.len();
                cuts.insert(offset);
            }
            for (start, cluster) in body.grapheme_indices(true) {
                if cluster != "\r\n" && units_of(cluster, Encoding::Ucs2) <= 67 {
                    let inside = start + 1..start + cluster.len();
                    prop_assert!(cuts.range(inside).next().is_none(), "{:?} torn", cluster);
                }
            }
        }
    }

    #[test]
    fn an_empty_text_is_one_part_of_no_units() {
        let expected = SegmentCount {
            encoding: Encoding::Gsm7,
            units: 0,
            segments: 1,
        };
        assert_eq!(count_segments(""), expected);
        assert_eq!(split(""), [""]);
    }
}
