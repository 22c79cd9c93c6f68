//! A text whose fate is unknown, and a start without the provider account that may have it: how
//! long it is until the text is to be sent again.

use std::path::Path;

use schemas::{Message, MessageClass};

use super::plan::{End, LifePlan, Outage, Plan, ProviderPlan, SinglePlan};
use super::{judge, run_plan};

/// When the account answers again, in milliseconds: the text has left by then.
const SILENT_UNTIL_MS: u64 = 6_000;

/// When the first process ends, in milliseconds.
const FIRST_LIFE_MS: u64 = 8_000;

/// How long the process without the account runs, in milliseconds: more than three searches
/// take.
pub const GONE_FOR_MS: u64 = 240_000;

/// What came of it.
#[derive(Debug)]
pub struct Gone {
    /// Milliseconds from each outcome that was unknown to the decision to send again.
    pub waits: Vec<u64>,
    /// What must not be.
    pub violations: Vec<String>,
}

/// One transactional text to an account that swallows it, and is not in the settings of the next
/// process.
pub fn while_its_account_is_gone(seed: u64, folder: &Path) -> Gone {
    let mut plan = Plan::draw(seed);
    plan.make_plain();
    plan.providers = vec![ProviderPlan {
        outage: Some((0, SILENT_UNTIL_MS, Outage::Swallows)),
        ..ProviderPlan::sound(10.0)
    }];
    plan.campaigns = Vec::new();
    plan.singles = vec![SinglePlan {
        account: 0,
        at_ms: 500,
        class: MessageClass::Transactional,
        send_after_ms: None,
        validity_seconds: 3_600,
        has_key: true,
        has_twin: false,
        is_repeated: false,
        provider: None,
        from_second_of: None,
        is_echo: false,
        poison: None,
    }];
    plan.lives = vec![
        LifePlan {
            end: End::AtTime(FIRST_LIFE_MS),
            ..LifePlan::calm()
        },
        LifePlan {
            end: End::AtTime(GONE_FOR_MS),
            is_bare: true,
            ..LifePlan::calm()
        },
        LifePlan::calm(),
    ];
    let (simulation, _) = run_plan(seed, plan, folder, false);
    let mut waits = Vec::new();
    for message in judge::rows::<Message>(&simulation) {
        let mut since = None;
        for entry in &message.timeline {
            match entry.event.as_str() {
                "outcome_unknown" => since = Some(entry.at),
                "resend_planned" => {
                    let waited = since.map_or(0, |since| entry.at.0 - since.0) / 1_000;
                    waits.push(u64::try_from(waited).unwrap_or(0));
                }
                _ => {}
            }
        }
    }
    let violations = simulation.violations.take();
    Gone { waits, violations }
}
