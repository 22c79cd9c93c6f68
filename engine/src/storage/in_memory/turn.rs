//! Whose turn it is: who has owned and is heard stays the owner, then it is whoever has waited
//! longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::state::State;
use super::{MemoryServers, Network, Node};
use crate::log::{LogError, Turn};

/// How long a member may be silent, in microseconds, as on real servers.
const SESSION: u64 = 6_000_000;

/// How often an owner is heard.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// How often who waits looks whether it is its turn.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A node as a member.
struct Membership {
    servers: MemoryServers,
    network: Arc<dyn Network>,
    member: u64,
    ended: Arc<AtomicBool>,
}

/// Waits until it is this node's turn.
pub(super) async fn wait(node: &Node) -> Result<Turn, LogError> {
    let member = node.servers.state().join();
    let ended = Arc::new(AtomicBool::new(false));
    let turn = Membership {
        servers: node.servers.clone(),
        network: Arc::clone(&node.network),
        member,
        ended: Arc::clone(&ended),
    };
    while !node.servers.state().is_owner(member, node.network.now()) {
        node.runtime.sleep(LOOK_EVERY).await;
    }
    node.network.has_turn();
    let heard = node.clone();
    node.runtime.spawn_dedicated("owner", async move {
        while !ended.load(Ordering::Acquire) {
            heard.runtime.sleep(HEARD_EVERY).await;
            if !ended.load(Ordering::Acquire) {
                // Where it was silent for too long it is another's turn, and stays so.
                let now = heard.network.now();
                heard.servers.state().is_owner(member, now);
            }
        }
    });
    Ok(Turn::new(turn))
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
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
