//! Whose turn it is: who has owned and is heard stays the owner, then it is whoever has waited
//! longest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::state::State;
use super::{MemoryServers, Network, Node};
use crate::log::{HoldsTurn, LogError, Turn};

/// How long a member may be silent, in microseconds, as on real servers.
const SESSION: u64 = 6_000_000;

/// How often an owner is heard.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// How often who waits looks whether it is its turn.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A node as a member.
pub(super) struct Membership {
    servers: MemoryServers,
    network: Arc<dyn Network>,
    member: u64,
    /// Whether it has got its turn, and is heard.
    owns: AtomicBool,
}

/// The turn of a node, which it has to all ranges at once.
struct HeldTurn(#[expect(dead_code, reason = "it is held")] Arc<Membership>);

/// This node as the member that it is while it has a turn, or waits for one.
fn member_of(node: &Node) -> Arc<Membership> {
    let mut known = node.member.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(member) = known.upgrade() {
        return member;
    }
    let member = Arc::new(Membership {
        servers: node.servers.clone(),
        network: Arc::clone(&node.network),
        member: node.servers.state().join(),
        owns: AtomicBool::new(false),
    });
    *known = Arc::downgrade(&member);
    member
}

/// Waits until it is this node's turn.
pub(super) async fn wait(node: &Node) -> Result<Turn, LogError> {
    let member = member_of(node);
    let number = member.member;
    while !node.servers.state().is_owner(number, node.network.now()) {
        node.runtime.sleep(LOOK_EVERY).await;
    }
    if !member.owns.swap(true, Ordering::AcqRel) {
        node.network.has_turn();
        let (heard, owner) = (node.clone(), Arc::downgrade(&member));
        node.runtime.spawn_dedicated("owner", async move {
            while owner.strong_count() > 0 {
                heard.runtime.sleep(HEARD_EVERY).await;
                if owner.strong_count() > 0 {
                    // Where it was silent for too long it is another's turn, and stays so.
                    let now = heard.network.now();
                    heard.servers.state().is_owner(number, now);
                }
            }
        });
    }
    Ok(Turn::new(HeldTurn(member)))
}

impl HoldsTurn for HeldTurn {
    /// Whoever waits here waits until the owner is gone.
    fn wanted_back(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.network.is_up() {
            self.servers.state().leave(self.member);
        }
    }
}

impl State {
    /// A new member.
    fn join(&mut self) -> u64 {
        self.joined += 1;
        self.joined
    }

    /// A member is heard; whether it is the owner.
    fn is_owner(&mut self, member: u64, now: u64) -> bool {
        self.settle(now);
        self.members.retain(|_, heard| *heard + SESSION > now);
        self.members.insert(member, now);
        if self
            .owner
            .is_none_or(|owner| !self.members.contains_key(&owner))
        {
            self.owner = self.members.first_key_value().map(|(first, _)| *first);
        }
        self.owner == Some(member)
    }

    fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        if self.owner == Some(member) {
            self.owner = None;
        }
    }
}
