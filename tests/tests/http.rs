//! The REST doors over real sockets and a real store.
//!
//! No node runs behind them, but for `stop` and one test of `verifications`: what is taken in
//! stays where the doors put it, so every test can tell what a request changed.

#[path = "http/accounts.rs"]
mod accounts;
#[path = "http/authentication.rs"]
mod authentication;
#[path = "http/bad_input.rs"]
mod bad_input;
#[path = "http/campaign_commands.rs"]
mod campaign_commands;
#[path = "http/campaign_times.rs"]
mod campaign_times;
#[path = "http/campaigns.rs"]
mod campaigns;
#[path = "http/document.rs"]
mod document;
#[path = "http/idempotency.rs"]
mod idempotency;
#[path = "http/imports.rs"]
mod imports;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/pages.rs"]
mod pages;
#[path = "http/pressure.rs"]
mod pressure;
#[path = "http/providers.rs"]
mod providers;
#[path = "http/server.rs"]
mod server;
#[path = "http/stop.rs"]
mod stop;
#[path = "http/verifications.rs"]
mod verifications;
#[path = "http/webhooks.rs"]
mod webhooks;
