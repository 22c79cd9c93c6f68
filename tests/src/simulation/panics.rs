//! Panics that nobody planned. The runtimes swallow what a task throws, so they are noted
//! where they begin.

use std::cell::RefCell;

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes every panic of this process instead of printing it. Planted ones are thrown
/// without one.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let told = panic.to_string();
        // Outside of a schedule there is nobody to tell.
        let _ = PANICS.try_with(|panics| panics.borrow_mut().push(told));
    }));
}

/// The panics of this thread so far.
pub(super) fn taken() -> Vec<String> {
    PANICS.with(RefCell::take)
}
