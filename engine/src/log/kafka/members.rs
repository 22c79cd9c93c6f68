//! Who else is a node of this deployment, as Kafka knows it: each member of the group that the
//! nodes are calls itself by a name of its own, so that they can divide what any of them may do.
//! Nothing of it is kept anywhere else, so while the brokers answer nothing of it is out of date for
//! longer than a session of the group.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::runtime::Runtime;

/// How long the question for the group's members may take: it holds up whoever waits for its turn.
const ANSWER: Duration = Duration::from_secs(1);

/// The state of a group in which its members have what is assigned to them.
const STABLE: &str = "Stable";

/// What the names of nodes begin with; Kafka's client calls itself otherwise.
const NODE: &str = "volley-";

/// The nodes of a deployment, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// The name of this one, from its start to its end.
    pub this: String,
    /// The names of all that take part.
    pub all: watch::Sender<BTreeSet<String>>,
}

impl Nodes {
    /// A node that was just started, and has heard of nobody.
    pub fn with(runtime: &Runtime) -> Self {
        let name = u128::from_le_bytes(runtime.random_bytes());
        Self {
            this: format!("{NODE}{name:032x}"),
            all: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// A process that takes its turn as a node does, and shares nothing with them.
    pub fn visitor() -> Self {
        Self {
            this: "visitor".to_owned(),
            all: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// Tells who is there.
    pub(super) fn hear(&self, now: BTreeSet<String>) {
        self.all.send_if_modified(|known| {
            let is_news = *known != now;
            *known = now;
            is_news
        });
    }
}

/// The members of a group that are nodes. `None` while the group is about to change.
///
/// # Errors
/// When Kafka does not answer. Blocks.
pub(super) fn look<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
) -> Result<Option<BTreeSet<String>>, KafkaError> {
    let listed = consumer.client().fetch_group_list(Some(group), ANSWER)?;
    let found = listed.groups().iter().find(|there| there.name() == group);
    let stable = found.filter(|group| group.state() == STABLE);
    Ok(stable.map(|group| {
        let names = group.members().iter().map(|member| member.client_id());
        let nodes = names.filter(|name| name.starts_with(NODE));
        nodes.map(str::to_owned).collect()
    }))
}
