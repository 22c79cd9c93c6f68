//! `/v1/campaigns`

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use engine::log::{Log, Topic};
use engine::store::{LIST_LIMIT, Order, Replaced};
use engine::text::Template;
use schemas::campaign::{Campaign, CampaignState, CampaignTally, ControlRecord};
use schemas::contact::ContactList;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers, CampaignRequest};
use schemas::record::KeyPart;
use schemas::{AccountId, CampaignId, ListId, MessageClass, Partition, UnixMicros};

use super::{fields, times};
use crate::auth::Caller;
use crate::doors::DoorState;
use crate::idempotency::IdempotencyHeader;
use crate::json::{JsonBody, answer, created};
use crate::parameters::PathId;
use crate::problem::{FieldProblems, Problem, ProblemCode};

/// The most lists of one campaign: freezing reads all of them side by side.
const LISTS_MAX: usize = 100;

/// Writes a campaign down.
///
/// # Errors
/// The problem.
pub async fn create(
    caller: Caller,
    state: web::Data<DoorState>,
    header: IdempotencyHeader,
    body: JsonBody<CampaignRequest>,
) -> Result<HttpResponse, Problem> {
    let campaign = judge(&state, caller.0, body.value).await?;
    let claim = header
        .claim(&state, caller.0, &body.raw, *campaign.id.as_bytes())
        .await?;
    let campaign = Campaign {
        id: CampaignId::from_bytes(claim.id),
        ..campaign
    };
    let campaign = match state.store().replace(campaign).await? {
        Replaced::Stored(campaign) | Replaced::Conflict(Some(campaign)) => campaign,
        Replaced::Conflict(None) => return Err(Problem::new(ProblemCode::Conflict)),
    };
    let location = format!("/v1/campaigns/{}", campaign.id);
    let body = whole(&state, &campaign).await?;
    Ok(created(
        StatusCode::CREATED,
        &location,
        claim.replayed,
        &body,
    ))
}

async fn judge(
    state: &DoorState,
    account: AccountId,
    request: CampaignRequest,
) -> Result<Campaign, Problem> {
    let now = state.runtime().now();
    let id = CampaignId::mint(now, state.runtime().random_bytes());
    let mut problems = FieldProblems::default();
    let name = fields::name_or(&mut problems, request.name, || id.to_string());
    let lists = lists(
        &mut problems,
        state,
        account,
        request.lists.unwrap_or_default(),
    )
    .await?;
    let template = template(&mut problems, request.template);
    let class = match request.class {
        Some(word) => fields::class(&mut problems, &word).unwrap_or(MessageClass::Marketing),
        None => MessageClass::Marketing,
    };
    let providers = request.providers.unwrap_or_default();
    let providers = fields::providers(&mut problems, state, &providers);
    let from = fields::sender(&mut problems, state, request.from, &providers);
    let rate_millionths = request
        .rate
        .map(|rate| fields::rate_millionths(&mut problems, rate));
    let send_at = times::send_at(&mut problems, request.send_at.as_deref(), now);
    let window = request.window.as_ref();
    let window = window.map(|window| times::window(&mut problems, window));
    let validity = request.validity_period;
    let validity_seconds =
        times::campaign_validity_seconds(&mut problems, validity, window.is_some());
    problems.finish()?;
    Ok(Campaign {
        account,
        id,
        name,
        lists,
        template,
        class,
        from,
        providers,
        rate_millionths,
        validity_seconds,
        send_at,
        window,
        state: CampaignState::Draft,
        created_at: now,
        started_at: None,
        finished_at: None,
        version: 0,
    })
}

async fn lists(
    problems: &mut FieldProblems,
    state: &DoorState,
    account: AccountId,
    given: Vec<String>,
) -> Result<Vec<ListId>, Problem> {
    if given.is_empty() {
        problems.field(
            "/lists",
            ProblemCode::Required,
            "at least one contact list is needed",
        );
    }
    if given.len() > LISTS_MAX {
        let detail = format!("has more than {LISTS_MAX} lists");
        problems.field("/lists", ProblemCode::TooLong, detail);
        return Ok(Vec::new());
    }
    let mut lists: Vec<ListId> = Vec::new();
    for (index, text) in given.iter().enumerate() {
        let id = text.parse::<ListId>().ok();
        let stored = match id {
            Some(id) => {
                state
                    .store()
                    .get::<ContactList>(&ContactList::key_of(account, id))
                    .await?
            }
            None => None,
        };
        match stored {
            Some(list) if !lists.contains(&list.id) => lists.push(list.id),
            Some(_) => {}
            None => {
                let detail = "is not the id of a contact list";
                problems.field(format!("/lists/{index}"), ProblemCode::ListUnknown, detail);
            }
        }
    }
    Ok(lists)
}

fn template(problems: &mut FieldProblems, given: Option<String>) -> String {
    let Some(source) = given else {
        problems.field("/template", ProblemCode::Required, "a text is needed");
        return String::new();
    };
    if source.is_empty() {
        problems.field("/template", ProblemCode::InvalidValue, "is empty");
    } else if let Err(error) = Template::compile(&source) {
        problems.field("/template", ProblemCode::InvalidTemplate, error.to_string());
    }
    source
}

