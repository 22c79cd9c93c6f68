//! The resources, one file each, and the table of routes.

mod accounts;
mod campaign_change;
mod campaign_commands;
mod campaigns;
mod contact_lists;
mod docs;
mod fields;
pub(crate) mod health;
mod imports;
mod jobs;
mod message_listing;
mod messages;
pub(crate) mod metrics;
mod openapi;
pub(crate) mod outgoing;
mod providers;
pub mod routes;
mod times;
mod verifications;
mod webhooks;
