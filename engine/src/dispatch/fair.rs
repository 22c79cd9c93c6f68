//! Fair turns: start-time fair queueing (Goyal, Vin and Cheng, 1996) over flows of any
//! kind. A flow's tag is the virtual instant at which its next text is due; the smallest
//! tag is served and moves on by what the text costs over the flow's weight. A flow that
//! comes back after a rest starts at the present: what it did not use is not owed to it,
//! so a lone flow gets everything, and nobody waits behind his own past.

use std::collections::BTreeMap;

/// Virtual time that a segment costs a flow of weight 1: divisible by 1 to 10, and large
/// enough that another weight's remainder is less than a thousandth.
const SEGMENT: u64 = 2_520 * 100;

/// Flows that are remembered before any are looked at whether they can be forgotten.
const REMEMBERED: usize = 64;

/// Turns among flows that wait for one thing.
#[derive(Debug)]
pub struct Turns<K> {
    now: u64,
    /// When a flow's next text is due, where that is ahead of the present.
    due: BTreeMap<K, u64>,
    /// How many may be remembered before the next look.
    room: usize,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self {
            now: 0,
            due: BTreeMap::new(),
            room: REMEMBERED,
        }
    }
}

impl<K: Copy + Ord> Turns<K> {
    /// When the next text of a flow is due.
    pub fn due(&self, flow: K) -> u64 {
        self.due
            .get(&flow)
            .map_or(self.now, |due| *due.max(&self.now))
    }

    /// The flow sends so many segments; tells when its next text is due.
    pub fn serve(&mut self, flow: K, segments: u32, weight: u32) -> u64 {
        self.now = self.due(flow);
        let cost = u64::from(segments.max(1)) * SEGMENT / u64::from(weight.max(1));
        let due = self.now.saturating_add(cost.max(1));
        self.due.insert(flow, due);
        if self.due.len() > self.room {
            self.due.retain(|_, due| *due > self.now);
            self.room = REMEMBERED.max(2 * self.due.len());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Turns;

    /// Serves whoever is due first among flows that always have something.
    fn served(weights: &[u32], sizes: &[u32], turns: usize) -> BTreeMap<usize, u64> {
        let mut fair = Turns::default();
        let mut got = BTreeMap::new();
        for _ in 0..turns {
            let next = (0..weights.len()).min_by_key(|flow| (fair.due(*flow), *flow));
            let flow = next.expect("a flow");
            fair.serve(flow, sizes[flow], weights[flow]);
            *got.entry(flow).or_default() += u64::from(sizes[flow]);
        }
        got
    }

    #[test]
    fn a_lone_flow_gets_everything() {
        assert_eq!(served(&[1], &[1], 100)[&0], 100);
    }

    #[test]
    fn who_was_away_is_owed_nothing() {
        let mut fair = Turns::default();
        for _ in 0..1_000 {
            fair.serve('a', 1, 1);
        }
        fair.serve('b', 1, 1);
        let gap = fair.due('b').abs_diff(fair.due('a'));
        assert!(gap <= super::SEGMENT, "{gap}");
    }

    #[test]
    fn flows_that_are_gone_are_forgotten() {
        let mut fair = Turns::default();
        for flow in 0..100_000_u32 {
            fair.serve(flow, 1, 1);
            fair.serve(u32::MAX, 1, 1);
        }
        assert!(
            fair.due.len() <= 2 * super::REMEMBERED,
            "{}",
            fair.due.len()
        );
    }

    proptest! {
        /// The bound of the paper: over any stretch in which both wait, what two flows
        /// got for their weight differs by no more than one text of each.
        #[test]
        fn nobody_is_more_than_a_text_ahead(
            flows in prop::collection::vec((1_u32..20, 1_u32..8), 2..12),
            turns in 1_usize..2_000,
        ) {
            let (weights, sizes): (Vec<_>, Vec<_>) = flows.into_iter().unzip();
            let got = served(&weights, &sizes, turns);
            let share = |flow: usize| {
                got.get(&flow).copied().unwrap_or(0) as f64 / f64::from(weights[flow])
            };
            for one in 0..weights.len() {
                for other in 0..weights.len() {
                    let text = |flow: usize| f64::from(sizes[flow]) / f64::from(weights[flow]);
                    let bound = text(one) + text(other);
                    let apart = (share(one) - share(other)).abs();
                    prop_assert!(apart <= bound * 1.001, "{apart} > {bound}");
                }
            }
        }
    }
}
