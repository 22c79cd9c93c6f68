//! A provider of text messages that exists only on this machine.
//!
//! It speaks a real provider's dialect over HTTP (Twilio's so far), keeps a limit,
//! goes wrong in the ways real providers do, and writes down in its [`book`] what
//! it took, answered and told. It shares no code with the engine, so the book can
//! judge the engine's claims.
//!
//! # What it enforces
//!
//! - Basic auth per account; senders that are the account's; E.164 recipients;
//!   bodies of 1 to 1,600 characters; callbacks that are `http://` URLs. The
//!   answers carry Twilio's codes.
//! - Each account's limit in segments, counted by [`segments`]: a text that would
//!   bring the taken segments of the last sliding second above 1.05 times the limit
//!   is answered 429 with code 20429 and not taken. Below 20 segments a second, where
//!   5 % is less than a segment, it is the whole limit in 1 s / 1.05 (below 1 a
//!   second, one segment in 1 s / limit / 1.05). A text larger than that passes when
//!   nothing was taken in the window before it.
//! - Nothing else: numbers are not looked up, texts cost nothing, and texts that
//!   were taken twice are sent twice.
//!
//! # Texts and receipts
//!
//! A taken text is `queued`, then `sent`, then `delivered` or `undelivered`, or
//! straight `failed`. When is drawn as it is taken; `fetch` and `list` tell the truth
//! of their moment. With a `StatusCallback` a receipt leaves for `sent` and for the
//! final status, signed with the account's token. The fault plan may send receipts
//! early, late, twice, out of order or not at all; that changes what is told, not
//! what `fetch` says. A receipt whose receiver is dead is tried once more only when
//! no connection could be made, and never again after that.
//!
//! # Seeds
//!
//! Every fault, delay and outcome is drawn from ChaCha8 keyed with the seed, the
//! account, the recipient, the body and how often this same text came before. The
//! same texts thus meet the same faults in every run, in whatever order they come.
//! Whether a number is unreachable depends on the seed and the number alone. The
//! answers to going over the limit are not drawn and do not change any draw. An
//! [`Outage`] is not drawn either: it begins so long after an account's first text.
//!
//! # The book
//!
//! One JSON object a line, in `book.jsonl` in the sandbox's folder, read with
//! [`book::Book::read`]. Its key is the kind of record:
//!
//! | kind | says | see |
//! |---|---|---|
//! | `start` | a start of the sandbox: format, seed, accounts | [`book::StartRecord`] |
//! | `text` | a submitted text: to, from, body, segments, arrival, whether it was taken (`took`), the answer, injected faults, its course, planned and withheld receipts | [`book::TextRecord`] |
//! | `receipt` | a receipt that was tried, and what the receiver said | [`book::ReceiptRecord`] |
//! | `stall` | a time in which the sandbox itself stood still | [`book::StallRecord`] |
//! | `stop` | a stop in good order | [`book::StopRecord`] |
//!
//! Only `took` says whether the provider has a text. A started sandbox reads its
//! folder's book back: old ids can be fetched and receipts not yet tried go on.
//!
//! # Without sockets
//!
//! [`core::Core`] is a plain state machine that is told the time, and
//! [`dialect::respond`] puts the dialect's bytes around it, so a simulation can
//! drive a provider on one thread in virtual time.

mod bare;
pub mod book;
mod config;
pub mod core;
pub mod dialect;
mod faults;
mod outage;
mod sandbox;
mod seam;
pub mod segments;
mod sender;
mod server;
mod stalls;
mod statistics;
mod twilio;
mod workers;

pub use bare::BareCounter;
pub use config::{AccountConfig, ConfigError, MOST_ACCOUNTS, SandboxConfig, check_accounts};
pub use faults::{AnswerFault, FaultPlan, ReceiptFault, UnknownPlan};
pub use outage::{Outage, OutageError, OutageKind};
pub use sandbox::{Sandbox, StartError};
pub use seam::{Clock, SystemClock};
pub use statistics::{AccountStatistics, Counts, StallStatistics, Statistics};
