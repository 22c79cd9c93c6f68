//! Who else is a node of this deployment, as Kafka knows it: each member of the group that the
//! nodes are calls itself by the address where the others reach it, so that whoever waits can
//! lead its callers to the one that owns. Nothing of it is kept anywhere else, so while the brokers
//! answer nothing of it is out of date for longer than a session of the group. Who may join that
//! group could call itself whatever it wants: it is among those who may do anything with our
//! topics.

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
}

impl Default for Nodes {
    /// A process that nobody reaches, and that leads nobody anywhere.
    fn default() -> Self {
        Self {
            this: None,
            owner: watch::Sender::new(None),
        }
    }
}

/// What a group says of its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// It is there; `None`: nobody is, or it does not say where.
    At(Option<String>),
    /// The group is about to change, and says nothing of who had the partition until now.
    Nothing,
}

/// Where the member of a group is that has a partition.
///
/// # Errors
/// When Kafka does not answer. Blocks.
pub(super) fn owner<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
) -> Result<Said, KafkaError> {
    let listed = consumer.client().fetch_group_list(Some(group), ANSWER)?;
    let Some(group) = listed.groups().iter().find(|there| there.name() == group) else {
        return Ok(Said::Nothing);
    };
    if group.state() != STABLE {
        return Ok(Said::Nothing);
    }
    let owners = group.members().iter();
    let owner = owners
        .filter(|member| member.assignment().is_some_and(has_partitions))
        .map(|member| member.client_id())
        .find(|id| is_address(id));
    Ok(Said::At(owner.map(str::to_owned)))
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
