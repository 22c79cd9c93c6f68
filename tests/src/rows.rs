//! What a store holds, read row by row.

use engine::store::{LIST_LIMIT, Order, Store};
use schemas::account::Account;
use schemas::campaign::{Campaign, CampaignTally};
use schemas::message::shard_key;
use schemas::record::{Key, Record};
use schemas::{AccountId, CampaignId, Message, Partition, PartitionCount};

/// Message rows lie in so many shards a day.
pub const SHARDS: u8 = 64;

/// The numbers of a campaign: the sum over its partitions, each of them exact by itself.
pub async fn tally(
    store: &Store,
    partitions: PartitionCount,
    campaign: CampaignId,
) -> CampaignTally {
    let mut sum = CampaignTally::empty(campaign, Partition(0));
    sum.frozen = true;
    for partition in partitions.all() {
        let key = CampaignTally::key_of(campaign, partition);
        let row = store.get::<CampaignTally>(&key).await;
        let row = row.expect("the store works");
        let row = row.unwrap_or_else(|| CampaignTally::empty(campaign, partition));
        assert!(row.is_exact(), "partition {}: {row:?}", partition.0);
        sum.add(&row);
    }
    sum
}

/// The one campaign of the one account in this store.
pub async fn only_campaign(store: &Store) -> Option<(AccountId, CampaignId)> {
    let account = all::<Account>(store, &Account::partition_key())
        .await
        .pop()?;
    let campaigns = all::<Campaign>(store, &Campaign::partition_key(account.id)).await;
    campaigns.first().map(|campaign| (account.id, campaign.id))
}

/// Every message of the account that was made on the day of `campaign`'s launch or the
/// next: a run may pass midnight.
pub async fn messages(store: &Store, account: AccountId, campaign: CampaignId) -> Vec<Message> {
    let key = Campaign::key_of(account, campaign);
    let row = store.get::<Campaign>(&key).await;
    let row = row.expect("the store works").expect("the campaign exists");
    let started = row.started_at.expect("the campaign was started");
    let day = i32::try_from(started.0.div_euclid(86_400_000_000)).expect("a day");
    let mut messages = Vec::new();
    for (day, shard) in [day, day + 1]
        .into_iter()
        .flat_map(|day| (0..SHARDS).map(move |shard| (day, shard)))
    {
        messages.extend(all::<Message>(store, &shard_key(account, day, shard)).await);
    }
    messages
}

/// Every row under a partition key.
pub async fn all<R: Record>(store: &Store, prefix: &Key) -> Vec<R> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .list::<R>(prefix, after.as_ref(), Order::Ascending, LIST_LIMIT)
            .await
            .expect("the store works");
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}
