//! What people answer to texts, as far as it is about getting more of them.

/// What an inbound text asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// No more texts from this sender.
    Stop,
    /// Texts again.
    Start,
}

/// The union of what Twilio, Telnyx and Vonage take for an opt-out, with the words of
/// 47 CFR 64.1200(a)(10).
const STOP: [&str; 11] = [
    "CANCEL",
    "END",
    "OPT OUT",
    "OPT-OUT",
    "OPTOUT",
    "QUIT",
    "REVOKE",
    "STOP",
    "STOP ALL",
    "STOPALL",
    "UNSUBSCRIBE",
];

/// `YES`, which Twilio takes too, is left out: it answers too many other questions.
const START: [&str; 2] = ["START", "UNSTOP"];

impl Wish {
    /// What the whole text asks for, if it is one of the words, in whatever case and with
    /// whatever around it that is no letter.
    pub fn of(body: &str) -> Option<Self> {
        let words = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let bare = words.trim_matches(|character: char| !character.is_alphanumeric());
        let word = bare.to_uppercase();
        if STOP.binary_search(&word.as_str()).is_ok() {
            Some(Self::Stop)
        } else if START.contains(&word.as_str()) {
            Some(Self::Start)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{START, STOP, Wish};

    #[test]
    fn every_word_is_found_however_it_is_written() {
        assert!(STOP.is_sorted());
        for word in STOP {
            let lower = word.to_lowercase();
            for text in [
                word,
                &lower,
                &format!("  {word}.\n"),
                &format!("\"{lower}!\""),
            ] {
                assert_eq!(Wish::of(text), Some(Wish::Stop), "{text}");
            }
        }
        for word in START {
            assert_eq!(Wish::of(&format!("{word} ")), Some(Wish::Start));
        }
        assert_eq!(Wish::of("stop\n all"), Some(Wish::Stop));
    }

    #[test]
    fn a_word_among_others_asks_for_nothing() {
        for text in [
            "",
            "...",
            "please stop",
            "STOP it",
            "nonstop",
            "yes",
            "start now",
            "ein Ende",
        ] {
            assert_eq!(Wish::of(text), None, "{text}");
        }
    }
}
