//! What a text says and what it weighs.
//!
//! [`template`] turns a campaign's body and one contact's fields into the words that are sent;
//! [`segments`] says in which encoding they travel, and as how many parts, which is what pacing
//! is measured in and what carriers charge for; [`gsm7`] is the alphabet that decides it.

pub mod gsm7;
pub mod segments;
pub mod template;

pub use segments::{SegmentCount, count_segments, split};
pub use template::{RenderError, Template, TemplateError};
