//! `/v1/campaigns`: one text to the members of lists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::given;
use crate::campaign::{Campaign, CampaignState, CampaignTally, SendWindow};
use crate::id::{CampaignId, ListId, ProviderId};
use crate::message::MessageClass;
use crate::status::MessageStatus;

/// `POST /v1/campaigns`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignRequest {
    /// What people call it; left out, its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        examples("Summer")
    )]
    pub name: Option<String>,
    /// The ids of the lists whose members get it; at least one.
    #[schema(value_type = Vec<ListId>, min_items = 1, max_items = 100)]
    pub lists: Option<Vec<String>>,
    /// The text with its placeholders, such as `{{ first_name }}`.
    #[schema(value_type = String, min_length = 1, examples("Hello {{ first_name }}!"))]
    pub template: Option<String>,
    /// `marketing`, which is the default, or `transactional`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MessageClass>)]
    pub class: Option<String>,
    /// The sender; left out, that of the provider account that takes each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The ids of the provider accounts that may carry it; left out or empty, any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ProviderId>>, max_items = 128)]
    pub providers: Option<Vec<String>>,
    /// What is sent of it at most, in segments per second, beside what its provider accounts
    /// allow; left out, as fast as they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01, maximum = 1_000_000)]
    pub rate: Option<f64>,
    /// For how long each message may be sent after the start, in seconds: 1 to 1,209,600, two
    /// weeks. Left out, ten hours, and three days where there is a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_209_600)]
    pub validity_period: Option<u64>,
    /// Once started, it begins at this instant, RFC 3339; left out, at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub send_at: Option<String>,
    /// When on a day texts of it may begin; left out, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<SendWindowBody>,
}

/// When on a day texts may begin, by the clocks of one place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendWindowBody {
    /// The first minute, such as `09:00`.
    #[schema(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples("09:00"))]
    pub from: String,
    /// The minute behind the last one, such as `20:00`, or `24:00`; before `from`, it is open
    /// over midnight.
    #[schema(
        pattern = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        examples("20:00")
    )]
    pub until: String,
    /// The place, as the IANA database of time zones calls it.
    #[schema(examples("Europe/Berlin"))]
    pub time_zone: String,
}

impl SendWindowBody {
    /// The body of a stored window.
    fn of(window: &SendWindow) -> Self {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        Self {
            from: clock(window.from),
            until: clock(window.until),
            time_zone: window.time_zone.clone(),
        }
    }
}

/// `PATCH /v1/campaigns/{id}`: what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignPatch {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub name: Option<String>,
    /// The ids of the provider accounts that may carry what has not begun; empty is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ProviderId>>, max_items = 128)]
    pub providers: Option<Vec<String>>,
    /// What is sent of it at most from now on, in segments per second; null is as fast as its
    /// provider accounts allow.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<f64>, minimum = 0.01, maximum = 1_000_000)]
    pub rate: Option<Option<f64>>,
    /// It begins at this instant, RFC 3339; null is at once. Only of one that has not begun.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub send_at: Option<Option<String>>,
    /// When on a day texts of it may begin from now on; null is always.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<SendWindowBody>)]
    pub window: Option<Option<SendWindowBody>>,
}

/// A campaign as it stands now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CampaignBody {
    /// Its id.
    pub id: CampaignId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// The lists whose members get it.
    pub lists: Vec<ListId>,
    /// The text with its placeholders.
    pub template: String,
    /// The class of its messages.
    pub class: MessageClass,
    /// The sender asked for.
    #[schema(required = true)]
    pub from: Option<String>,
    /// The provider accounts that may carry it; none named is any.
    pub providers: Vec<ProviderId>,
    /// What is sent of it at most, in segments per second; null is as fast as they allow.
    #[schema(required = true)]
    pub rate: Option<f64>,
    /// For how long each message may be sent after the start, in seconds.
    pub validity_period: u32,
    /// When it is to begin, RFC 3339; null is at its start.
    #[schema(format = DateTime, required = true)]
    pub send_at: Option<String>,
    /// When on a day texts of it may begin; null is always.
    #[schema(required = true)]
    pub window: Option<SendWindowBody>,
    /// When it was created, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it began to run, RFC 3339.
    #[schema(format = DateTime, required = true)]
    pub started_at: Option<String>,
    /// When nothing of it was pending any more, RFC 3339.
    #[schema(format = DateTime, required = true)]
    pub finished_at: Option<String>,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: CampaignNumbers,
}

/// A campaign's numbers: `total_recipients` is the sum of all others but `skipped`'s
/// parts, at every moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CampaignNumbers {
    /// Recipients, each number once.
    pub total_recipients: u64,
    /// Whether the audience is not frozen to its end, so that the total still grows.
    pub still_counting: bool,
    /// Not handed to a provider yet.
    pub pending: u64,
    /// The provider has it.
    pub accepted: u64,
    /// The carrier has it.
    pub sent: u64,
    /// The handset has it.
    pub delivered: u64,
    /// The carrier could not deliver it.
    pub undelivered: u64,
    /// Refused, or given up.
    pub failed: u64,
    /// Its validity ended first.
    pub expired: u64,
    /// Withdrawn before it left.
    pub canceled: u64,
    /// The provider may or may not have it.
    pub unknown: u64,
    /// Held back by a gate, by reason.
    pub skipped: BTreeMap<String, u64>,
}

impl CampaignNumbers {
    /// The numbers of a sum of tallies.
    pub fn of(tally: &CampaignTally, still_counting: bool) -> Self {
        Self {
            total_recipients: tally.total_recipients,
            still_counting,
            pending: tally.pending(),
            accepted: tally.count(MessageStatus::Accepted),
            sent: tally.count(MessageStatus::Sent),
            delivered: tally.count(MessageStatus::Delivered),
            undelivered: tally.count(MessageStatus::Undelivered),
            failed: tally.count(MessageStatus::Failed),
            expired: tally.count(MessageStatus::Expired),
            canceled: tally.count(MessageStatus::Canceled),
            unknown: tally.count(MessageStatus::Unknown),
            skipped: tally.skipped.clone(),
        }
    }
}

impl CampaignBody {
    /// The body of a stored campaign and its numbers.
    pub fn of(campaign: &Campaign, numbers: CampaignNumbers) -> Self {
        Self {
            id: campaign.id,
            name: campaign.name.clone(),
            state: campaign.state,
            lists: campaign.lists.clone(),
            template: campaign.template.clone(),
            class: campaign.class,
            from: campaign.from.clone(),
            providers: campaign.providers.clone(),
            rate: campaign.rate(),
            validity_period: campaign.validity_seconds,
            send_at: campaign.send_at.map(|at| at.to_rfc3339()),
            window: campaign.window.as_ref().map(SendWindowBody::of),
            created_at: campaign.created_at.to_rfc3339(),
            started_at: campaign.started_at.map(|at| at.to_rfc3339()),
            finished_at: campaign.finished_at.map(|at| at.to_rfc3339()),
            numbers,
        }
    }
}
