//! What may go by no provider account that works, or that is there at all: it is put aside, so
//! that nothing waits behind it, and taken up again when one of them works.
//!
//! A campaign's audience stands still instead: it is read again from where its cursor is, and
//! holds nothing of the read-ahead meanwhile. When its validity has ended it is read on, and
//! everybody in it told so. A probe needs a text: while one is asked for, nothing is put aside
//! that could be it, one recipient of an audience is read, or one message taken up.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::prelude::*;
use engine::dispatch::audience::CampaignPlan;
use engine::dispatch::routing::Routes;
use engine::dispatch::{Origin, Ready};
use schemas::change::Change;
use schemas::position::SourceId;
use schemas::{CampaignId, UnixMicros};

use super::dispatcher::Dispatcher;
use super::release::{Earlier, Release, Wish};
use super::source::{Kind, Source};
use crate::supervision::spawn_for;

/// While more than this part of the read-ahead of what is due is not finished, nothing more is
/// taken up: what is due of others must not wait behind it.
const PART_OF_READ_AHEAD: usize = 8;

/// A message is taken up for a probe at one look of four, once a second: until the next it has
/// been read and given out.
const PROBE_AT_LOOK: u64 = 4;

/// What is known of what waits for a provider account that works.
#[derive(Debug)]
pub(super) struct Aside {
    /// Whether there may be any.
    is_any: bool,
    /// Whether something was put aside since that was looked at.
    is_news: bool,
    /// Whether it is being looked at.
    is_releasing: bool,
    /// How often it was.
    looks: u64,
    /// What is yet to be looked through of what an earlier process put aside.
    earlier: Earlier,
}

impl Default for Aside {
    /// An earlier process may have put something aside.
    fn default() -> Self {
        Self {
            is_any: true,
            is_news: false,
            is_releasing: false,
            looks: 0,
            earlier: Earlier::default(),
        }
    }
}

impl Dispatcher {
    /// Provider accounts that rest and are to get nothing, not even a probe.
    pub(super) fn unreachable(&self) -> Routes {
        let asked = self.demands.keys().copied().collect();
        self.parts.resting.routes().without(asked)
    }

    /// Whether nothing of a campaign can leave now, and it is not too late for it either.
    pub(super) fn is_stranded(&self, plan: &CampaignPlan) -> bool {
        plan.routes.is_within(self.unreachable())
            && self.parts.readers.runtime.now() < plan.valid_until()
    }

    /// How much of a source may be read now while these provider accounts rest, of what its
    /// read-ahead allows.
    pub(super) fn may_read(&self, source: &Source, rests: Routes, now: UnixMicros) -> usize {
        match &source.kind {
            Kind::Audience { plan, .. }
                if plan.routes.is_within(rests) && now < plan.valid_until() =>
            {
                // For a probe, if one is asked for.
                usize::from(!self.is_stranded(plan) && source.unfinished() == 0)
            }
            Kind::Audience { .. } | Kind::Work(_) | Kind::Due => usize::MAX,
        }
    }

    /// What is written of a message that waits for a provider account that works.
    pub(super) fn strand(&self, ready: &Ready, at: UnixMicros) -> (Origin, Change) {
        let envelope = &ready.envelope;
        let held = Change::MessageHeld {
            account: envelope.account,
            message: envelope.id,
            // A campaign's has a row: what is read of an audience is not put aside.
            envelope: envelope.campaign.is_none().then(|| Arc::clone(envelope)),
            providers: self.parts.readers.routing.accounts(ready.routes),
            until: Some(envelope.valid_until),
            at,
        };
        (ready.origin, held)
    }

    /// Tells under which limits texts wait, where others may have them: also those that a probe would
    /// wait for if it could be asked for.
    pub(super) fn wait_for_shares(&self) {
        let shares = self.parts.holds.shares();
        if !shares.is_divided() {
            return;
        }
        let mut limits = self.ready.limits();
        if self.aside.is_any || self.plans.values().any(|plan| self.is_stranded(plan)) {
            let now = self.parts.readers.runtime.boot();
            let probed = self.parts.resting.to_be_probed(now);
            limits.extend(self.parts.beginner.routing.limits(probed));
        }
        shares.wait(&limits);
    }

