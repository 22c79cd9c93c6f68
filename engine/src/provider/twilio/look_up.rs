//! Asking Twilio what became of a text: by its id, or by searching the list of texts.
//!
//! The list can be filtered by recipient, sender and day of sending only, so texts are
//! compared here, and the time is that of their creation. A text that waits in Twilio's
//! queue may have no day of sending yet, so the list is also read without one.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use reqwest::Url;
use schemas::provider::DeliveryReceipt;
use schemas::{Phone, UnixMicros};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::codes::{is_message_sid, is_sid, receipt_status};
use super::{ANSWER_LIMIT, Twilio, uri};
use crate::provider::transport::Answer;
use crate::provider::{FoundText, LookUpError, TextSearch, http};

/// Texts on one page.
const PAGE_SIZE: &str = "50";
/// The largest page, in bytes: 50 texts of 1,600 characters, each of which JSON may
/// write in 12 bytes (a surrogate pair), and 2 KiB around each.
const PAGE_LIMIT: usize = 1_100 * 1_024;
/// The most pages of texts sent since the day of the search: 1,000 texts to one number
/// from one sender. Beyond, nobody can say that a text is the only one.
const MOST_PAGES: usize = 20;
/// The pages that are read without a day: the newest 100 texts to one number from one
/// sender. Only texts that still wait to be sent are missing on the other pages.
const UNDATED_PAGES: usize = 2;

/// What is read of a text.
#[derive(Deserialize)]
struct Resource {
    sid: String,
    status: String,
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    body: String,
    error_code: Option<u32>,
    date_created: Option<String>,
}

/// One page of the list.
#[derive(Deserialize)]
struct Page {
    messages: Vec<Resource>,
    next_page_uri: Option<String>,
}

