//! A text to many: a list, a file of contacts, a campaign, its start, and then looks at its
//! numbers until it is finished.

use api::in_process::DoorAnswer;
use schemas::campaign::CampaignState;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers};
use schemas::http::contact_lists::ContactListBody;
use schemas::http::jobs::JobBody;
use schemas::http::problem::ProblemBody;
use schemas::job::JobState;
use schemas::{CampaignId, JobId, ListId, MessageClass, UnixMicros};
use serde_json::{Value, json};

use super::audience::{ContactsFile, contacts_file, number_of};
use super::commands::Commands;
use super::{Ask, Asked, Heard, Next, again_after, is_for_later, json};
use crate::simulation::chance::Chance;
use crate::simulation::plan::CampaignPlan;
use crate::simulation::time::Time;
use crate::simulation::world::second_sender;

/// Numbers between the first people of two campaigns: many people are in both.
const NUMBERS_APART: u64 = 40;

/// The first number of those whose name nobody knows.
const NAMELESS: u64 = 20_000;

/// Milliseconds between two looks at a job.
const JOB_LOOK_MS: u64 = 150;

/// Milliseconds between two looks at a campaign.
const LOOK_EVERY_MS: u64 = 1_700;

/// A text of one segment becomes one of three with this.
const MORE: &str = " Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod \
    tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud \
    exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor.";

/// A customer's wish to have a text sent to many.
pub struct CampaignErrand {
    /// What was planned.
    pub plan: CampaignPlan,
    /// Which of the schedule's campaigns.
    pub number: usize,
    /// A file for each of its lists.
    files: Vec<ContactsFile>,
    late: ContactsFile,
    stage: Stage,
    lists: Vec<ListId>,
    job: Option<JobId>,
    /// Its id, once it was made.
    pub campaign: Option<CampaignId>,
    /// When its start was first acknowledged, in microseconds.
    pub started_at: Option<u64>,
    /// The `send_at` that it was given last.
    pub send_at: Option<UnixMicros>,
    /// What is asked of it while it runs.
    pub commands: Commands,
    /// The numbers that were seen last.
    pub seen: Option<CampaignNumbers>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    List,
    Upload,
    Job,
    Create,
    Schedule,
    Start,
    Command,
    LateUpload,
    LateJob,
    Watch,
}

impl CampaignErrand {
    /// A wish.
    pub fn new(number: usize, plan: CampaignPlan, chance: &mut Chance) -> Self {
        let first = number as u64 * NUMBERS_APART;
        let shared = plan.shared.unwrap_or(0);
        // Who is on the first list alone or on both; the others are on the second.
        let on_first = match plan.shared {
            Some(shared) => plan.recipients / 2 + shared,
            None => plan.recipients,
        };
        let mut files = vec![contacts_file(
            chance,
            first,
            on_first,
            plan.repeated,
            plan.bad,
        )];
        if plan.shared.is_some() {
            let from = first + on_first - shared;
            let on_second = plan.recipients - on_first + shared;
            files.push(contacts_file(chance, from, on_second, 0, 0));
        }
        for person in 0..plan.nameless {
            let serial = NAMELESS + number as u64 * NUMBERS_APART + person;
            files[0].add_nameless(number_of(serial));
        }
        let late = contacts_file(chance, first + plan.recipients, plan.late, 0, 0);
        Self {
            plan,
            number,
            files,
            late,
            stage: Stage::List,
            lists: Vec::new(),
            job: None,
            campaign: None,
            started_at: None,
            send_at: None,
            commands: Commands::new(plan.commands, plan.change),
            seen: None,
        }
    }

    /// Who is to get which text.
    pub fn expected(&self) -> impl Iterator<Item = (&str, String)> {
        let shared = self.plan.shared.unwrap_or(0) as usize;
        let (first, others) = self.files.split_at(1);
        let others = others.iter().flat_map(move |file| &file.people[shared..]);
        let people = first.iter().flat_map(|file| &file.people).chain(others);
        people.map(|(number, name)| (number.as_str(), self.text(name)))
    }

    /// Who is to be skipped, because the text cannot be written.
    pub fn nameless(&self) -> &[String] {
        &self.files[0].nameless
    }

    /// How many people are on its lists.
    pub fn people(&self) -> u64 {
        self.plan.recipients + self.plan.nameless
    }

    /// The file of the list that was made last.
    fn file(&self) -> &ContactsFile {
        &self.files[self.lists.len() - 1]
    }

    fn text(&self, name: &str) -> String {
        let more = if self.plan.is_long { MORE } else { "" };
        format!("Hi {name}, this is campaign {}.{more}", self.number)
    }

