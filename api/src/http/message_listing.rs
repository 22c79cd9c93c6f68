//! Messages of an account, newest first.
//!
//! Rows lie by day and in 64 shards a day; an id begins with its instant, so a page is
//! a merge of the shards of one day after the other, each read backwards in small
//! batches. Messages that are accepted and not taken up yet have an intake row only,
//! which is merged in. Filters look at a bounded number of rows for each page and then
//! give a cursor, so that no request reads without end.

use std::collections::VecDeque;

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::store::{Order, Store, StoreError};
use futures::future::try_join_all;
use schemas::campaign::Campaign;
use schemas::http::PageBody;
use schemas::http::messages::MessageBody;
use schemas::message::{Intake, Message, shard_key};
use schemas::record::{Key, KeyPart, Record};
use schemas::{AccountId, CampaignId, MessageId, MessageStatus, ProviderId, UnixMicros};

use crate::doors::DoorState;
use crate::parameters::Query;
use crate::problem::{Problem, ProblemCode};

/// Rows that one page looks at: with a filter that fits nothing, about 0.1 s.
const ROWS_A_PAGE: usize = 10_000;
/// Days that one page looks at: an empty day costs a read of each shard.
const DAYS_A_PAGE: usize = 31;
/// Shards of a day; see [`schemas::Slice::shard`].
const SHARDS: u8 = 64;
/// Rows that are read of a shard first, and at most at a time: most pages need a row
/// or two of each shard, a long scan needs many.
const BATCH_FIRST: usize = 8;
const BATCH_MAX: usize = 512;
/// The bits of an id below its milliseconds.
const BITS_BELOW_INSTANT: u32 = 80;
const MILLIS_A_DAY: u128 = 86_400_000;

/// What a page is asked for.
pub struct Filter {
    /// The smallest id that is shown, as a number.
    lowest: u128,
    /// One above the greatest id that is shown.
    below: u128,
    campaign: Option<CampaignId>,
    status: Option<MessageStatus>,
    provider: Option<ProviderId>,
    limit: usize,
}

impl Filter {
    /// Reads the query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn of(
        state: &DoorState,
        account: AccountId,
        request: &HttpRequest,
    ) -> Result<Self, Problem> {
        let mut query = Query::of(request);
        let time = "a time as RFC 3339 has it";
        let since = query.read(
            "since",
            ProblemCode::InvalidValue,
            time,
            UnixMicros::from_rfc3339,
        );
        let until = query.read(
            "until",
            ProblemCode::InvalidValue,
            time,
            UnixMicros::from_rfc3339,
        );
        let campaign = query.read(
            "campaign",
            ProblemCode::InvalidValue,
            "a campaign's id",
            |text| text.parse::<CampaignId>().ok(),
        );
        let status = query.read(
            "status",
            ProblemCode::InvalidValue,
            "a message's status",
            |text| {
                MessageStatus::ALL
                    .into_iter()
                    .find(|status| status.as_str() == text)
            },
        );
        let provider = query.read(
            "provider",
            ProblemCode::InvalidValue,
            "a provider's id",
            |text| text.parse::<ProviderId>().ok(),
        );
        let cursor = query.read(
            "cursor",
            ProblemCode::InvalidCursor,
            "a cursor of this listing",
            read_cursor,
        );
        let limit = query.limit();
        query.finish()?;
        let mut filter = Self {
            // Nothing of an account is older than the account, whose id tells its time.
            lowest: since.map_or_else(|| instant_of(account.as_bytes()), floor_of),
            below: until.map_or_else(
                || floor_of(state.runtime().now().plus_micros(1_000)),
                floor_of,
            ),
            campaign,
            status,
            provider,
            limit,
        };
        filter.narrow_to_campaign(state, account).await?;
        filter.below = filter.below.min(cursor.unwrap_or(u128::MAX));
        Ok(filter)
    }

    /// All messages of a campaign have the instant of its start in their ids.
    async fn narrow_to_campaign(
        &mut self,
        state: &DoorState,
        account: AccountId,
    ) -> Result<(), Problem> {
        let Some(id) = self.campaign else {
            return Ok(());
        };
        let campaign = state
            .store()
            .get::<Campaign>(&Campaign::key_of(account, id))
            .await?;
        match campaign.and_then(|campaign| campaign.started_at) {
            Some(started) => {
                let floor = floor_of(started);
                self.lowest = self.lowest.max(floor);
                self.below = self.below.min(floor + (1 << BITS_BELOW_INSTANT));
            }
            // Not started, or not the caller's: it has no messages.
            None => self.below = 0,
        }
        Ok(())
    }

    fn shows(&self, row: &MessageBody) -> bool {
        self.campaign
            .is_none_or(|campaign| row.campaign == Some(campaign))
            && self.status.is_none_or(|status| row.status == status)
            && self
                .provider
                .is_none_or(|provider| row.provider == Some(provider))
    }
}

/// One page.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(
    state: &DoorState,
    account: AccountId,
    mut filter: Filter,
) -> Result<PageBody<MessageBody>, Problem> {
    let mut data = Vec::new();
    let mut rows_left = ROWS_A_PAGE;
    for _ in 0..DAYS_A_PAGE {
        if filter.below <= filter.lowest {
            return Ok(PageBody {
                data,
                next_cursor: None,
            });
        }
        let mut day = Day::open(state.store(), account, &filter).await?;
        while let Some((id, row)) = day.next(state.store()).await? {
            filter.below = id;
            rows_left -= 1;
            if filter.shows(&row) {
                data.push(row);
            }
            if data.len() == filter.limit || rows_left == 0 {
                return Ok(PageBody {
                    data,
                    next_cursor: Some(write_cursor(filter.below)),
                });
            }
        }
        filter.below = day.floor;
    }
    let more = filter.below > filter.lowest;
    Ok(PageBody {
        data,
        next_cursor: more.then(|| write_cursor(filter.below)),
    })
}

