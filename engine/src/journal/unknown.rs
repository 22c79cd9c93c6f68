//! Attempts that nobody knows the outcome of, by recipient: while two of them would have
//! made the same text to the same person, a text that a search finds proves nothing about
//! either.

use std::time::Duration;

use schemas::provider::AttemptRef;
use schemas::record::{KeyPart, Record};
use schemas::text::UnknownAttempt;
use schemas::{Message, Phone};

use super::apply::Applying;
use super::state::OpenAttempt;
use super::view::View;
use crate::store::StoreError;

/// A provider stamps its texts by its own clock, to the second.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// An attempt whose outcome is unknown may have reached the provider this long after
/// it was committed: its deadline, and the longest a request takes.
pub const SEARCH_WINDOW: Duration = Duration::from_secs(60);

/// Attempts that began so far apart are not taken for one another. Far more than
/// [`SEARCH_WINDOW`]: our clock may have been wrong by a day when one of them began, and
/// the provider's stamps are by its own.
const TWINS_WITHIN: Duration = Duration::from_secs(48 * 3_600);

/// Attempts to one number that are compared. Where there are more, no search settles any.
const MOST_COMPARED: usize = 64;

impl<V: View> Applying<'_, V> {
    /// Writes down that an attempt ended unknown.
    pub(super) fn became_unknown(&mut self, open: &OpenAttempt) -> Result<(), StoreError> {
        self.view.put(&UnknownAttempt {
            to: open.envelope.to.clone(),
            attempt: open.attempt,
            provider: open.provider,
            begun_at: open.at,
            sequence: self.state.sequence,
        })
    }

    /// Its text was found, or told of.
    pub(super) fn became_known(
        &mut self,
        to: &Phone,
        attempt: AttemptRef,
    ) -> Result<(), StoreError> {
        let prefix = UnknownAttempt::prefix_of(to);
        let unknown = self
            .view
            .list::<UnknownAttempt>(&prefix, &prefix, MOST_COMPARED)?;
        match unknown.iter().find(|row| row.attempt == attempt) {
            Some(row) => self.view.delete::<UnknownAttempt>(&row.key()),
            None => Ok(()),
        }
    }

    /// Whether an attempt of another message may have made the text that a search for
    /// this one finds: the same words, to the same number, at the same provider, in the
    /// same days.
    pub(super) fn has_unknown_twin(&mut self, message: &Message) -> Result<bool, StoreError> {
        let (Some(begun), Some(provider)) = (message.last_attempt_at, message.provider) else {
            return Ok(false);
        };
        let earliest = begun.plus_micros(-(TWINS_WITHIN.as_micros() as i64));
        let prefix = UnknownAttempt::prefix_of(&message.envelope.to);
        let mut from = prefix.clone();
        from.push(KeyPart::I64(earliest.0));
        let rows = self
            .view
            .list::<UnknownAttempt>(&prefix, &from, MOST_COMPARED)?;
        if rows.len() == MOST_COMPARED {
            return Ok(true);
        }
        for row in rows {
            let is_another = row.attempt.message != message.envelope.id;
            if !is_another || row.provider != provider || row.begun_at > begun.plus(TWINS_WITHIN) {
                continue;
            }
            let other = self.message(row.attempt.account, row.attempt.message)?;
            if other.is_none_or(|other| other.envelope.body == message.envelope.body) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
