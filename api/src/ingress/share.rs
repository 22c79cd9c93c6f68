//! Which partitions of the topics of requests this node reads. Nodes that share servers share them:
//! each reads its part of them, in the order of the nodes' names.
//!
//! That only keeps nodes out of each other's way. While a node has come or gone and not all have
//! heard of it, a partition is read by two nodes, or by none for some seconds. Positions are moved by
//! condition, so whoever is second begins anew where the first is, and a record that was read twice
//! counts once.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

/// A node among those that share partitions.
pub struct Share {
    /// Its name.
    this: String,
    /// Those of all.
    all: watch::Receiver<BTreeSet<String>>,
}

/// A node's place among so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seat {
    rank: usize,
    of: usize,
}

impl Seat {
    /// Of a node that reads everything.
    pub(super) const ALONE: Self = Self { rank: 0, of: 1 };

    /// What falls to it, of what is in order.
    pub(super) fn part<K: Ord, V>(self, whole: BTreeMap<K, V>) -> BTreeMap<K, V> {
        let numbered = whole.into_iter().enumerate();
        let part = numbered.filter(|(number, _)| number % self.of == self.rank);
        part.map(|(_, each)| each).collect()
    }
}

impl Share {
    /// Of the node that is called `this`, among all that are told of.
    pub fn new(this: String, all: watch::Receiver<BTreeSet<String>>) -> Self {
        Self { this, all }
    }

    /// Its place as things are now. Where Kafka does not say who is there, the one that owns the
    /// journals reads everything.
    pub(super) fn seat(&self, owns: bool) -> Option<Seat> {
        let all = self.all.borrow();
        if all.is_empty() {
            return owns.then_some(Seat::ALONE);
        }
        let rank = all.iter().position(|node| *node == self.this);
        let of = all.len();
        rank.map(|rank| Seat { rank, of })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use tokio::sync::watch;

    use super::{Seat, Share};

    fn share(this: &str, all: &[String]) -> Share {
        let all: BTreeSet<String> = all.iter().cloned().collect();
        Share::new(this.to_owned(), watch::Sender::new(all).subscribe())
    }

    proptest! {
        /// Whoever the nodes are, each partition is read by one of them.
        #[test]
        fn each_partition_is_one_nodes(
            names in prop::collection::btree_set("[a-z]{1,4}", 1..8), partitions in 0_u32..40,
        ) {
            let all: Vec<String> = names.into_iter().collect();
            let whole: BTreeMap<u32, ()> = (0..partitions).map(|each| (each, ())).collect();
            let mut read = Vec::new();
            for this in &all {
                let seat = share(this, &all).seat(false).expect("it is among them");
                read.extend(seat.part(whole.clone()).into_keys());
            }
            read.sort_unstable();
            prop_assert_eq!(read, whole.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_is_not_told_of_reads_nothing_unless_nobody_is() {
        let others = ["a".to_owned(), "b".to_owned()];
        assert_eq!(share("c", &others).seat(true), None);
        assert_eq!(share("c", &[]).seat(true), Some(Seat::ALONE));
        assert_eq!(share("c", &[]).seat(false), None, "another owns");
    }
}