/// The shards of one day, side by side.
struct Day {
    floor: u128,
    messages: Vec<Shard<Message>>,
    intake: Vec<Shard<Intake>>,
}

impl Day {
    /// Opens the day of the greatest id that `filter` shows.
    async fn open(store: &Store, account: AccountId, filter: &Filter) -> Result<Self, StoreError> {
        let greatest = filter.below - 1;
        let day = (greatest >> BITS_BELOW_INSTANT) / MILLIS_A_DAY;
        let floor = ((day * MILLIS_A_DAY) << BITS_BELOW_INSTANT).max(filter.lowest);
        let day = i32::try_from(day).unwrap_or(i32::MAX);
        let prefixes = || (0..SHARDS).map(|shard| shard_key(account, day, shard));
        let mut messages: Vec<Shard<Message>> = prefixes()
            .map(|prefix| Shard::new(prefix, floor, greatest))
            .collect();
        let mut intake: Vec<Shard<Intake>> = Vec::new();
        // What a campaign sends is never taken in one by one.
        if filter.campaign.is_none() {
            intake = prefixes()
                .map(|prefix| Shard::new(prefix, floor, greatest))
                .collect();
        }
        try_join_all(messages.iter_mut().map(|shard| shard.fill(store))).await?;
        try_join_all(intake.iter_mut().map(|shard| shard.fill(store))).await?;
        Ok(Self {
            floor,
            messages,
            intake,
        })
    }

    /// The row with the greatest id that is left. A message's row, where there is one,
    /// goes before its intake row.
    async fn next(&mut self, store: &Store) -> Result<Option<(u128, MessageBody)>, StoreError> {
        let heads = self.messages.iter().map(Shard::head);
        let Some(id) = heads
            .chain(self.intake.iter().map(Shard::head))
            .flatten()
            .max()
        else {
            return Ok(None);
        };
        let taken_in = take(&mut self.intake, id, store).await?;
        let message = take(&mut self.messages, id, store).await?;
        let row = message.as_ref().map(MessageBody::of_message);
        Ok(row
            .or_else(|| taken_in.as_ref().map(MessageBody::of_intake))
            .map(|row| (id, row)))
    }
}

/// Takes the row with this id out of the shard that has it as its next.
async fn take<R: Row>(
    shards: &mut [Shard<R>],
    id: u128,
    store: &Store,
) -> Result<Option<R>, StoreError> {
    let Some(shard) = shards.iter_mut().find(|shard| shard.head() == Some(id)) else {
        return Ok(None);
    };
    let row = shard.rows.pop_front();
    if shard.rows.is_empty() {
        shard.fill(store).await?;
    }
    Ok(row)
}

/// A row that tells its message's id.
trait Row: Record {
    fn id(&self) -> MessageId;
}

impl Row for Message {
    fn id(&self) -> MessageId {
        self.envelope.id
    }
}

impl Row for Intake {
    fn id(&self) -> MessageId {
        self.envelope.id
    }
}

/// One shard of one day, read backwards.
struct Shard<R> {
    prefix: Key,
    floor: u128,
    /// Where the next batch begins; none when there is no more.
    from: Option<u128>,
    batch: usize,
    rows: VecDeque<R>,
}

impl<R: Row> Shard<R> {
    fn new(prefix: Key, floor: u128, from: u128) -> Self {
        Self {
            prefix,
            floor,
            from: Some(from),
            batch: BATCH_FIRST,
            rows: VecDeque::new(),
        }
    }

    fn head(&self) -> Option<u128> {
        self.rows.front().map(|row| number_of(row.id()))
    }

    async fn fill(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some(from) = self.from.filter(|from| *from >= self.floor) else {
            return Ok(());
        };
        let mut start = self.prefix.clone();
        start.push(KeyPart::Id(from.to_be_bytes()));
        let rows = store
            .list_from::<R>(&self.prefix, &start, Order::Descending, self.batch)
            .await?;
        let last = rows.last().map(|row| number_of(row.id()));
        let full = rows.len() == self.batch;
        self.from = last.filter(|_| full).and_then(|last| last.checked_sub(1));
        self.batch = (self.batch * 2).min(BATCH_MAX);
        self.rows.extend(
            rows.into_iter()
                .filter(|row| number_of(row.id()) >= self.floor),
        );
        Ok(())
    }
}

fn number_of(id: MessageId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

/// The smallest number an id of this instant can have.
fn floor_of(at: UnixMicros) -> u128 {
    u128::try_from(at.as_millis()).unwrap_or(0) << BITS_BELOW_INSTANT
}

/// The smallest number of an id of the same instant as this id.
fn instant_of(id: &[u8; 16]) -> u128 {
    u128::from_be_bytes(*id) >> BITS_BELOW_INSTANT << BITS_BELOW_INSTANT
}

/// A cursor says: everything from this id on was shown. It names no row of anybody's,
/// and only the caller's own rows are ever read.
fn write_cursor(below: u128) -> String {
    URL_SAFE_NO_PAD.encode(below.to_be_bytes())
}

fn read_cursor(text: &str) -> Option<u128> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}
