//! Limits of accounts, campaigns and sender numbers, beside those of provider accounts. A text
//! leaves at an instant at which every limit that it is under has a permit for it. Those of
//! accounts and campaigns hold whichever provider account carries it, so no sliding second of
//! them holds more than their rate either.
//!
//! Work is given out a few milliseconds before its permits are due, and counted until it was
//! stamped or came back: what is under way never exceeds what may soon leave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::{AccountId, CampaignId, Envelope};

use super::limiter::{Limiter, SendStamp, Wait};
use super::pace::Pace;

/// Who is limited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Limited {
    /// An account, with all that it sends.
    Account(AccountId),
    /// A campaign.
    Campaign(CampaignId),
    /// A provider account, by its number in the routes. Its own limit is kept by its sender, not by
    /// [`Limits`].
    Provider(u16),
    /// A sender of a provider account, such as a number.
    Sender {
        /// The provider account's number in the routes.
        provider: u16,
        /// The sender's own.
        sender: u16,
    },
}

impl Limited {
    /// The provider account with this number in the routes.
    pub const fn provider(index: usize) -> Self {
        // There are no more than there are bits in a route.
        Self::Provider(index as u16)
    }
}

/// Whose limits a text is under, where they have any, if it leaves from this sender.
fn over(envelope: &Envelope, sender: Option<Limited>) -> [Option<Limited>; 3] {
    let account = Some(Limited::Account(envelope.account));
    [account, envelope.campaign.map(Limited::Campaign), sender]
}

/// One limit.
#[derive(Debug)]
struct Limit {
    limiter: Limiter,
    /// Segments that were given out and are neither stamped nor back.
    given: u64,
}

/// All limits of a node beside its provider accounts' own: no more than there are campaigns
/// under way, and accounts and senders that have one. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Mutex<BTreeMap<Limited, Limit>>>);

impl Limits {
    /// From now on no faster than that; `None` lifts the limit. What left under an earlier
    /// limit goes on counting.
    pub fn set(&self, who: Limited, pace: Option<Pace>, now: u64) {
        let mut limits = self.limits();
        let Some(pace) = pace else {
            limits.remove(&who);
            return;
        };
        match limits.get_mut(&who) {
            Some(limit) => {
                if *limit.limiter.pace() != pace {
                    limit.limiter.set_pace(now, pace);
                }
                limit.limiter.open();
            }
            None => {
                limits.insert(who, Limit::new(Limiter::new(pace, now)));
            }
        }
    }

    /// From now on nothing leaves, until [`Self::set`].
    pub fn close(&self, who: Limited, now: u64) {
        let mut limits = self.limits();
        let new = || Limit::new(Limiter::new(Pace::least(), now));
        limits.entry(who).or_insert_with(new).limiter.close();
    }

    /// From when on nothing that left counts any more; see [`Limiter::settled_at`].
    pub fn settled_at(&self, who: Limited) -> u64 {
        let limits = self.limits();
        limits
            .get(&who)
            .map_or(0, |limit| limit.limiter.settled_at())
    }

    /// The same as [`Self::set`] in a process that has just started: an earlier one may have sent
    /// until a moment ago, texts of up to so many segments.
    pub fn resume(&self, who: Limited, pace: Option<Pace>, now: u64, segments: u32) {
        if let Some(pace) = pace {
            let mut limiter = Limiter::new(pace, now);
            limiter.resume_after(now, now + pace.hold_micros(segments));
            self.limits().insert(who, Limit::new(limiter));
        }
    }

    /// How much may be given out at `now`: what may leave until `ahead_micros` later.
    pub fn room(&self, now: u64, ahead_micros: u64) -> Room {
        let limits = self.limits();
        let left = limits
            .iter()
            .map(|(who, limit)| (*who, limit.room(now, ahead_micros)));
        Room(left.collect())
    }

    /// When the first of those that have no room has some again, if nothing changes before.
    pub fn next_room(&self, now: u64, ahead_micros: u64) -> Option<u64> {
        let limits = self.limits();
        let full = limits
            .values()
            .filter(|limit| limit.room(now, ahead_micros) <= 0);
        full.map(|limit| limit.limiter.earliest(now, 1).saturating_sub(ahead_micros))
            .min()
    }