    pub(super) fn ask(&mut self, now: u64, wall: UnixMicros) -> Asked {
        let key = |what: &str| Some(format!("{what}-{}-{}", self.number, self.lists.len()));
        let upload = |file: &ContactsFile, list: Option<&ListId>, what: &str| Ask {
            method: "POST",
            path: list.map_or_else(String::new, |list| {
                format!("/v1/contact-lists/{list}/imports?region=US")
            }),
            key: key(what),
            body: file.csv.clone().into_bytes(),
        };
        let campaign = self.campaign.map(|id| format!("/v1/campaigns/{id}"));
        let campaign = campaign.unwrap_or_default();
        let job = self.job.map(|id| format!("/v1/jobs/{id}"));
        let request = match self.stage {
            Stage::List => {
                let path = "/v1/contact-lists".to_owned();
                Ask::post(path, key("list"), &json!({ "name": "people" }))
            }
            Stage::Upload => upload(self.file(), self.lists.last(), "upload"),
            Stage::LateUpload => upload(&self.late, self.lists.first(), "late"),
            Stage::Job | Stage::LateJob => Ask::get(job.unwrap_or_default()),
            Stage::Create => {
                let mut wanted = json!({
                    "lists": self.lists,
                    "template": self.text("{{ first_name }}"),
                    "class": self.plan.class.as_str(),
                    "validity_period": self.plan.validity_seconds,
                });
                if let Some(rate) = self.plan.rate {
                    wanted["rate"] = json!(rate);
                }
                if let Some(place) = self.plan.from_second_of {
                    wanted["from"] = json!(second_sender(place + 1));
                }
                if self.plan.has_window {
                    wanted["window"] = window();
                }
                Ask::post("/v1/campaigns".to_owned(), key("campaign"), &wanted)
            }
            Stage::Schedule => {
                let after_ms = self.plan.send_after_ms.unwrap_or(0);
                let send_at = wall.plus_micros(after_ms as i64 * 1_000);
                self.send_at = Some(send_at);
                Ask::patch(campaign, &json!({ "send_at": send_at.to_rfc3339() }))
            }
            Stage::Start => Ask::post(format!("{campaign}/start"), key("start"), &json!({})),
            Stage::Command => {
                let asked = self.commands.ask(now);
                asked.map_or_else(
                    || Ask::get(campaign.clone()),
                    |(command, place)| command.request(&campaign, self.number, place),
                )
            }
            Stage::Watch => Ask::get(campaign),
        };
        let has_twin = matches!(self.stage, Stage::Upload | Stage::Start | Stage::Command)
            && self.number % 2 == 1;
        Asked { request, has_twin }
    }

    pub(super) fn heard(&mut self, answer: Option<&DoorAnswer>, now: u64) -> Heard {
        let again = again_after(answer);
        if self.stage == Stage::Command && answer.is_some_and(is_over) {
            self.commands.came_too_late();
            self.stage = self.after_commands();
            return Ok(Next::After(0));
        }
        if answer.is_some_and(|answer| self.is_rescheduled(answer)) {
            return Ok(Next::After(0));
        }
        let Some(answer) = answer.filter(|answer| !is_for_later(answer)) else {
            return Ok(again);
        };
        if !(200..300).contains(&answer.status) {
            let (stage, status) = (self.stage, answer.status);
            return Err(format!("campaign {}: {stage:?} got {status}", self.number));
        }
        match self.stage {
            Stage::List => self.lists.push(json::<ContactListBody>(answer)?.id),
            Stage::Upload | Stage::LateUpload => self.job = Some(json::<JobBody>(answer)?.id),
            Stage::Job | Stage::LateJob => {
                let job: JobBody = json(answer)?;
                if matches!(job.state, JobState::Pending | JobState::Running) {
                    return Ok(Next::After(JOB_LOOK_MS));
                }
                self.judge_job(&job)?;
            }
            Stage::Create => self.campaign = Some(json::<CampaignBody>(answer)?.id),
            Stage::Schedule => {}
            Stage::Start => {
                self.started_at.get_or_insert(now);
            }
            Stage::Command => {
                self.commands.granted(now);
                self.judge_numbers(&json(answer)?)?;
            }
            Stage::Watch => return self.look(&json(answer)?),
        }
        self.stage = match self.stage {
            Stage::List => Stage::Upload,
            Stage::Upload => Stage::Job,
            Stage::Job if self.lists.len() < self.files.len() => Stage::List,
            Stage::Job => Stage::Create,
            Stage::Create if self.plan.send_after_ms.is_some() => Stage::Schedule,
            Stage::Create | Stage::Schedule => Stage::Start,
            Stage::Start | Stage::Command if self.commands.next().is_some() => Stage::Command,
            Stage::Start | Stage::Command => self.after_commands(),
            Stage::LateUpload => Stage::LateJob,
            Stage::LateJob | Stage::Watch => Stage::Watch,
        };
        Ok(match self.stage {
            Stage::Start => Next::Together,
            Stage::Command => Next::After(self.commands.next().map_or(0, |(wait, _)| wait)),
            Stage::List
            | Stage::Upload
            | Stage::Job
            | Stage::Create
            | Stage::Schedule
            | Stage::LateUpload
            | Stage::LateJob
            | Stage::Watch => Next::After(0),
        })
    }

