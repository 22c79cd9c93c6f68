//! Who else is a node of this deployment, as Kafka knows it: each member of the group that the
//! nodes are calls itself by the address where the others reach it, so that whoever waits can
//! lead its callers to the one that owns. Nothing of it is kept anywhere else, so while the brokers
//! answer nothing of it is out of date for longer than a session of the group. Who may join that
//! group could call itself whatever it wants: it is among those who may do anything with our
//! topics.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::sync::watch;

/// How long the question for the group's members may take: it holds up whoever waits for its turn.
const ANSWER: Duration = Duration::from_secs(1);

/// The state of a group in which its members have what is assigned to them.
const STABLE: &str = "Stable";

/// The nodes of a deployment, as one of them sees them.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// Where the others reach this one, such as `http://10.0.0.5:8080`; `None`: nowhere.
    pub this: Option<String>,
    /// Where the one is that owns the journals. `None` while it is this one, or not known.
    pub owner: watch::Sender<Option<String>>,
    /// Where all of them are that say so.
    pub all: watch::Sender<BTreeSet<String>>,
}

impl Nodes {
    /// Tells what the group says. Its owner hears of no owner but itself.
    pub(super) fn hear(&self, said: Said, is_owner: bool) {
        if said.has_twins && *self.all.borrow() != said.all {
            tracing::warn!(
                "nodes call themselves by the same address: set `http.node_url` of each to where the \
                 others reach it"
            );
        }
        let owner = said.owner.filter(|_| !is_owner);
        send_news(&self.owner, owner);
        send_news(&self.all, said.all);
    }
}

fn send_news<T: PartialEq>(to: &watch::Sender<T>, now: T) {
    to.send_if_modified(|known| {
        let is_news = *known != now;
        *known = now;
        is_news
    });
}

impl Default for Nodes {
    /// A process that nobody reaches, and that leads nobody anywhere.
    fn default() -> Self {
        Self {
            this: None,
            owner: watch::Sender::new(None),
            all: watch::Sender::new(BTreeSet::new()),
        }
    }
}

/// What a group says of its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    /// Where the owner is; `None`: there is none, or it does not say where.
    pub(super) owner: Option<String>,
    /// Where all are that say so.
    pub(super) all: BTreeSet<String>,
    /// Whether some of them say the same.
    pub(super) has_twins: bool,
}

/// Where the members of a group are, and the one that has a partition. `None` while the group is
/// about to change: it says nothing then of who had what until now.
///
/// # Errors
/// When Kafka does not answer. Blocks.
pub(super) fn look<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
) -> Result<Option<Said>, KafkaError> {
    let listed = consumer.client().fetch_group_list(Some(group), ANSWER)?;
    let found = listed.groups().iter().find(|there| there.name() == group);
    let Some(group) = found.filter(|group| group.state() == STABLE) else {
        return Ok(None);
    };
    let members = group.members().iter();
    let members = members.filter(|member| is_address(member.client_id()));
    let owner = members
        .clone()
        .find(|member| member.assignment().is_some_and(has_partitions));
    let owner = owner.map(|member| member.client_id().to_owned());
    let named = members.clone().count();
    let all: BTreeSet<String> = members
        .map(|member| member.client_id().to_owned())
        .collect();
    Ok(Some(Said {
        owner,
        has_twins: all.len() < named,
        all,
    }))
}

fn is_address(text: &str) -> bool {
    let url = reqwest::Url::parse(text);
    url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether an assignment names a topic: behind its version, in two bytes, stands the number of
/// topics, in four (`ConsumerProtocolAssignment` in Kafka's message definitions).
fn has_partitions(assignment: &[u8]) -> bool {
    let topics = assignment.get(2..6).and_then(|bytes| bytes.try_into().ok());
    topics.is_some_and(|bytes| i32::from_be_bytes(bytes) > 0)
}

#[cfg(test)]
mod tests {
    use super::{has_partitions, is_address};

    #[test]
    fn only_an_address_is_one() {
        assert!(is_address("http://10.0.0.5:8080") && is_address("https://node-1"));
        assert!(!is_address("rdkafka") && !is_address("httpd://node-1"));
    }

    #[test]
    fn an_assignment_tells_whether_it_names_a_topic() {
        assert!(!has_partitions(&[]), "a member that joins has none yet");
        assert!(!has_partitions(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert!(has_partitions(&[0, 3, 0, 0, 0, 1, 0, 12]));
    }
}
