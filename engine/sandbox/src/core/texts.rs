//! The texts an account has taken: found by id, and by number, newest first.
//!
//! A record holds what `fetch` and `list` must tell and no more: about 200 bytes
//! with its share of the index, so that a million texts stay under 300 MB. An id
//! is not stored; it is made of the text's number and the run that took it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What has become of a text at the simulated provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Taken, not yet on its way.
    Queued,
    /// Handed to the carrier.
    Sent,
    /// Arrived; final.
    Delivered,
    /// Did not arrive; final.
    Undelivered,
    /// Never left the provider; final.
    Failed,
}

impl Status {
    /// The word in the book, which is Twilio's too.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Sent => false,
            Self::Delivered | Self::Undelivered | Self::Failed => true,
        }
    }
}

/// How a taken text goes on: decided when it is taken, told as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Milliseconds from arrival to `sent`; a failed text never gets there.
    pub sent_after_ms: u32,
    /// Milliseconds from arrival to the final status.
    pub final_after_ms: u32,
    /// The final status.
    pub outcome: Status,
    /// The provider's code of an undelivered or failed text.
    pub code: Option<u32>,
}

impl Course {
    /// The status at `now` of a text that arrived at `at`, with the time it began.
    pub(crate) fn status_at(&self, at: u64, now: u64) -> (Status, u64) {
        let sent = after(at, self.sent_after_ms);
        let end = after(at, self.final_after_ms);
        if now >= end {
            (self.outcome, end)
        } else if now >= sent && self.outcome != Status::Failed {
            (Status::Sent, sent)
        } else {
            (Status::Queued, at)
        }
    }

    /// When the text left the provider (or was given up), if that is over at `now`.
    pub(crate) fn sent_at(&self, at: u64, now: u64) -> Option<u64> {
        let left = match self.outcome {
            Status::Failed => self.final_after_ms,
            Status::Queued | Status::Sent | Status::Delivered | Status::Undelivered => {
                self.sent_after_ms
            }
        };
        Some(after(at, left)).filter(|left| *left <= now)
    }
}

/// `at` and some milliseconds, in microseconds.
pub(crate) fn after(at: u64, milliseconds: u32) -> u64 {
    at.saturating_add(u64::from(milliseconds) * 1_000)
}

/// An id of a text: unique over accounts and restarts of one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextId(pub u128);

/// Bits of a text's number in its id: a million million texts per account.
const NUMBER_BITS: u32 = 40;

impl TextId {
    /// The id of text `number` of the account whose name hashes to `account`,
    /// taken in the `run`-th life of the book.
    pub(crate) fn new(account: u64, run: u32, number: u32) -> Self {
        let low = u64::from(run) << NUMBER_BITS | u64::from(number);
        Self(u128::from(mix(account ^ mix(low))) << 64 | u128::from(low))
    }

    /// The run and the number in this id, when it is one of that account's.
    pub(crate) fn open(self, account: u64) -> Option<(u32, u32)> {
        let low = u64::try_from(self.0 & u128::from(u64::MAX)).ok()?;
        let run = u32::try_from(low >> NUMBER_BITS).ok()?;
        let number = u32::try_from(low & ((1 << NUMBER_BITS) - 1)).ok()?;
        (Self::new(account, run, number) == self).then_some((run, number))
    }
}

/// The finishing step of SplitMix64 (Steele, Lea, Flood 2014): every bit of the
/// input moves every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// FNV-1a over 64 bits: the same on every machine and in every version.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The digits of an E.164 number: a plus, no leading zero, 8 to 15 digits.
pub(crate) fn number_of(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+')?;
    let plausible = (8..=15).contains(&digits.len()) && !digits.starts_with('0');
    if !plausible || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// One taken text.
#[derive(Clone)]
pub(crate) struct Text {
    /// The digits of the recipient's number.
    pub to: u64,
    /// Arrival, Unix microseconds.
    pub at: u64,
    pub body: Box<str>,
    /// The life of the book in which it was taken.
    pub run: u32,
    /// Place among the account's senders.
    pub from: u16,
    pub segments: u32,
    pub course: Course,
}

/// All taken texts of one account, by number.
#[derive(Default)]
pub(crate) struct Texts {
    /// A vacancy is a text whose line was lost with a crash of the sandbox.
    by_number: Vec<Option<Text>>,
    by_recipient: BTreeSet<(u64, u32)>,
}

impl Texts {
    /// The number of the next text, or nothing when 2^32 are taken.
    pub(crate) fn next_number(&self) -> Option<u32> {
        u32::try_from(self.by_number.len()).ok()
    }

    /// Keeps a text under `number`.
    pub(crate) fn put(&mut self, number: u32, text: Text) {
        let Ok(place) = usize::try_from(number) else {
            return;
        };
        if self.by_number.len() <= place {
            self.by_number.resize(place + 1, None);
        }
        self.by_recipient.insert((text.to, number));
        if let Some(slot) = self.by_number.get_mut(place) {
            *slot = Some(text);
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Text> {
        self.by_number.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// How many texts with this body went to this recipient before.
    pub(crate) fn repeats(&self, to: u64, body: &str) -> u64 {
        let same = |number: &u32| self.get(*number).is_some_and(|text| &*text.body == body);
        let numbers = self.by_recipient.range((to, 0)..=(to, u32::MAX));
        numbers
            .filter(|(_, number)| same(number))
            .fold(0, |sum, _| sum + 1)
    }

    /// Texts with a number below `below`, newest first, to one recipient or to all.
    pub(crate) fn newest_first(
        &self,
        to: Option<u64>,
        below: u32,
    ) -> Box<dyn Iterator<Item = (u32, &Text)> + '_> {
        let with_text = |number: u32| Some((number, self.get(number)?));
        match to {
            Some(to) => {
                let numbers = self.by_recipient.range((to, 0)..(to, below)).rev();
                Box::new(numbers.filter_map(move |(_, number)| with_text(*number)))
            }
            None => {
                let end = below.min(self.next_number().unwrap_or(u32::MAX));
                Box::new((0..end).rev().filter_map(with_text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TextId, hash, number_of};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_opens_for_its_account_alone(run in 0_u32..1000, number in any::<u32>()) {
            let id = TextId::new(hash(b"AC1"), run, number);
            prop_assert_eq!(id.open(hash(b"AC1")), Some((run, number)));
            prop_assert_eq!(id.open(hash(b"AC2")), None);
            prop_assert_eq!(TextId(id.0 ^ 1 << 100).open(hash(b"AC1")), None);
        }
    }

    #[test]
    fn numbers_are_e164() {
        assert_eq!(number_of("+15005550006"), Some(15_005_550_006));
        for bad in [
            "15005550006",
            "+0500555000",
            "+1500555",
            "+1500555000612345",
            "+1 500555",
            "",
        ] {
            assert_eq!(number_of(bad), None, "{bad}");
        }
    }
}
