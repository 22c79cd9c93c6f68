//! Who does it, when, and what happens when it dies.
//!
//! ```text
//! Node
//! ├── ProviderSender (one per provider account): pace, in-flight window, its lane
//! ├── Dispatcher: sources, what is ready, who asked
//! ├── OutcomeWriter: what became of attempts
//! ├── Divider: what it may use of limits that it shares with other owners
//! ├── StatusReconciler: attempts a crash left open, receipts that do not come
//! └── Control
//!     ├── CampaignCoordinator (one per running campaign)
//!     └── Importer (one per running import)
//! ```
//! Actors decide, on one arbiter; tasks on the shared runtime read, commit and send.
//! A mailbox message is a batch. Nothing here knows which store runs.

pub mod campaign;
pub mod control;
pub mod dispatch;
pub mod import;
pub mod instruments;
pub mod node;
pub mod provider;
pub mod receipt;
pub mod shares;
pub mod supervision;