/// See [`crate::provider::Provider::fetch`].
pub(super) async fn fetch(
    twilio: &Twilio,
    sid: &str,
) -> Result<Option<DeliveryReceipt>, LookUpError> {
    if !is_message_sid(sid) {
        return Err(LookUpError::NotAnId);
    }
    let Twilio {
        base_url,
        account_sid,
        ..
    } = twilio;
    let url = format!("{base_url}/2010-04-01/Accounts/{account_sid}/Messages/{sid}.json");
    let url = Url::parse(&url).map_err(|_| LookUpError::NotAnId)?;
    match get::<Resource>(twilio, url, ANSWER_LIMIT).await {
        Ok(text) if text.sid == sid => Ok(Some(text.receipt())),
        Ok(_) => Err(LookUpError::NotUnderstood),
        Err(LookUpError::Refused { status: 404 }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// See [`crate::provider::Provider::search`].
pub(super) async fn search(
    twilio: &Twilio,
    search: &TextSearch,
) -> Result<Vec<FoundText>, LookUpError> {
    // No upper day: a text may wait in Twilio's queue for hours before it is sent.
    let since = search.not_before.to_rfc3339().chars().take(10).collect();
    let mut found = BTreeMap::new();
    let more = read_pages(twilio, search, Some(since), MOST_PAGES, &mut found).await?;
    if more {
        return Err(LookUpError::TooLong { pages: MOST_PAGES });
    }
    read_pages(twilio, search, None, UNDATED_PAGES, &mut found).await?;
    Ok(found.into_values().collect())
}

/// See [`crate::provider::Provider::check`]. The shortest list there is.
pub(super) async fn check(twilio: &Twilio) -> Result<Option<UnixMicros>, LookUpError> {
    let mut url = twilio.messages_url.clone();
    url.query_pairs_mut().append_pair("PageSize", "1");
    let answer = ask(twilio, url, PAGE_LIMIT).await?;
    read::<Page>(&answer)?;
    Ok(http::date(&answer.headers))
}

/// Reads up to `pages` pages and keeps what agrees; says whether there are more.
async fn read_pages(
    twilio: &Twilio,
    search: &TextSearch,
    since: Option<String>,
    pages: usize,
    found: &mut BTreeMap<String, FoundText>,
) -> Result<bool, LookUpError> {
    let mut url = twilio.messages_url.clone();
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("To", search.to.as_str());
        if !is_sid(&search.sender, "MG") {
            query.append_pair("From", &search.sender);
        }
        if let Some(since) = &since {
            query.append_pair("DateSent>", since);
        }
        query.append_pair("PageSize", PAGE_SIZE);
    }
    for _ in 0..pages {
        let page: Page = get(twilio, url, PAGE_LIMIT).await?;
        for text in page.messages {
            if let Some(text) = text.agrees(search)? {
                found.insert(text.receipt.provider_message_id.clone(), text);
            }
        }
        match page.next_page_uri {
            None => return Ok(false),
            Some(next) => url = next_page(twilio, &next)?,
        }
    }
    Ok(true)
}

/// The URL of the next page. An answer may lead to nothing but this account's list: our
/// credentials go with the request.
fn next_page(twilio: &Twilio, uri: &str) -> Result<Url, LookUpError> {
    let list = format!("/2010-04-01/Accounts/{}/Messages.json?", twilio.account_sid);
    if !uri.starts_with(&list) {
        return Err(LookUpError::NotUnderstood);
    }
    let url = format!("{}{uri}", twilio.base_url);
    Url::parse(&url).map_err(|_| LookUpError::NotUnderstood)
}

/// One GET and its JSON.
async fn get<T: DeserializeOwned>(
    twilio: &Twilio,
    url: Url,
    limit: usize,
) -> Result<T, LookUpError> {
    read(&ask(twilio, url, limit).await?)
}

/// The JSON of an answer.
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, LookUpError> {
    let body = answer.body.as_ref();
    let body = body.map_err(|cause| LookUpError::NoAnswer { cause })?;
    serde_json::from_slice(body).map_err(|_| LookUpError::NotUnderstood)
}

/// One GET, and its answer where that is one to read.
async fn ask(twilio: &Twilio, url: Url, limit: usize) -> Result<Answer, LookUpError> {
    let no_answer = |cause| LookUpError::NoAnswer { cause };
    let uri = uri(&url).ok_or(no_answer("invalid_request"))?;
    let request = twilio.request(Method::GET, uri, Bytes::new());
    let answer = twilio.transport.exchange(request, limit).await;
    let answer = answer.map_err(|failure| no_answer(failure.cause()))?;
    match answer.status {
        StatusCode::OK => Ok(answer),
        StatusCode::TOO_MANY_REQUESTS => Err(LookUpError::Throttled {
            retry_after_ms: http::retry_after_ms(&answer.headers),
        }),
        status => Err(LookUpError::Refused {
            status: status.as_u16(),
        }),
    }
}

impl Resource {
    fn receipt(&self) -> DeliveryReceipt {
        let code = self.error_code.filter(|code| *code != 0);
        DeliveryReceipt {
            attempt: None,
            provider_message_id: self.sid.clone(),
            status: receipt_status(&self.status, code),
            error_code: code.map(|code| code.to_string()),
            provider_status: self.status.clone(),
            to: Phone::from_e164(self.to.as_str()).ok(),
        }
    }

    /// This text, if it is one that is searched for. One that agrees in everything but
    /// has no id or time that can be read is an error: left out, it could make another
    /// one look unique.
    fn agrees(&self, search: &TextSearch) -> Result<Option<FoundText>, LookUpError> {
        let sender = if is_sid(&search.sender, "MG") {
            &self.messaging_service_sid
        } else {
            &self.from
        };
        let same = self.to == search.to.as_str()
            && sender.as_deref() == Some(search.sender.as_str())
            && self.body == search.body.as_str();
        if !same {
            return Ok(None);
        }
        let taken_at = self.date_created.as_deref().and_then(instant);
        let taken_at = taken_at.ok_or(LookUpError::NotUnderstood)?;
        if !is_message_sid(&self.sid) {
            return Err(LookUpError::NotUnderstood);
        }
        // Twilio's times are whole seconds, rounded down.
        let second = 1_000_000;
        let earliest = search.not_before.0.div_euclid(second) * second;
        let in_window = (earliest..=search.not_after.0).contains(&taken_at.0);
        Ok(in_window.then(|| FoundText {
            receipt: self.receipt(),
            taken_at,
        }))
    }
}

/// Reads a time such as `Fri, 02 Jan 2026 15:30:00 +0000` (RFC 2822, always UTC here).
fn instant(text: &str) -> Option<UnixMicros> {
    let utc = text.strip_suffix(" +0000")?;
    let time = httpdate::parse_http_date(&format!("{utc} GMT")).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(UnixMicros)
}
