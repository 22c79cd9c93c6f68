//! What is started because somebody asked for it: a coordinator for each campaign, an
//! importer for each file.

use std::collections::BTreeMap;

use actix::Actor;
use tokio::task::JoinHandle;

use crate::campaign::coordinator::{CampaignCoordinator, CoordinatorParts, Look};
use crate::control::Start;
use crate::dispatch::messages::CampaignHeld;
use crate::import::Imports;
use crate::import::importer::{Importer, ImporterParts};
use crate::supervision::{ChildSpec, Post, RestartPolicy, supervise};

/// A child, and the coordinator's post where it is one.
struct Running {
    child: JoinHandle<()>,
    coordinator: Option<Post<CampaignCoordinator>>,
}

pub(super) struct Starter {
    /// What has been started and has not ended. Two importers of one file would count it
    /// twice, and the log tells of a job again when its request is repeated.
    running: BTreeMap<Start, Running>,
    coordinator: CoordinatorParts,
    imports: Imports,
}

impl Starter {
    /// Nothing is started yet. `shared` is what every coordinator gets.
    pub(super) fn new(shared: CoordinatorParts, imports: Imports) -> Self {
        Self {
            running: BTreeMap::new(),
            coordinator: shared,
            imports,
        }
    }

    /// Starts something, unless it runs; a coordinator that runs is told to look.
    pub(super) fn start(&mut self, start: Start) {
        if let Start::Campaign(_, campaign) = start
            && self.coordinator.holds.of(campaign).is_some()
        {
            // Not left to its coordinator, which may be failing.
            self.coordinator.dispatcher.tell(CampaignHeld(campaign));
        }
        self.running
            .retain(|_, running| !running.child.is_finished());
        match self.running.get(&start) {
            Some(Running {
                coordinator: Some(post),
                ..
            }) => {
                post.tell(Look);
            }
            Some(_) => {}
            None => {
                let running = self.child_of(start);
                self.running.insert(start, running);
            }
        }
    }

    fn child_of(&self, start: Start) -> Running {
        let shared = self.coordinator.clone();
        let (runtime, escalation) = (shared.runtime.clone(), shared.escalation.clone());
        match start {
            Start::Campaign(account, campaign) => {
                let parts = CoordinatorParts {
                    account,
                    campaign,
                    ..shared
                };
                let name = "campaign_coordinator";
                let build = move |line| CampaignCoordinator::new(parts.clone(), line);
                let spec = child(name, build);
                Running {
                    coordinator: Some(spec.post.clone()),
                    child: supervise(&runtime, escalation, spec),
                }
            }
            Start::Job(account, job) => {
                let parts = ImporterParts {
                    runtime: shared.runtime,
                    store: shared.store,
                    journal: shared.journal,
                    escalation: shared.escalation,
                    imports: self.imports.clone(),
                    account,
                    job,
                };
                let build = move |line| Importer::new(parts.clone(), line);
                Running {
                    coordinator: None,
                    child: supervise(&runtime, escalation, child("importer", build)),
                }
            }
        }
    }
}

fn child<A: Actor>(
    name: &str,
    factory: impl Fn(crate::supervision::Lifeline) -> A + 'static,
) -> ChildSpec<A> {
    ChildSpec {
        name: name.to_owned(),
        post: Post::default(),
        policy: RestartPolicy::of_work(),
        factory: Box::new(factory),
    }
}
