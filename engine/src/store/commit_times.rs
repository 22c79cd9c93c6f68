//! What group commits take: told to operators, and to whoever plans with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::Histogram;

const COMMIT_SECONDS: &str = "volley_store_commit_seconds";
/// How many submissions one group commit made durable.
pub const COMMIT_RECORDS: &str = "volley_store_commit_records";

/// Says what the numbers mean, once for each process.
pub fn describe() {
    metrics::describe_histogram!(
        COMMIT_SECONDS,
        metrics::Unit::Seconds,
        "What one group commit took, its fsync included."
    );
    metrics::describe_histogram!(
        COMMIT_RECORDS,
        "How many submissions one group commit made durable."
    );
    #[cfg(feature = "cluster")]
    super::cql::describe();
}

/// The times of one writer's groups.
pub(super) struct CommitTimes {
    seconds: Histogram,
    records: Histogram,
    /// What those who submit to it know of them.
    pub(super) latency: Latency,
}

impl CommitTimes {
    /// Of no group yet.
    pub(super) fn new() -> Self {
        Self {
            seconds: metrics::histogram!(COMMIT_SECONDS),
            records: metrics::histogram!(COMMIT_RECORDS),
            latency: Latency::default(),
        }
    }

    /// A group of so many records took so many microseconds; on servers it was durable earlier,
    /// and then its rows were written.
    pub(super) fn note(&self, settled: u64, records: usize, durable: Option<u64>) {
        self.seconds.record(settled as f64 / 1e6);
        self.records.record(records as f64);
        if let Some(durable) = durable {
            // What is handed in waits for the group under way to settle, and for its own to be
            // durable.
            self.latency.note(settled + durable);
        }
    }
}

/// How long it takes lately until what is handed in is durable, where groups go to servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency(Arc<AtomicU64>);

impl Latency {
    /// It took so many microseconds. Each counts for an eighth of the mean, so that a single slow
    /// one does not change what is planned with it.
    fn note(&self, micros: u64) {
        let mean = self.0.load(Ordering::Relaxed);
        let noted = match mean {
            0 => micros,
            mean => mean - mean / 8 + micros / 8,
        };
        self.0.store(noted, Ordering::Relaxed);
    }

    /// The mean. Zero before the first.
    pub(super) fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::CommitTimes;

    #[test]
    fn a_slow_group_among_many_changes_little_and_many_change_it() {
        let times = CommitTimes::new();
        times.note(15_000, 5, Some(5_000));
        assert_eq!(times.latency.get(), Duration::from_millis(20));
        times.note(140_000, 5, Some(40_000));
        assert_eq!(times.latency.get(), Duration::from_millis(40));
        for _ in 0..40 {
            times.note(140_000, 5, Some(40_000));
        }
        let latency = times.latency.get();
        assert!((175..=180).contains(&latency.as_millis()), "{latency:?}");
    }

    #[test]
    fn disks_say_nothing() {
        let times = CommitTimes::new();
        times.note(10_000, 5, None);
        assert_eq!(times.latency.get(), Duration::ZERO);
    }
}