    /// Counts a text that is given out; `sender` is the one that it is to leave from, if that
    /// has a limit.
    pub fn give(&self, envelope: &Envelope, sender: Option<Limited>) -> Share {
        let mut limits = self.limits();
        let segments = envelope.segments.max(1);
        let over = over(envelope, sender);
        for who in over.iter().flatten() {
            if let Some(limit) = limits.get_mut(who) {
                limit.given += u64::from(segments);
            }
        }
        Share {
            limits: self.clone(),
            over,
            segments,
        }
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<Limited, Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    const fn new(limiter: Limiter) -> Self {
        Self { limiter, given: 0 }
    }

    fn room(&self, now: u64, ahead_micros: u64) -> i64 {
        let due = self.limiter.due_within(now, ahead_micros);
        i64::try_from(due).unwrap_or(i64::MAX) - i64::try_from(self.given).unwrap_or(i64::MAX)
    }
}

/// How many segments of those that are limited may be given out.
#[derive(Clone, Debug, Default)]
pub struct Room(BTreeMap<Limited, i64>);

impl Room {
    /// Whether a text may be given out. The last one may go over: texts are not split.
    pub fn is_for(&self, who: Limited) -> bool {
        self.0.get(&who).is_none_or(|left| *left > 0)
    }

    /// Whether somebody has none.
    pub fn is_short(&self) -> bool {
        self.0.values().any(|left| *left <= 0)
    }

    /// A text is given out; `sender` is the one that it is to leave from, if that has a limit.
    pub fn take(&mut self, envelope: &Envelope, sender: Option<Limited>) {
        if self.0.is_empty() {
            return;
        }
        for who in over(envelope, sender).into_iter().flatten() {
            if let Some(left) = self.0.get_mut(&who) {
                *left -= i64::from(envelope.segments.max(1));
            }
        }
    }
}

/// A text's part of what was given out under the limits that it is under: counted until it
/// was stamped, or is dropped. A limit that was set since counts too: the text may wait long
/// for its provider account.
#[derive(Debug)]
pub struct Share {
    limits: Limits,
    /// Nobody, once it was stamped.
    over: [Option<Limited>; 3],
    segments: u32,
}

impl Share {
    /// Takes a permit of every limit, and last one with `take`: all of them, or none.
    ///
    /// # Errors
    /// [`Wait`] for the limit that is due last, or what `take` says.
    pub fn try_acquire(
        &mut self,
        now: u64,
        take: impl FnOnce() -> Result<SendStamp, Wait>,
    ) -> Result<SendStamp, Wait> {
        let shared = self.limits.clone();
        let mut limits = shared.limits();
        let until = self.earliest(&limits, now);
        if until > now {
            return Err(Wait { until });
        }
        let stamp = take()?;
        for who in std::mem::take(&mut self.over).into_iter().flatten() {
            if let Some(limit) = limits.get_mut(&who) {
                // Cannot be refused: it was looked at, and nobody was in between.
                let _ = limit.limiter.try_acquire(stamp.at, self.segments);
                limit.given = limit.given.saturating_sub(u64::from(self.segments));
            }
        }
        Ok(stamp)
    }

    /// When the limits let it go, if nothing changes before.
    pub fn ready_at(&self, now: u64) -> u64 {
        self.earliest(&self.limits.limits(), now)
    }

    fn earliest(&self, limits: &BTreeMap<Limited, Limit>, now: u64) -> u64 {
        let over = self.over.iter().flatten();
        let over = over.filter_map(|who| limits.get(who));
        over.map(|limit| limit.limiter.earliest(now, self.segments))
            .fold(now, u64::max)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut limits = self.limits.limits();
        for who in self.over.iter().flatten() {
            if let Some(limit) = limits.get_mut(who) {
                limit.given = limit.given.saturating_sub(u64::from(self.segments));
            }
        }
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