/// Starts a campaign, or lets it wait for its time: its state is stored first, then every node
/// is told.
///
/// # Errors
/// The problem, `campaign_state` when it was started before, `send_at_in_past` when its time
/// has passed: whoever let it pass may not want it sent now.
pub async fn start(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<CampaignId>,
    header: IdempotencyHeader,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let id = path.0;
    let account = caller.0;
    let campaign = find(&state, account, id).await?;
    let repeat = header.earlier(&state, account, &body).await?.is_some();
    if !repeat && campaign.state != CampaignState::Draft {
        return Err(not_startable(&campaign));
    }
    let claim = header.claim(&state, account, &body, *id.as_bytes()).await?;
    // Twins under one key may overtake each other: for them, started is started.
    let campaign = set_started(&state, campaign, header.has_key()).await?;
    // Told again on a replay: the first request may have ended between the two.
    let record = ControlRecord::CampaignChanged {
        account,
        campaign: id,
    };
    announce(&state, &record).await?;
    let location = format!("/v1/campaigns/{id}");
    let body = whole(&state, &campaign).await?;
    Ok(created(
        StatusCode::ACCEPTED,
        &location,
        claim.replayed,
        &body,
    ))
}

async fn set_started(
    state: &DoorState,
    mut campaign: Campaign,
    started_is_fine: bool,
) -> Result<Campaign, Problem> {
    loop {
        match campaign.state {
            CampaignState::Draft => {}
            CampaignState::Scheduled
            | CampaignState::Running
            | CampaignState::Paused
            | CampaignState::Canceled
            | CampaignState::Finished => {
                let was_started = campaign.started_at.is_some() || campaign.is_under_way();
                return if started_is_fine && was_started {
                    Ok(campaign)
                } else {
                    Err(not_startable(&campaign))
                };
            }
        }
        let now = state.runtime().now();
        if campaign.send_at.is_some() {
            let mut problems = FieldProblems::default();
            check_time(&mut problems, &campaign, now);
            problems.finish()?;
            campaign.state = CampaignState::Scheduled;
        } else {
            campaign.state = CampaignState::Running;
            campaign.started_at = Some(now);
        }
        campaign = match state.store().replace(campaign).await? {
            Replaced::Stored(campaign) => return Ok(campaign),
            Replaced::Conflict(Some(other)) => other,
            Replaced::Conflict(None) => return Err(Problem::new(ProblemCode::NotFound)),
        };
    }
}

fn check_time(problems: &mut FieldProblems, campaign: &Campaign, now: UnixMicros) {
    if campaign.send_at.is_some_and(|send_at| send_at < now) {
        let detail = "has passed; change it, or set it to null to begin at once";
        problems.field("/send_at", ProblemCode::SendAtInPast, detail);
    }
}

fn not_startable(campaign: &Campaign) -> Problem {
    Problem::with_detail(
        ProblemCode::CampaignState,
        format!(
            "the campaign is {}; it can be started while it is {}",
            campaign.state.as_str(),
            CampaignState::Draft.as_str()
        ),
    )
}

/// Tells every node of something that is to be begun.
pub(super) async fn announce(state: &DoorState, record: &ControlRecord) -> Result<(), Problem> {
    append(&state.doors().log, record).await
}

/// Tells every node of a command to what was taken in, also on a nearly full disk.
pub(super) async fn announce_command(
    state: &DoorState,
    record: &ControlRecord,
) -> Result<(), Problem> {
    append(&state.doors().log.for_commands(), record).await
}

async fn append(log: &Log, record: &ControlRecord) -> Result<(), Problem> {
    let payload = rmp_serde::to_vec_named(record).map_err(|error| Problem::internal(&error))?;
    log.append(Topic::Control, Partition(0), vec![payload])
        .await?;
    Ok(())
}

/// A campaign with its numbers.
///
/// # Errors
/// The problem.
pub async fn show(
    caller: Caller,
    state: web::Data<DoorState>,
    path: PathId<CampaignId>,
) -> Result<HttpResponse, Problem> {
    let campaign = find(&state, caller.0, path.0).await?;
    Ok(answer(StatusCode::OK, &whole(&state, &campaign).await?))
}

pub(super) async fn find(
    state: &DoorState,
    account: AccountId,
    id: CampaignId,
) -> Result<Campaign, Problem> {
    let campaign = state
        .store()
        .get::<Campaign>(&Campaign::key_of(account, id))
        .await?;
    campaign.ok_or_else(|| Problem::new(ProblemCode::NotFound))
}

pub(super) async fn whole(state: &DoorState, campaign: &Campaign) -> Result<CampaignBody, Problem> {
    let prefix = [KeyPart::Id(*campaign.id.as_bytes())];
    // One row for each partition, of which there are at most 4,096.
    let order = Order::Ascending;
    let rows = state
        .store()
        .list::<CampaignTally>(&prefix, None, order, LIST_LIMIT)
        .await?
        .rows;
    let partitions = usize::from(state.doors().ownership.partitions().get());
    let all_frozen = rows.len() >= partitions && rows.iter().all(|row| row.frozen);
    let still_counting = campaign.is_under_way() && !all_frozen;
    let mut sum = CampaignTally::empty(campaign.id, Partition(0));
    for row in &rows {
        sum.add(row);
    }
    Ok(CampaignBody::of(
        campaign,
        CampaignNumbers::of(&sum, still_counting),
    ))
}
