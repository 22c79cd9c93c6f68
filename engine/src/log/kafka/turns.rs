//! The turns of one node: which ranges Kafka has assigned to it, which of these somebody works on,
//! and which are wanted back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// One range.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Range {
    is_assigned: bool,
    is_held: bool,
    is_wanted_back: bool,
}

/// All ranges of a deployment, as a node sees them.
#[derive(Debug)]
pub(super) struct Turns {
    ranges: Mutex<Box<[Range]>>,
    /// Told after each change to those who wait in tasks.
    changes: watch::Sender<()>,
    /// And to the thread that waits for what is given back.
    given_back: Condvar,
}

impl Turns {
    /// So many ranges, of which none is this node's.
    pub(super) fn of(ranges: u16) -> Arc<Self> {
        Arc::new(Self {
            ranges: Mutex::new(vec![Range::default(); ranges.into()].into()),
            changes: watch::Sender::new(()),
            given_back: Condvar::new(),
        })
    }

    /// Kafka has assigned exactly these; tells how many, and whether that is news.
    pub(super) fn are(&self, places: &[usize]) -> (usize, bool) {
        let mut ranges = self.lock();
        let before = ranges.clone();
        for (place, range) in ranges.iter_mut().enumerate() {
            range.is_assigned = places.contains(&place);
        }
        let is_news = *before != **ranges;
        drop(ranges);
        if is_news {
            self.changes.send_replace(());
        }
        (places.len(), is_news)
    }

    /// Wants these back, and waits until nobody works on them, no longer than `patience`. Blocks.
    pub(super) fn want_back(&self, places: &[usize], patience: Duration) {
        let mut ranges = self.lock();
        for place in places {
            if let Some(range) = ranges.get_mut(*place) {
                range.is_assigned = false;
                range.is_wanted_back = range.is_held;
            }
        }
        self.changes.send_replace(());
        let is_held = |ranges: &mut Box<[Range]>| {
            let mut wanted = places.iter().filter_map(|place| ranges.get(*place));
            wanted.any(|range| range.is_held)
        };
        let waited = self
            .given_back
            .wait_timeout_while(ranges, patience, is_held);
        drop(waited);
    }

    /// Waits until a range is this node's, and begins to work on it.
    pub(super) async fn take(self: &Arc<Self>, place: usize) -> Taken {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            {
                let mut ranges = self.lock();
                if let Some(range) = ranges.get_mut(place)
                    && range.is_assigned
                    && !range.is_held
                {
                    range.is_held = true;
                    let turns = Arc::clone(self);
                    return Taken { turns, place };
                }
            }
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    /// Waits until a range that is worked on is wanted back.
    pub(super) async fn wanted_back(&self, place: usize) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if self.lock().get(place).is_some_and(|it| it.is_wanted_back) {
                return;
            }
            let _ = changes.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Range]>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range that somebody works on. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Taken {
    turns: Arc<Turns>,
    place: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(range) = self.turns.lock().get_mut(self.place) {
            (range.is_held, range.is_wanted_back) = (false, false);
        }
        self.turns.given_back.notify_all();
        self.turns.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::Turns;

    /// Longer than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_range_is_worked_on_while_it_is_assigned_and_until_it_is_given_back() {
        let turns = Turns::of(2);
        assert!(turns.take(1).now_or_never().is_none(), "another's");
        assert_eq!(turns.are(&[1]), (1, true));
        assert_eq!(turns.are(&[1]), (1, false));
        let taken = turns.take(1).now_or_never().expect("it is ours");
        assert!(turns.take(1).now_or_never().is_none(), "it is worked on");
        assert!(turns.wanted_back(1).now_or_never().is_none());
        std::thread::scope(|scope| {
            let wanting = scope.spawn(|| turns.want_back(&[0, 1], PATIENCE));
            futures::executor::block_on(turns.wanted_back(1));
            assert!(!wanting.is_finished(), "it is worked on");
            drop(taken);
            wanting.join().expect("it is given back");
        });
        assert!(turns.take(1).now_or_never().is_none(), "another's");
        turns.are(&[0, 1]);
        let taken = turns.take(1).now_or_never();
        assert!(taken.is_some(), "it has come again");
        assert!(turns.wanted_back(1).now_or_never().is_none());
    }

    #[test]
    fn who_does_not_give_back_is_not_waited_for_for_ever() {
        let turns = Turns::of(1);
        turns.are(&[0]);
        let taken = turns.take(0).now_or_never();
        turns.want_back(&[0], Duration::ZERO);
        assert!(turns.wanted_back(0).now_or_never().is_some());
        drop(taken);
    }
}
