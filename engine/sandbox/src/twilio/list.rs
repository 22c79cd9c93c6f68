//! Twilio's list of messages: filters `To`, `From`, `DateSent`, and pages.

use super::answer::{self, error_answer, write_string, write_text};
use crate::config::AccountConfig;
use crate::core::{AccountIndex, Core, ListFilter, Page, number_of};
use crate::dialect::HttpAnswer;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::io::Write;

/// Messages in a page when the request does not say.
const PAGE: usize = 50;

/// Most messages in a page.
const LARGEST_PAGE: usize = 1_000;

/// The query of a list request, read.
struct Query {
    filter: ListFilter,
    /// The number of this page, which only serves the reader.
    page: u64,
    /// A recipient was asked for who cannot be: the list is empty.
    nobody: bool,
}

/// One page of the account's messages.
pub(super) fn list(
    core: &Core,
    now: u64,
    account: AccountIndex,
    settings: &AccountConfig,
    query: &str,
) -> HttpAnswer {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let Some(read) = read(&pairs) else {
        return error_answer(400, 20001, None);
    };
    let page = if read.nobody {
        Page {
            texts: Vec::new(),
            next_below: None,
        }
    } else {
        core.list(now, account, &read.filter)
    };
    let path = format!(
        "/2010-04-01/Accounts/{}/Messages.json",
        settings.account_sid
    );
    let mut body = Vec::with_capacity(answer::TYPICAL_BYTES * (page.texts.len() + 1));
    body.extend_from_slice(b"{\"messages\":[");
    for (place, text) in page.texts.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        write_text(&mut body, &settings.account_sid, text);
    }
    // Writing into memory cannot fail.
    let _ = write!(
        body,
        "],\"page\":{},\"page_size\":{},\"start\":0,\"end\":{},\"previous_page_uri\":null,\
         \"first_page_uri\":",
        read.page,
        read.filter.page_size,
        page.texts.len().saturating_sub(1),
    );
    write_string(
        &mut body,
        &uri(&path, &pairs, read.filter.page_size, 0, None),
    );
    body.extend_from_slice(b",\"uri\":");
    write_string(
        &mut body,
        &uri(
            &path,
            &pairs,
            read.filter.page_size,
            read.page,
            read.filter.below,
        ),
    );
    body.extend_from_slice(b",\"next_page_uri\":");
    match page.next_below {
        Some(below) => {
            let next = uri(
                &path,
                &pairs,
                read.filter.page_size,
                read.page + 1,
                Some(below),
            );
            write_string(&mut body, &next);
        }
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
    answer::json(200, body)
}

/// Reads the filters, or nothing when one of them is malformed.
fn read(pairs: &[(String, String)]) -> Option<Query> {
    let filter = ListFilter {
        page_size: PAGE,
        ..ListFilter::default()
    };
    let mut query = Query {
        filter,
        page: 0,
        nobody: false,
    };
    for (name, value) in pairs {
        match name.as_str() {
            "To" => {
                query.filter.to = number_of(value);
                query.nobody = query.filter.to.is_none();
            }
            "From" => query.filter.from = Some(value.clone()),
            // `DateSent>=2026-01-02` is the name `DateSent>` and the value behind it.
            "DateSent>" | "DateSent>=" => query.filter.sent_from = Some(period(value)?.0),
            "DateSent<" | "DateSent<=" => query.filter.sent_before = Some(period(value)?.1),
            "DateSent" => {
                // Official libraries write a date as its midnight: the day is meant.
                let (start, end) = period(value.get(..10)?)?;
                query.filter.sent_from = Some(start);
                query.filter.sent_before = Some(end);
            }
            "PageSize" => {
                query.filter.page_size = value.parse::<usize>().ok()?.clamp(1, LARGEST_PAGE)
            }
            "Page" => query.page = value.parse().ok()?,
            "PageToken" => query.filter.below = Some(value.strip_prefix("PA")?.parse().ok()?),
            _ => {}
        }
    }
    Some(query)
}

/// The first microsecond of a date (GMT) or time, and the first after it: the next
/// day's or the next second's.
fn period(value: &str) -> Option<(u64, u64)> {
    let microseconds = |time: Timestamp| u64::try_from(time.as_microsecond()).ok();
    if let Ok(time) = value.parse::<Timestamp>() {
        return Some((
            microseconds(time)?,
            microseconds(time)?.checked_add(1_000_000)?,
        ));
    }
    let date: Date = value.parse().ok()?;
    let midnight = |date: Date| {
        date.to_zoned(TimeZone::UTC)
            .ok()
            .map(|time| time.timestamp())
    };
    let next = date.checked_add(1.day()).ok()?;
    Some((
        microseconds(midnight(date)?)?,
        microseconds(midnight(next)?)?,
    ))
}

/// The URI of a page: the request's own filters and where the page begins.
fn uri(
    path: &str,
    pairs: &[(String, String)],
    page_size: usize,
    page: u64,
    below: Option<u32>,
) -> String {
    let own = |name: &str| matches!(name, "PageSize" | "Page" | "PageToken");
    let mut query: Vec<(&str, String)> = pairs
        .iter()
        .filter(|(name, _)| !own(name))
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    query.push(("PageSize", page_size.to_string()));
    query.push(("Page", page.to_string()));
    query.extend(below.map(|below| ("PageToken", format!("PA{below}"))));
    format!(
        "{path}?{}",
        serde_urlencoded::to_string(&query).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::{period, read};

    #[test]
    fn dates_are_days_and_times_are_seconds() {
        assert_eq!(
            period("2026-01-02"),
            Some((1_767_312_000_000_000, 1_767_398_400_000_000))
        );
        assert_eq!(
            period("2026-01-02T15:30:00Z"),
            Some((1_767_367_800_000_000, 1_767_367_801_000_000))
        );
        assert_eq!(period("yesterday"), None);
    }

    #[test]
    fn a_day_is_meant_even_when_written_as_its_midnight() {
        for query in ["DateSent=2026-01-02", "DateSent=2026-01-02T00%3A00%3A00Z"] {
            let pairs: Vec<(String, String)> =
                serde_urlencoded::from_str(query).unwrap_or_default();
            let filter = read(&pairs).map(|query| query.filter).unwrap_or_default();
            assert_eq!(filter.sent_from, Some(1_767_312_000_000_000));
            assert_eq!(filter.sent_before, Some(1_767_398_400_000_000));
        }
    }

    #[test]
    fn comparisons_are_part_of_the_name() {
        let query = "DateSent%3E=2026-01-02&DateSent%3C=2026-01-03&PageSize=5000";
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        let filter = read(&pairs).map(|query| query.filter).unwrap_or_default();
        assert_eq!(filter.sent_from, Some(1_767_312_000_000_000));
        assert_eq!(filter.sent_before, Some(1_767_484_800_000_000));
        assert_eq!(filter.page_size, 1_000);
    }
}
