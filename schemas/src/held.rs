//! Messages that were put aside: each lies in one list until what it waits for has come, its
//! campaign's going on or a provider account that works.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, CampaignId, MessageId, ProviderId};
use crate::position::Sequence;
use crate::record::{Key, KeyPart, Projection, Record, Table, tables};
use crate::slice::Partition;

/// Where a message lies that was put aside, and so what it waits for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldList {
    /// A campaign's messages go on, or are withdrawn, together: it is held, or none of its
    /// provider accounts works.
    Campaign(CampaignId),
    /// What was asked for singly, and only these provider accounts may carry, none of which
    /// works. In order. Empty for what none may carry that is in the settings.
    Providers(Vec<ProviderId>),
}

impl HeldList {
    /// Its name in keys. That of a set of provider accounts is all the bits that an odd number
    /// of them have: enough to tell a handful of sets apart.
    pub fn name(&self) -> [u8; 16] {
        match self {
            Self::Campaign(campaign) => *campaign.as_bytes(),
            Self::Providers(providers) => {
                let ids = providers.iter().map(|provider| *provider.as_bytes());
                ids.fold([0; 16], |name, id| {
                    std::array::from_fn(|place| name[place] ^ id[place])
                })
            }
        }
    }
}

/// A message that was put aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldMessage {
    /// The campaign in whose list it lies, if it has one.
    pub campaign: Option<CampaignId>,
    /// Those that may carry it, if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderId>,
    /// The partition.
    pub partition: Partition,
    /// Whose message.
    pub account: AccountId,
    /// The message.
    pub message: MessageId,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl HeldMessage {
    /// The list that it lies in.
    pub fn list(&self) -> HeldList {
        match self.campaign {
            Some(campaign) => HeldList::Campaign(campaign),
            None => HeldList::Providers(self.providers.clone()),
        }
    }

    /// The partition key of a list in one partition.
    pub fn partition_key(list: &HeldList, partition: Partition) -> Key {
        vec![KeyPart::Id(list.name()), KeyPart::U16(partition.0)]
    }

    /// The key of a message in a list.
    pub fn key_of(list: &HeldList, partition: Partition, message: MessageId) -> Key {
        let mut key = Self::partition_key(list, partition);
        key.push(KeyPart::Id(*message.as_bytes()));
        key
    }
}

impl Record for HeldMessage {
    type Writing = Projection;
    const TABLE: Table = tables::HELD_MESSAGES;

    fn key(&self) -> Key {
        Self::key_of(&self.list(), self.partition, self.message)
    }
}

/// How many messages of a partition wait for one of these provider accounts. A campaign's are
/// counted with its numbers. There is one for each set that was ever waited for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldCount {
    /// The partition.
    pub partition: Partition,
    /// The provider accounts, in order.
    #[serde(default)]
    pub providers: Vec<ProviderId>,
    /// How many.
    pub messages: u64,
    /// The journal sequence that this row includes.
    pub sequence: Sequence,
}

impl HeldCount {
    /// The partition key of all the counts of a partition.
    pub fn partition_key(partition: Partition) -> Key {
        vec![KeyPart::U16(partition.0)]
    }

    /// The list that it counts.
    pub fn list(&self) -> HeldList {
        HeldList::Providers(self.providers.clone())
    }
}

impl Record for HeldCount {
    type Writing = Projection;
    const TABLE: Table = tables::HELD_COUNTS;

    fn key(&self) -> Key {
        let mut key = Self::partition_key(self.partition);
        key.push(KeyPart::Id(self.list().name()));
        key
    }
}
