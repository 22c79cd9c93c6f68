//! Limits beside those of campaigns and provider accounts: of customers' accounts, and of the
//! senders of provider accounts; and what goes from another sender than the default one.

use std::num::NonZeroU32;

use super::{CampaignPlan, ProviderPlan, SinglePlan};
use crate::simulation::chance::Chance;

/// How fast a customer's account may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccountPlan {
    /// Segments per second at most, from the start.
    pub rate: Option<f64>,
    /// What the operator changes it to, and when, in milliseconds.
    pub change: Option<(u64, Option<f64>)>,
}

/// Draws one; its customer wants so many messages.
fn account(chance: &mut Chance, messages: u64) -> AccountPlan {
    let mut rate = || {
        let rate = messages as f64 / chance.between(3, 12) as f64;
        // A fractional one has a window of its own.
        let rate = if chance.hits(0.5) { rate.ceil() } else { rate };
        chance.hits(0.7).then_some(rate.max(1.0))
    };
    let (first, other) = (rate(), rate());
    let (is_limited, is_changed) = (chance.hits(0.2), chance.hits(0.15));
    let at_ms = chance.between(0, 5_000);
    AccountPlan {
        rate: first.filter(|_| is_limited),
        change: is_changed.then_some((at_ms, other)),
    }
}

/// A sender's limit, of an account with this rate.
fn sender(chance: &mut Chance, rate: f64) -> Option<f64> {
    let rate = rate / chance.between(2, 8) as f64;
    let rate = if chance.hits(0.5) { rate.ceil() } else { rate };
    chance.hits(0.12).then_some(rate.max(1.0))
}

/// Draws the limits of all senders, and what goes from second ones.
pub(super) fn senders(
    chance: &mut Chance,
    providers: &mut [ProviderPlan],
    campaigns: &mut [CampaignPlan],
    singles: &mut [SinglePlan],
) {
    for provider in providers.iter_mut() {
        provider.sender_rates = [0, 1].map(|_| sender(chance, provider.rate));
    }
    let last = providers.len() as u64 - 1;
    for campaign in campaigns {
        let place = chance.between(0, last) as usize;
        // Only who owns the sender may carry it.
        let goes_elsewhere = campaign
            .change
            .is_some_and(|change| change.provider.is_some());
        let is_of_it = chance.hits(0.12) && !goes_elsewhere;
        campaign.from_second_of = is_of_it.then_some(place);
    }
    let mut before = None;
    for single in singles {
        let place = single.provider.unwrap_or(chance.between(0, last) as usize);
        let drawn = chance.hits(0.15).then_some(place);
        single.from_second_of = if single.is_echo { before } else { drawn };
        before = single.from_second_of;
        if single.from_second_of.is_some() {
            single.provider = single.from_second_of;
        }
    }
}

/// How often a key may ask: mostly as often as it likes.
pub(super) fn requests_per_second(chance: &mut Chance) -> NonZeroU32 {
    let few = chance.between(2, 12) as u32;
    let drawn = if chance.hits(0.1) { few } else { u32::MAX };
    NonZeroU32::new(drawn).unwrap_or(NonZeroU32::MAX)
}

/// Draws the limits of all accounts.
pub(super) fn accounts(
    chance: &mut Chance,
    number: usize,
    campaigns: &[CampaignPlan],
    singles: &[SinglePlan],
) -> Vec<AccountPlan> {
    let accounts = 0..number;
    let drawn = accounts.map(|account_number| {
        let campaigns = campaigns.iter();
        let own = campaigns.filter(|campaign| campaign.account == account_number);
        let recipients: u64 = own.map(|campaign| campaign.recipients).sum();
        let own = singles
            .iter()
            .filter(|single| single.account == account_number);
        account(chance, recipients + own.count() as u64)
    });
    drawn.collect()
}
