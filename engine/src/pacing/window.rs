//! The promise: a count of the segments in the last window, in bounded memory.
//!
//! Stamps are kept in runs: a run covers a short span and leaves as a whole, one window after its
//! *last* stamp. That errs on the safe side by the span at most, 1/1,000 of the window.

use super::pace::Pace;
use std::collections::VecDeque;

/// Most runs kept, whatever the rate: 24 KiB for a limiter that is used to the full.
/// When they are all in use the newest is stretched, which is safe and only costs rate.
const MAX_RUNS: usize = 1_024;

/// Up to this count in a window every instant has its own run, and nothing is rounded.
const EXACT_SEGMENTS: u32 = 512;

/// Above it, a run spans at most this part of the window: 0.1 % of the rate is the most it costs.
const RUNS_IN_WINDOW: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
    segments: u32,
    /// One text of more segments than a whole window: alone, and kept until its debt is paid.
    oversized: bool,
    /// It stands for stamps whose number is not known: a full window, whatever the limit.
    unknown: bool,
}

impl Run {
    /// When this run no longer counts.
    fn leaves_at(&self, pace: &Pace) -> u64 {
        let hold = if self.oversized {
            pace.hold_micros(self.segments)
        } else {
            pace.window_micros()
        };
        self.last.saturating_add(hold)
    }
}

/// The segments stamped in the last window, oldest run first.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    runs: VecDeque<Run>,
    segments: u64,
    /// The newest stamp that has left, or that may have been lost: a longer window may have to
    /// count it again.
    left: Option<u64>,
}

impl Window {
    /// Drops what no longer counts at `now`.
    pub(super) fn forget(&mut self, now: u64, pace: &Pace) {
        while let Some(run) = self.runs.front()
            && run.leaves_at(pace) <= now
        {
            self.left = Some(run.last);
            self.segments -= u64::from(run.segments);
            self.runs.pop_front();
        }
    }

    /// The first instant at which a text of `segments` fits: with the others into the count, or,
    /// if it is larger than the count, into an empty window. 0 if it fits already.
    pub(super) fn ready_at(&self, segments: u32, pace: &Pace) -> u64 {
        let room = u64::from(pace.segments_in_window().saturating_sub(segments));
        let mut counted = self.segments;
        let mut at = 0;
        for run in &self.runs {
            if counted <= room {
                break;
            }
            counted -= u64::from(run.segments);
            at = run.leaves_at(pace);
        }
        at
    }

    /// Room in segments at `end`, if nothing is added before.
    pub(super) fn room_at(&self, end: u64, pace: &Pace) -> u64 {
        let gone = self
            .runs
            .iter()
            .take_while(|run| run.leaves_at(pace) <= end);
        let counted = self.segments - gone.map(|run| u64::from(run.segments)).sum::<u64>();
        u64::from(pace.segments_in_window()).saturating_sub(counted)
    }

    /// Counts a text stamped at `now`, which is not before any earlier stamp.
    pub(super) fn add(&mut self, now: u64, segments: u32, pace: &Pace) {
        self.segments += u64::from(segments);
        let oversized = segments > pace.segments_in_window();
        let span = if pace.segments_in_window() <= EXACT_SEGMENTS {
            0
        } else {
            pace.window_micros() / RUNS_IN_WINDOW
        };
        let full = self.runs.len() >= MAX_RUNS;
        if let Some(run) = self.runs.back_mut()
            && (now == run.last || now < run.first.saturating_add(span) || full)
        {
            run.last = now;
            run.segments = run.segments.saturating_add(segments);
            run.oversized |= oversized;
            return;
        }
        self.runs.push_back(Run {
            first: now,
            last: now,
            segments,
            oversized,
            unknown: false,
        });
    }

    /// Goes on under another limit; stamps taken under the old one count under the new.
    ///
    /// If the new window is longer, stamps that were dropped may lie in it again. How many is no
    /// longer known, so the newest of them is taken for a full window.
    pub(super) fn change(&mut self, now: u64, old: &Pace, new: &Pace) {
        self.forget(now, old);
        let full = new.segments_in_window();
        for run in &mut self.runs {
            if run.unknown {
                self.segments += u64::from(full);
                self.segments -= u64::from(run.segments);
                run.segments = full;
            }
            run.oversized &= run.segments > full;
        }
        if let Some(left) = self.left
            && new.window_micros() > old.window_micros()
            && left.saturating_add(new.window_micros()) > now
        {
            self.segments += u64::from(full);
            self.runs.push_front(Run {
                first: left,
                last: left,
                segments: full,
                oversized: false,
                unknown: true,
            });
            self.left = None;
        }
    }

    /// Stamps up to `at` may have been taken that are not known here and have left the window.
    pub(super) fn lost(&mut self, at: u64) {
        self.left = self.left.max(Some(at));
    }

    /// The instant at which nothing counts any more. What has left is told too, because a longer
    /// window may have to count it again.
    pub(super) fn empty_at(&self, pace: &Pace) -> u64 {
        let left = self
            .left
            .map_or(0, |at| at.saturating_add(pace.window_micros()));
        self.runs
            .back()
            .map_or(0, |run| run.leaves_at(pace))
            .max(left)
    }

    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }
}
