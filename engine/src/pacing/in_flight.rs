//! How many requests to one provider account may be open at once.

/// Most open requests of one provider account unless its settings say otherwise.
///
/// 64 carries 640 requests/s at 100 ms each; it also bounds what a crash leaves unknown and how
/// many warm connections the account needs.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 64;

/// Counted slots: one is taken before a request is started and given back after its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlightWindow {
    max: u32,
    taken: u32,
}

impl Default for InFlightWindow {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_IN_FLIGHT)
    }
}

impl InFlightWindow {
    /// A window of `max` slots, all free. 0 lets nothing start.
    pub fn new(max: u32) -> Self {
        Self { max, taken: 0 }
    }

    /// Takes a slot; `false` if none is free.
    #[must_use]
    pub fn try_take(&mut self) -> bool {
        let free = self.taken < self.max;
        self.taken += u32::from(free);
        free
    }

    /// Gives one slot back. Giving back more than was taken is a fault of the caller; the count
    /// then stays at 0 rather than letting more than `max` start.
    pub fn give_back(&mut self) {
        debug_assert!(self.taken > 0, "a slot was given back that nobody took");
        self.taken = self.taken.saturating_sub(1);
    }

    /// Changes the bound at once. If more are open than it allows, they finish and none starts
    /// until they are fewer.
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// The bound.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Requests open now.
    pub fn in_flight(&self) -> u32 {
        self.taken
    }

    /// Requests that may start now.
    pub fn free(&self) -> u32 {
        self.max.saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::InFlightWindow;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Take,
        GiveBack,
        SetMax(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Take),
            2 => Just(Step::GiveBack),
            1 => (0_u32..8).prop_map(Step::SetMax),
        ]
    }

    proptest! {
        #[test]
        fn a_slot_is_taken_exactly_while_fewer_than_the_bound_are_open(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let (mut window, mut max, mut open) = (InFlightWindow::new(3), 3, 0);
            for step in steps {
                match step {
                    Step::Take => {
                        let may = open < max;
                        prop_assert_eq!(window.try_take(), may);
                        open += u32::from(may);
                    }
                    Step::GiveBack if open > 0 => {
                        window.give_back();
                        open -= 1;
                    }
                    Step::GiveBack => {}
                    Step::SetMax(new) => {
                        window.set_max(new);
                        max = new;
                    }
                }
                prop_assert_eq!(window.in_flight(), open);
                prop_assert_eq!(window.free(), max.saturating_sub(open));
            }
        }
    }
}
