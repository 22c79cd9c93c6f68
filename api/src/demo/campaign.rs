//! What a user of the REST API does: a key, a list, an import, a campaign, and watching.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use engine::client::{ClientError, NodeClient};
use engine::runtime::{Runtime, WorkLost};
use schemas::campaign::CampaignState;
use schemas::http::PageBody;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers, CampaignRequest};
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::jobs::JobBody;
use schemas::http::messages::{MessageBody, MessageRequest};
use schemas::http::providers::ProvidersBody;
use schemas::job::JobState;
use schemas::{
    AccountId, CampaignId, JobId, ListId, MessageId, MessageStatus, ProviderId, Secret, UnixMicros,
};
use serde::Deserialize;

use super::options::Plan;
use super::pacing::SendStamp;
use super::witness::MessageState;

/// How often a job or a campaign is asked about.
pub(super) const POLL: Duration = Duration::from_millis(200);
/// Messages a page: the most that the API gives.
const PAGE: usize = 1_000;

/// A step that could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the import failed: {0}")]
    Import(String),
    #[error("the rejects cannot be had: {0}")]
    Rejects(#[from] reqwest::Error),
    #[error("file {file}: {cause}")]
    File {
        file: String,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Lost(#[from] WorkLost),
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StepError {
    move |cause| StepError::File {
        file: path.display().to_string(),
        cause,
    }
}

/// A user with a key.
#[derive(Clone)]
pub(super) struct User {
    client: NodeClient,
    http: reqwest::Client,
    url: String,
    pub(super) key: Secret,
}

/// What the listing of messages says, as far as a judge needs it.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) states: Vec<MessageState>,
    pub(super) stamps: Vec<(ProviderId, SendStamp)>,
}

#[derive(Deserialize)]
struct MessageRow {
    status: MessageStatus,
    reason: Option<String>,
    to: String,
    provider: Option<ProviderId>,
    segments: u32,
    attempts: u32,
    /// When a provider was last written to, RFC 3339.
    #[serde(default)]
    sent_at: Option<String>,
}

impl User {
    /// Makes an account if there is none yet, and a new key for it.
    pub(super) async fn sign_up(
        url: &str,
        root_key: Secret,
        account: Option<AccountId>,
    ) -> Result<(Self, AccountId), StepError> {
        let root = NodeClient::new(url, root_key)?;
        let account = match account {
            Some(account) => account,
            None => root.create_account("demo").await?.id,
        };
        let key = Secret::new(root.create_key(account, "demo").await?.secret);
        let client = NodeClient::new(url, key.clone())?;
        // Without a proxy: the node is on this machine.
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok((
            Self {
                client,
                http,
                url: url.to_owned(),
                key,
            },
            account,
        ))
    }

    /// Uploads the contacts into a new list.
    pub(super) async fn import(
        &self,
        contacts: &Path,
        region: Option<&str>,
    ) -> Result<(ListId, JobId), StepError> {
        let name = Some("demo".to_owned());
        let list: ContactListBody = self
            .client
            .post("/v1/contact-lists", &ContactListRequest { name })
            .await?;
        let file = tokio::fs::File::open(contacts)
            .await
            .map_err(file_error(contacts))?;
        let region = region
            .map(|region| format!("?region={region}"))
            .unwrap_or_default();
        let path = format!("/v1/contact-lists/{}/imports{region}", list.id);
        let job: JobBody = self.client.upload(&path, reqwest::Body::from(file)).await?;
        Ok((list.id, job.id))
    }

    /// Waits for the end of a job.
    pub(super) async fn imported(
        &self,
        job: JobId,
        runtime: &Runtime,
        mut told: impl FnMut(&JobBody),
    ) -> Result<JobBody, StepError> {
        loop {
            let body: JobBody = self.client.get(&format!("/v1/jobs/{job}")).await?;
            told(&body);
            match body.state {
                JobState::Completed => return Ok(body),
                JobState::Failed => return Err(StepError::Import(body.error.unwrap_or_default())),
                JobState::Pending | JobState::Running => runtime.sleep(POLL).await,
            }
        }
    }

    /// Writes the refused records of a job to a file.
    pub(super) async fn save_rejects(&self, job: &JobBody, path: &Path) -> Result<(), StepError> {
        let url = format!("{}{}", self.url, job.errors_url);
        let request = self.http.get(url).bearer_auth(self.key.expose());
        let mut response = request.send().await?.error_for_status()?;
        let mut file = fs::File::create(path).map_err(file_error(path))?;
        while let Some(chunk) = response.chunk().await? {
            io::Write::write_all(&mut file, &chunk).map_err(file_error(path))?;
        }
        Ok(())
    }

    /// Writes the campaign down.
    pub(super) async fn campaign(
        &self,
        list: ListId,
        plan: &Plan,
    ) -> Result<CampaignId, StepError> {
        let request = CampaignRequest {
            name: Some("demo".to_owned()),
            lists: Some(vec![list.to_string()]),
            template: Some(plan.template.clone()),
            class: Some("marketing".to_owned()),
            ..CampaignRequest::default()
        };
        let body: CampaignBody = self.client.post("/v1/campaigns", &request).await?;
        Ok(body.id)
    }

    /// Sends one text to one person.
    pub(super) async fn send(&self, request: &MessageRequest) -> Result<MessageBody, StepError> {
        Ok(self.client.post("/v1/messages", request).await?)
    }

    /// A message as it stands now.
    pub(super) async fn message(&self, id: MessageId) -> Result<MessageBody, StepError> {
        Ok(self.client.get(&format!("/v1/messages/{id}")).await?)
    }

    /// Starts the campaign unless it was started before.
    pub(super) async fn start(&self, campaign: CampaignId) -> Result<(), StepError> {
        let path = format!("/v1/campaigns/{campaign}");
        let body: CampaignBody = self.client.get(&path).await?;
        match body.state {
            CampaignState::Draft => {
                let path = format!("{path}/start");
                let _: CampaignBody = self.client.post(&path, &serde_json::json!({})).await?;
            }
            CampaignState::Scheduled
            | CampaignState::Running
            | CampaignState::Paused
            | CampaignState::Canceled
            | CampaignState::Finished => {}
        }
        Ok(())
    }

    /// The campaign's numbers now.
    pub(super) async fn numbers(&self, campaign: CampaignId) -> Result<CampaignNumbers, StepError> {
        let body: CampaignBody = self
            .client
            .get(&format!("/v1/campaigns/{campaign}"))
            .await?;
        Ok(body.numbers)
    }

    /// The names and ids of the providers.
    pub(super) async fn providers(&self) -> Result<ProvidersBody, StepError> {
        Ok(self.client.get("/v1/providers").await?)
    }

    /// All messages of the campaign, page by page.
    pub(super) async fn messages(&self, campaign: CampaignId) -> Result<Listing, StepError> {
        let mut listing = Listing::default();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/messages?campaign={campaign}&limit={PAGE}{cursor}");
            let page: PageBody<MessageRow> = self.client.get(&path).await?;
            for row in &page.data {
                listing.take(row);
            }
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(listing),
            }
        }
    }
}

impl Listing {
    fn take(&mut self, row: &MessageRow) {
        self.states.extend(MessageState::new(
            &row.to,
            row.status,
            row.reason.as_deref(),
        ));
        let at = row.sent_at.as_deref().and_then(UnixMicros::from_rfc3339);
        let at = at.and_then(|at| u64::try_from(at.0).ok());
        if let (Some(provider), Some(at)) = (row.provider, at) {
            let first = row.attempts == 1;
            self.stamps.push((
                provider,
                SendStamp {
                    at,
                    segments: row.segments,
                    first,
                },
            ));
        }
    }
}
