//! Provider senders: one actor for each provider account, and the tasks that carry
//! its texts to the provider.

pub mod health;
pub mod lane;
mod line;
pub mod pacing;
pub mod resting;
pub mod sender;
pub mod ticket;
