//! Who stands on a campaign's lists in one partition, in (slice, number) order, each
//! number once.

use std::collections::BTreeMap;

use schemas::audience::NumberKey;
use schemas::campaign::Campaign;
use schemas::contact::ListMember;
use schemas::record::KeyPart;
use schemas::{ContactId, ListId, Slice};

use crate::store::{Order, Store, StoreError};

/// How many members of one list are read at a time, at most, where a slice has many.
const MEMBERS_PAGE: usize = 1_000;

/// A recipient: the number, and whose it is.
pub(super) type Member = (NumberKey, ContactId);

/// Where reading the lists stands.
#[derive(Debug)]
pub(super) struct Members {
    slice: u16,
    last_slice: u16,
    /// The last number taken of the slice, if it is not read to its end.
    after: Option<NumberKey>,
}

impl Members {
    /// From the beginning of these slices.
    pub(super) fn of(first: Slice, last: Slice) -> Self {
        Self {
            slice: first.number(),
            last_slice: last.number(),
            after: None,
        }
    }

    /// Goes on after this member.
    pub(super) fn go_on_after(&mut self, number: NumberKey) -> Result<(), StoreError> {
        let damaged = || StoreError::damaged("audience_chunks", "an entry is not a number");
        self.slice = number.phone().ok_or_else(damaged)?.slice().number();
        self.after = Some(number);
        Ok(())
    }

    /// The next members: fewer than `wanted` only at the end.
    ///
    /// # Errors
    /// When the lists cannot be read.
    pub(super) async fn take(
        &mut self,
        store: &Store,
        campaign: &Campaign,
        wanted: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut taken = Vec::with_capacity(wanted);
        while taken.len() < wanted && self.slice <= self.last_slice {
            let room = wanted - taken.len();
            let slices = match self.after {
                None => self.whole_slices(store, campaign, room).await?,
                Some(_) => Vec::new(),
            };
            if slices.is_empty() {
                let members = self.part_of_slice(store, campaign, room).await?;
                let is_whole = members.len() < room;
                self.pass(&mut taken, members, is_whole);
            }
            for mut members in slices {
                let room = wanted - taken.len();
                let is_whole = members.len() <= room;
                members.truncate(room);
                self.pass(&mut taken, members, is_whole);
                if !is_whole {
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Takes members of the slice, and goes on to the next one if these are the last.
    fn pass(&mut self, taken: &mut Vec<Member>, members: Vec<Member>, is_whole: bool) {
        let last = members.last().map(|(number, _)| *number);
        taken.extend(members);
        if is_whole {
            self.slice += 1;
            self.after = None;
        } else {
            self.after = last.or(self.after);
        }
    }

    /// The members of the next slices, as many as are read to their end of every list within
    /// `room` members each; none when the first one has more. A list of 10,000 has two or three
    /// members in a slice, and one of ten has one in some: read slice by slice, or a few at a
    /// time, they took longer than sending to them.
    async fn whole_slices(
        &self,
        store: &Store,
        campaign: &Campaign,
        room: usize,
    ) -> Result<Vec<Vec<Member>>, StoreError> {
        let slices = self.slice..=self.last_slice;
        let mut read: Option<Vec<Vec<Member>>> = None;
        for list in &campaign.lists {
            let prefixes: Vec<_> = slices
                .clone()
                .map(|slice| slice_key(*list, slice))
                .collect();
            let pages = store.list_each(&prefixes, room).await?;
            let members = pages.iter().map(|page| {
                let in_time = page.iter().filter_map(|member| in_time(campaign, member));
                in_time.collect::<Vec<_>>()
            });
            read = Some(match read.take() {
                None => members.collect(),
                Some(before) => before.into_iter().zip(members).map(both).collect(),
            });
        }
        Ok(read.into_iter().flatten().map(joined).collect())
    }

    /// Up to `room` members of the slice after the last one taken.
    async fn part_of_slice(
        &self,
        store: &Store,
        campaign: &Campaign,
        room: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut members = Vec::new();
        for list in &campaign.lists {
            members.extend(self.part_of_list(store, campaign, *list, room).await?);
        }
        let mut members = joined(members);
        members.truncate(room);
        Ok(members)
    }

    async fn part_of_list(
        &self,
        store: &Store,
        campaign: &Campaign,
        list: ListId,
        room: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let prefix = slice_key(list, self.slice);
        let mut next = self.after.map_or(0, |number| number.0 + 1);
        let mut members = Vec::new();
        let most = room.min(MEMBERS_PAGE);
        while members.len() < room {
            let mut from = prefix.clone();
            from.push(KeyPart::U64(next));
            let page = store
                .list_from::<ListMember>(&prefix, &from, Order::Ascending, most)
                .await?;
            let Some(last) = page.last() else { break };
            next = last.number.0 + 1;
            members.extend(page.iter().filter_map(|member| in_time(campaign, member)));
            if page.len() < most {
                break;
            }
        }
        members.truncate(room);
        Ok(members)
    }
}

fn slice_key(list: ListId, slice: u16) -> Vec<KeyPart> {
    ListMember::slice_key(list, Slice::from_low_bits(slice))
}

/// The member, unless it came on the list after the campaign's start.
fn in_time(campaign: &Campaign, member: &ListMember) -> Option<Member> {
    let started_at = campaign.started_at;
    let is_in = started_at.is_none_or(|start| member.added_at <= start);
    is_in.then_some((member.number, member.contact))
}

/// The members of two lists in one slice.
fn both((mut members, more): (Vec<Member>, Vec<Member>)) -> Vec<Member> {
    members.extend(more);
    members
}

/// In the order of their numbers; of several with one number the first list's.
fn joined(members: impl IntoIterator<Item = Member>) -> Vec<Member> {
    let mut joined = BTreeMap::new();
    for (number, contact) in members {
        joined.entry(number).or_insert(contact);
    }
    joined.into_iter().collect()
}
