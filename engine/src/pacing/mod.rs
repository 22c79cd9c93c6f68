//! How fast texts go to a provider account.
//!
//! A [`Limiter`] says *when* the next text may be stamped, in segments per second; [`Limits`]
//! are those that hold besides, for a campaign or an account of ours; a [`Division`] what of a limit
//! an owner may use that shares it with others; a
//! [`Breaker`] whether the account works at all, and an [`Adaptive`] how much of its limit it can
//! take; a [`LookupSchedule`] when a message without a receipt is asked about. All are plain
//! state: nothing here reads a clock, starts a task or draws a random number.
//!
//! Every instant is a `u64` of microseconds on the boot-time clock (it does not stop while the
//! machine sleeps and never jumps), unless a name says otherwise.

mod adaptive;
mod breaker;
mod condition;
mod division;
mod health;
mod limiter;
mod limits;
mod lookups;
mod meter;
mod pace;
pub mod share;
pub mod sliding;
mod window;

#[cfg(test)]
mod adaptive_laws;
#[cfg(test)]
mod division_laws;
#[cfg(test)]
mod limiter_judge;
#[cfg(test)]
mod limiter_laws;

pub use adaptive::{Adaptive, Heard, RECOVERY};
pub use breaker::{Breaker, FAILURES, LONGEST_REST, Leave, SILENCE, Sign};
pub use condition::Condition;
pub use division::{Division, TURN_MICROS};
pub use health::{HealthNotes, Noted, change_of};
pub use limiter::{Limiter, SendStamp, Wait};
pub use limits::{Limited, Limits, Room, Share};
pub use lookups::LookupSchedule;
pub use pace::{CATCH_UP_MICROS, MAX_RATE, MIN_RATE, Pace, PaceError, millionths};
