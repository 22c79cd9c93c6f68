//! What senders ask the dispatcher for, and how both keep count of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::prelude::*;
use engine::dispatch::ready::Wanted;

use super::dispatcher::Dispatcher;
use crate::provider::lane::Lane;

/// What one sender has asked one dispatcher for and not got, in segments. The sender counts
/// up, and who brings the work counts down.
#[derive(Debug, Default)]
pub struct Asked {
    any: AtomicU32,
    transactional: AtomicU32,
}

impl Asked {
    /// What is on its way.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            any: self.any.load(Ordering::Acquire),
            transactional: self.transactional.load(Ordering::Acquire),
        }
    }

    /// So much more is asked for.
    pub fn add(&self, wanted: Wanted) {
        self.any.fetch_add(wanted.any, Ordering::AcqRel);
        self.transactional
            .fetch_add(wanted.transactional, Ordering::AcqRel);
    }

    /// So much of it has come, or does not.
    pub fn remove(&self, wanted: Wanted) {
        self.any.fetch_sub(wanted.any, Ordering::AcqRel);
        self.transactional
            .fetch_sub(wanted.transactional, Ordering::AcqRel);
    }
}

/// A part of what was asked for that is being brought: counted until it has come, or was lost.
#[derive(Debug)]
pub struct Coming {
    asked: Arc<Asked>,
    wanted: Wanted,
}

impl Coming {
    /// This much of it.
    pub fn of(asked: &Arc<Asked>, wanted: Wanted) -> Self {
        let asked = Arc::clone(asked);
        Self { asked, wanted }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.asked.remove(self.wanted);
    }
}

/// A sender has permits for so much more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Demand {
    /// The provider account's number in the routes.
    pub provider: usize,
    /// How much.
    pub wanted: Wanted,
    /// Where to put it.
    pub lane: Arc<Lane>,
    /// The sender's count, which has been told.
    pub asked: Arc<Asked>,
}

impl Handler<Demand> for Dispatcher {
    type Result = ();

    fn handle(&mut self, demand: Demand, context: &mut Self::Context) {
        match self.demands.get_mut(&demand.provider) {
            Some(waiting) if Arc::ptr_eq(&waiting.lane, &demand.lane) => {
                waiting.wanted = waiting.wanted.plus(demand.wanted);
            }
            Some(_) | None => {
                self.demands.insert(demand.provider, demand);
            }
        }
        self.go_on(context);
    }
}

/// The sender with this number wants nothing any more of what it asked for.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Withdrawn(pub usize);

impl Handler<Withdrawn> for Dispatcher {
    type Result = ();

    fn handle(&mut self, withdrawn: Withdrawn, _: &mut Self::Context) {
        self.demands.remove(&withdrawn.0);
    }
}
