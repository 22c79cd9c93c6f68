//! The GSM 7-bit default alphabet with its extension table (3GPP TS 23.038, section 6.2.1).
//!
//! A character of the basic table costs one septet. One of the extension table is sent as the
//! escape septet and a second one, so it costs two, and the pair must not be torn apart. Anything
//! else forces the whole message into UCS-2. The national language tables (single and locking
//! shift) are left out: no provider of ours uses them.

/// Septets of each ASCII character: 1 basic, 2 extension, 0 not in the alphabet.
const ASCII_SEPTETS: [u8; 128] = ascii_septets();

/// Looks up how many septets `character` costs: 1 or 2, or `None` if GSM-7 cannot say it.
///
/// The escape code itself (U+001B) is no character of the alphabet.
pub fn septets(character: char) -> Option<u32> {
    let code = character as u32;
    if code < 128 {
        return match ASCII_SEPTETS[code as usize] {
            0 => None,
            cost => Some(u32::from(cost)),
        };
    }
    match character {
        '£' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Δ' | 'Φ' | 'Γ'
        | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' | 'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' | 'Ä'
        | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        '€' => Some(2),
        _ => None,
    }
}

/// Looks up the septets of one ASCII byte: 1, 2, or 0 for what GSM-7 cannot say and for bytes
/// above 127.
pub(super) fn ascii_septets_of(byte: u8) -> u8 {
    ASCII_SEPTETS.get(usize::from(byte)).copied().unwrap_or(0)
}

const fn ascii_septets() -> [u8; 128] {
    let mut table = [0u8; 128];
    let mut code = 0x20;
    while code < 0x7f {
        table[code] = 1;
        code += 1;
    }
    table[b'\n' as usize] = 1;
    table[b'\r' as usize] = 1;
    // ASCII has the backtick, the alphabet does not.
    table[b'`' as usize] = 0;
    // The extension table, which also holds the form feed and the euro sign.
    let extension = b"\x0c^{}\\[~]|";
    let mut index = 0;
    while index < extension.len() {
        table[extension[index] as usize] = 2;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two tables row by row as 3GPP TS 23.038 prints them (the escape code left out).
    const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                         ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
    const EXTENSION: &str = "\u{c}^{}\\[~]|€";

    #[test]
    fn every_character_costs_what_the_printed_tables_say() {
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let expected = if BASIC.contains(character) {
                Some(1)
            } else if EXTENSION.contains(character) {
                Some(2)
            } else {
                None
            };
            assert_eq!(septets(character), expected, "{character:?}");
        }
    }
}
