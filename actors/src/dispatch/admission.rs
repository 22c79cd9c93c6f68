//! What was read is let in to wait for a provider account, unless it must be put aside.

use std::collections::btree_map::Entry;

use actix::prelude::*;
use engine::dispatch::{Origin, Ready};
use schemas::AccountId;
use schemas::account::Account;
use schemas::change::Change;
use schemas::position::SourceId;

use super::dispatcher::Dispatcher;
use super::holds::put_aside;
use super::messages::Weighed;
use crate::supervision::spawn_for;

impl Dispatcher {
    /// Lets what was read wait for a provider. Gives back what may not begin, because its
    /// campaign has been held since it was looked for, or no provider account works that may
    /// carry it: that is put aside.
    pub(super) fn admit(
        &mut self,
        read: Vec<Ready>,
        context: &Context<Self>,
    ) -> Vec<(Origin, Change)> {
        let mut held = Vec::new();
        let unreachable = self.unreachable();
        for mut ready in read {
            if let Entry::Vacant(unknown) = self.weighed.entry(ready.envelope.account) {
                unknown.insert(0);
                self.weigh(ready.envelope.account, context);
            }
            // What was read of an audience is dropped with its source, and read again.
            let was_due = matches!(ready.origin.source, SourceId::Due(_));
            let campaign = ready.envelope.campaign.filter(|_| was_due);
            if campaign.is_some_and(|campaign| self.parts.holds.of(campaign).is_some()) {
                let now = self.parts.readers.runtime.now();
                held.push((ready.origin, put_aside(&ready.envelope, now)));
            } else {
                let plan = ready.envelope.campaign.and_then(|id| self.plans.get(&id));
                if let Some(plan) = plan.filter(|plan| !plan.routes.is_empty()) {
                    // It may have been read for where the campaign went before.
                    ready.routes = plan.routes;
                }
                let is_read_again = matches!(ready.origin.source, SourceId::Audience(_));
                if ready.routes.is_within(unreachable) && !is_read_again {
                    let now = self.parts.readers.runtime.now();
                    held.push(self.strand(&ready, now));
                } else {
                    self.ready.push(ready);
                }
            }
        }
        held
    }

    /// Reads an account's weight; until it is known it counts as 1.
    fn weigh(&self, account: AccountId, context: &Context<Self>) {
        let address = context.address();
        let (store, escalation) = (
            self.parts.readers.store.clone(),
            self.parts.escalation.clone(),
        );
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
            match store.get::<Account>(&Account::key_of(account)).await {
                Ok(Some(row)) => {
                    let _ = address.send(Weighed::of(&row)).await;
                }
                Ok(None) => {}
                Err(error) => escalation.raise(error.to_string()),
            }
        });
    }
}