    /// Puts aside what was read and cannot leave, and lets audiences stand still.
    pub(super) fn put_stranded_aside(&mut self, context: &Context<Self>) {
        let unreachable = self.unreachable();
        let stranded = self.plans.values().filter(|plan| self.is_stranded(plan));
        let mut campaigns: BTreeSet<_> = stranded.map(|plan| plan.campaign.id).collect();
        let now = self.parts.readers.runtime.now();
        let mut held = Vec::new();
        for ready in self.ready.remove_within(unreachable) {
            match ready.origin.source {
                SourceId::Audience(campaign) => {
                    campaigns.insert(campaign);
                }
                SourceId::Work(_)
                | SourceId::Due(_)
                | SourceId::Import(_)
                | SourceId::Callbacks => held.push(self.strand(&ready, now)),
            }
        }
        self.settle(held, context);
        self.stand_still(&campaigns, context);
    }

    /// Forgets what was read of these campaigns' audiences: it is read again.
    fn stand_still(&mut self, campaigns: &BTreeSet<CampaignId>, context: &Context<Self>) {
        let stands = |source: &SourceId| match source {
            SourceId::Audience(campaign) => campaigns.contains(campaign),
            SourceId::Work(_) | SourceId::Due(_) | SourceId::Import(_) | SourceId::Callbacks => {
                false
            }
        };
        if self.sources.keys().any(|(_, source)| stands(source)) {
            self.commit_cursors(context);
            self.sources.retain(|(_, source), _| !stands(source));
        }
    }

    /// Takes some of what was put aside up again, if there is any that can go.
    pub(super) fn release(&mut self, context: &Context<Self>) {
        let due = self.sources.iter();
        let due = due.filter(|((_, source), _)| matches!(source, SourceId::Due(_)));
        let unfinished = due.map(|(_, source)| source.positions.unfinished());
        let unfinished: usize = unfinished.sum();
        if !self.aside.is_any
            || self.aside.is_releasing
            || unfinished > self.parts.read_ahead / PART_OF_READ_AHEAD
        {
            return;
        }
        self.aside.is_releasing = true;
        self.aside.looks += 1;
        let is_for_probes = self.aside.looks.is_multiple_of(PROBE_AT_LOOK);
        // Nothing that was read could be the probe, or it would not be asked for any more.
        let rests = self.parts.resting.routes();
        let asked: Routes = self.demands.keys().copied().collect();
        let wish = Wish {
            probes: if is_for_probes {
                rests.among(asked)
            } else {
                Routes::default()
            },
            rests,
        };
        let earlier = std::mem::take(&mut self.aside.earlier);
        let release = Release::new(&self.parts.readers, wish, earlier);
        let (escalation, address) = (self.parts.escalation.clone(), context.address());
        spawn_for(&self.parts.readers.runtime, context.address(), async move {
            match release.run().await {
                Ok((left, earlier)) => drop(address.send(Released { left, earlier }).await),
                Err(error) => escalation.raise(error.to_string()),
            }
        });
    }
}

/// Something was put aside.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PutAside;

impl Handler<PutAside> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: PutAside, _: &mut Self::Context) {
        (self.aside.is_any, self.aside.is_news) = (true, true);
    }
}

/// What could be taken up was; so many are left.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Released {
    left: u64,
    earlier: Earlier,
}

impl Handler<Released> for Dispatcher {
    type Result = ();

    fn handle(&mut self, released: Released, _: &mut Self::Context) {
        self.aside.is_releasing = false;
        self.aside.is_any = released.left > 0 || self.aside.is_news;
        self.aside.is_news = false;
        self.aside.earlier = released.earlier;
    }
}