    /// Whether it is to be given another time, or need not be.
    fn is_rescheduled(&mut self, answer: &DoorAnswer) -> bool {
        let is_late = self.plan.send_after_ms.is_some() && answer.status == 422;
        if is_late && matches!(self.stage, Stage::Schedule | Stage::Start) {
            // Its time passed before it was started.
            self.stage = Stage::Schedule;
            return true;
        }
        let has_begun = self.stage == Stage::Schedule && is_over(answer);
        if has_begun {
            // It was started before its time, and nobody heard of that.
            self.send_at = None;
            self.stage = Stage::Start;
        }
        has_begun
    }

    fn after_commands(&self) -> Stage {
        if self.plan.late > 0 {
            Stage::LateUpload
        } else {
            Stage::Watch
        }
    }

    fn judge_job(&self, job: &JobBody) -> Result<(), String> {
        let file = if self.stage == Stage::Job {
            self.file()
        } else {
            &self.late
        };
        let people = file.people.len() + file.nameless.len();
        let expected = (people as u64, file.repeated, file.bad);
        let told = (job.contacts, job.merged, job.failed);
        if job.state == JobState::Completed && told == expected {
            return Ok(());
        }
        let state = job.state;
        Err(format!(
            "an import of {expected:?} contacts, repetitions and bad lines is {state:?} with {told:?}"
        ))
    }

    /// The numbers add up at any moment, ends are not taken back, and finished means
    /// finished.
    fn judge_numbers(&mut self, body: &CampaignBody) -> Result<(), String> {
        let numbers = &body.numbers;
        let parts = [
            numbers.pending,
            numbers.accepted,
            numbers.sent,
            numbers.delivered,
            numbers.undelivered,
            numbers.failed,
            numbers.expired,
            numbers.canceled,
            numbers.unknown,
            numbers.skipped.values().sum(),
        ];
        let wrong = |what: &str| Err(format!("campaign {}: {what}: {numbers:?}", self.number));
        if parts.iter().sum::<u64>() != numbers.total_recipients {
            return wrong("the numbers do not add up");
        }
        if let Some(seen) = &self.seen
            && ends(seen)
                .iter()
                .zip(ends(numbers))
                .any(|(before, now)| now < *before)
        {
            return wrong("an end was taken back");
        }
        let (expected, total) = (self.people(), numbers.total_recipients);
        let is_cut_off = self.commands.is_canceled() && total < expected;
        if !numbers.still_counting && total != expected && !is_cut_off {
            return wrong("the audience is not the list's");
        }
        if body.state == CampaignState::Finished && numbers.pending > 0 {
            return wrong("it is finished and somebody waits");
        }
        self.seen = Some(numbers.clone());
        Ok(())
    }

    fn look(&mut self, body: &CampaignBody) -> Heard {
        self.judge_numbers(body)?;
        let numbers = &body.numbers;
        let is_finished = body.state == CampaignState::Finished;
        if self.commands.is_canceled() != (body.state == CampaignState::Canceled) {
            return Err(format!("campaign {} is {:?}", self.number, body.state));
        }
        if body.state == CampaignState::Canceled {
            let is_over = body.finished_at.is_some();
            return Ok(if is_over {
                Next::Done
            } else {
                Next::After(LOOK_EVERY_MS)
            });
        }
        // What is unknown may be sent again for hours, and only then is it finished.
        let may_resend = self.plan.class == MessageClass::Transactional && numbers.unknown > 0;
        let is_settled = !numbers.still_counting && numbers.pending == 0 && may_resend;
        Ok(if is_finished || is_settled {
            Next::Done
        } else {
            Next::After(LOOK_EVERY_MS)
        })
    }
}

/// A window from the schedule's second minute on, for two hours.
fn window() -> Value {
    let minute = Time::OPENS_AT / 60_000_000 % (24 * 60);
    let clock = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    json!({ "from": clock(minute), "until": clock(minute + 120), "time_zone": "Etc/UTC" })
}

/// The counts that can only grow.
fn ends(numbers: &CampaignNumbers) -> [u64; 6] {
    [
        numbers.total_recipients,
        numbers.delivered,
        numbers.undelivered,
        numbers.failed,
        numbers.expired,
        numbers.canceled,
    ]
}

/// Whether it is refused because of the state that the campaign is in, and not because its time
/// has not come.
fn is_over(answer: &DoorAnswer) -> bool {
    let is_so = |problem: ProblemBody| {
        let detail = problem.detail.unwrap_or_default();
        problem.code == "campaign_state" && !detail.starts_with("the campaign is scheduled;")
    };
    answer.status == 409 && json(answer).is_ok_and(is_so)
}
