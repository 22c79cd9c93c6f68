//! Whose turn it is: who owns a range and is heard stays its owner, then it is whoever has waited
//! longest. Other ranges go with the first, but for those that are kept apart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::PartitionRange;

use super::state::State;
use super::{MemoryServers, Network, Node};
use crate::log::{HoldsTurn, LogError, Turn};

/// How long a member may be silent, in microseconds, as on real servers.
const SESSION: u64 = 6_000_000;

/// How often an owner is heard.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// How often who waits looks whether it is its turn.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the owner of the first range leaves those that are kept apart to another that may come,
/// in microseconds.
const LEFT_TO_OTHERS: u64 = 500_000;

/// A node as a member.
pub(super) struct Membership {
    servers: MemoryServers,
    network: Arc<dyn Network>,
    member: u64,
    /// Whether it has got a turn, and is heard.
    owns: AtomicBool,
}

/// The turn of a node, to one range or several.
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

/// Waits until it is this node's turn to own a range.
pub(super) async fn wait(node: &Node, range: PartitionRange) -> Result<Turn, LogError> {
    let member = member_of(node);
    let (number, place) = (member.member, range.place());
    loop {
        let now = node.network.now();
        if node.servers.state().is_owner(number, place, now) {
            break;
        }
        node.runtime.sleep(LOOK_EVERY).await;
    }
    node.network.has_turn(range);
    if !member.owns.swap(true, Ordering::AcqRel) {
        let (heard, owner) = (node.clone(), Arc::downgrade(&member));
        node.runtime.spawn_dedicated("owner", async move {
            while owner.strong_count() > 0 {
                heard.runtime.sleep(HEARD_EVERY).await;
                if owner.strong_count() > 0 {
                    // Where it was silent for too long it is another's turn, and stays so.
                    heard.servers.state().hear(number, heard.network.now());
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

    /// A member is heard. Who was silent for too long owns nothing any more.
    fn hear(&mut self, member: u64, now: u64) {
        self.settle(now);
        self.members.retain(|_, heard| *heard + SESSION > now);
        self.members.insert(member, now);
        let members = &self.members;
        self.owners.retain(|_, owner| members.contains_key(owner));
    }

    /// A member is heard that wants a range; whether it owns that.
    fn is_owner(&mut self, member: u64, place: u16, now: u64) -> bool {
        self.hear(member, now);
        if !self.owners.contains_key(&place)
            && let Some(next) = self.next_owner(place, now)
        {
            self.owners.insert(place, next);
            if place == 0 {
                self.first_since = now;
            }
        }
        self.owners.get(&place) == Some(&member)
    }

    /// Who is to own a range that nobody does.
    fn next_owner(&self, place: u16, now: u64) -> Option<u64> {
        let mut members = self.members.keys().copied();
        if place == 0 {
            return members.next();
        }
        let first = *self.owners.get(&0)?;
        if !self.apart.contains(&place) {
            return Some(first);
        }
        let is_left = now < self.first_since + LEFT_TO_OTHERS;
        let other = members.find(|member| *member != first);
        other.or(Some(first).filter(|_| !is_left))
    }

    fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
    }
}
