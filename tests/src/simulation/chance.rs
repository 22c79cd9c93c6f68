//! Everything that is left to chance, from one seed. Each part of a simulation draws
//! from a stream of its own, so that what one of them draws moves no other.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The streams of one seed.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// What is to happen.
    Plan,
    /// How long tasks and the disk take.
    Machine,
    /// What the lines to the providers do.
    Wire,
    /// When customers ask, and ask again.
    Customers,
    /// What they ask of campaigns that run, and which provider dies meanwhile.
    Orders,
    /// How fast campaigns may go, through whom, and how that is changed.
    Limits,
    /// Which provider is away for minutes, and what may go by no other.
    Stranded,
    /// Over which messages everybody panics.
    Poison,
    /// How fast accounts and senders may go, and what goes from which sender.
    Composed,
    /// Which provider is weak for a while.
    Weakness,
    /// Whose sender is slower than a process needs to start again.
    SlowSender,
    /// Which process is started without its provider accounts.
    Bare,
    /// How owners take turns on servers, and how these answer.
    Servers,
    /// How long requests to the servers take.
    Network,
    /// What is owned by two nodes at once, and how the second ends.
    Beside,
    /// Which story is there alone.
    Alone,
}

/// A source of random numbers.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// A stream of a seed.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream as u64 + 1);
        Self(random)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True in this share of all cases.
    pub fn hits(&mut self, share: f64) -> bool {
        // Always drawn, so that a share of 0 moves nothing that follows.
        let unit = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < share
    }

    /// An even draw, both ends included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high - low) + 1;
        low + ((u128::from(self.bits()) * span) >> 64) as u64
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() as u64 - 1) as usize]
    }
}
