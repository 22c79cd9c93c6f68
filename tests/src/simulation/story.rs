//! What happened, in its order: as a hash always, as lines for people on demand.

use std::cell::{Cell, RefCell};

/// A story that is being told.
pub struct Story {
    hash: Cell<u64>,
    lines: Option<RefCell<Vec<String>>>,
}

impl Story {
    /// A story of nothing yet; its lines are kept only if it `is_told`.
    pub fn new(is_told: bool) -> Self {
        Self {
            // FNV-1a's offset basis.
            hash: Cell::new(0xcbf2_9ce4_8422_2325),
            lines: is_told.then(RefCell::default),
        }
    }

    /// Something happened that these numbers tell apart.
    pub fn mark(&self, numbers: &[u64]) {
        let mut hash = self.hash.get();
        for number in numbers {
            for byte in number.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        self.hash.set(hash);
    }

    /// Something happened, in words.
    pub fn tell(&self, now: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>12.3} ms  {}", now as f64 / 1_000.0, line());
            lines.borrow_mut().push(line);
        }
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map_or_else(Vec::new, RefCell::take)
    }
}
