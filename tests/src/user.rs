//! A user of the REST API: imports contacts, starts a campaign, sends single texts and
//! watches what becomes of them. The node may be dead, frozen or full at any moment, so
//! every request is repeated until its answer comes, under the same `Idempotency-Key`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::client::{NodeClient, RootKeyFile};
use reqwest::{RequestBuilder, StatusCode};
use schemas::campaign::CampaignState;
use schemas::http::PageBody;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers, CampaignRequest};
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::jobs::JobBody;
use schemas::http::messages::{MessageBody, MessageRequest, Recipient};
use schemas::http::providers::{ProviderBody, ProviderPatch, ProvidersBody};
use schemas::job::JobState;
use schemas::{Body, CampaignId, JobId, ListId, MessageId, ProviderId, Secret};
use serde::de::DeserializeOwned;

use crate::child::{ChildNode, ChildSettings};

/// How often a job or campaign is asked about, and how soon a request is repeated.
const POLL: Duration = Duration::from_millis(50);

/// A frozen node keeps connections open and answers nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a node whose first provider account is disabled from its start on, and signs up there. A
/// node that runs when that is ordered sends for a moment yet.
pub async fn start_disabled(settings: &ChildSettings) -> (ChildNode, User, ProviderId) {
    let node = ChildNode::start(settings);
    let user = User::sign_up(&settings.data()).await;
    let first = user.providers().await[0].id;
    user.enable(first, false).await;
    node.stop();
    (ChildNode::start(settings), user, first)
}

/// A user with a key of a new account.
pub struct User {
    http: reqwest::Client,
    url: String,
    /// The node's data folder, which holds the root key.
    data: PathBuf,
    key: Secret,
    keys_used: AtomicU64,
    refusals: Mutex<BTreeMap<u16, u64>>,
}

impl User {
    /// Signs up at the node that serves this data folder.
    pub async fn sign_up(data: &Path) -> Self {
        let root = RootKeyFile::read(data).expect("the node wrote its root key");
        let administrator = NodeClient::new(&root.url, root.key).expect("a client");
        let account = administrator.create_account("test").await;
        let account = account.expect("an account").id;
        let key = administrator.create_key(account, "test").await;
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build();
        Self {
            http: http.expect("a client"),
            url: root.url,
            data: data.to_owned(),
            key: Secret::new(key.expect("a key").secret),
            keys_used: AtomicU64::new(0),
            refusals: Mutex::default(),
        }
    }

    /// What opens the account.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// The same user, who goes to a node that listens there.
    pub fn at(self, listen: SocketAddr) -> Self {
        Self {
            url: format!("http://{listen}"),
            ..self
        }
    }

    /// Imports contacts into a new list and starts a campaign to them.
    pub async fn launch(&self, csv: String, template: &str) -> CampaignId {
        let list = self.import(csv).await;
        let campaign = self.draft(list, template).await;
        self.begin(campaign).await;
        campaign
    }

    /// Imports contacts into a new list.
    pub async fn import(&self, csv: String) -> ListId {
        let (list, job) = self.upload(csv).await;
        while matches!(
            self.job(job).await.state,
            JobState::Pending | JobState::Running
        ) {
            tokio::time::sleep(POLL).await;
        }
        assert_eq!(self.job(job).await.state, JobState::Completed);
        list
    }

    /// Has contacts imported into a new list, and does not wait for it.
    pub async fn upload(&self, csv: String) -> (ListId, JobId) {
        let request = ContactListRequest {
            name: Some("all".to_owned()),
        };
        let request = self.post("/v1/contact-lists").json(&request);
        let list: ContactListBody = self.answer(request).await;
        let imports = format!("/v1/contact-lists/{}/imports", list.id);
        let job: JobBody = self.answer(self.post(&imports).body(csv)).await;
        (list.id, job.id)
    }

    /// Where a job stands.
    pub async fn job(&self, id: JobId) -> JobBody {
        self.answer(self.get(&format!("/v1/jobs/{id}"))).await
    }

    /// Makes a campaign that is not started.
    pub async fn draft(&self, list: ListId, template: &str) -> CampaignId {
        let request = CampaignRequest {
            lists: Some(vec![list.to_string()]),
            template: Some(template.to_owned()),
            class: Some("marketing".to_owned()),
            ..CampaignRequest::default()
        };
        let request = self.post("/v1/campaigns").json(&request);
        self.answer::<CampaignBody>(request).await.id
    }

    /// Starts a campaign.
    pub async fn begin(&self, campaign: CampaignId) {
        let start = self.post(&format!("/v1/campaigns/{campaign}/start"));
        let _: CampaignBody = self.answer(start.json(&serde_json::json!({}))).await;
    }

    /// Pauses, resumes or cancels a campaign, by the command's word, under this key.
    pub async fn command(&self, campaign: CampaignId, word: &str, key: &str) -> CampaignBody {
        let url = format!("{}/v1/campaigns/{campaign}/{word}", self.url);
        let request = self.http.post(url).header("Idempotency-Key", key);
        self.answer(request).await
    }

    /// The provider accounts.
    pub async fn providers(&self) -> Vec<ProviderBody> {
        let providers: ProvidersBody = self.answer(self.get("/v1/providers")).await;
        providers.data
    }

    /// Changes a provider account, with the root key of the node that happens to run.
    pub async fn order(&self, provider: ProviderId, patch: &ProviderPatch) -> ProviderBody {
        let url = format!("{}/v1/providers/{provider}", self.url);
        loop {
            // Between two nodes it may not be there.
            if let Some(root) = self.root_key() {
                let request = self.http.patch(&url).bearer_auth(root.expose());
                match self.once(request.json(patch)).await {
                    Answer::Done(body) => {
                        return serde_json::from_slice(&body).expect("an answer of the API");
                    }
                    Answer::NotNow => {}
                    Answer::Refused(status, text) => {
                        // The key of a dead node, if there is another one by now.
                        let is_old =
                            self.root_key().as_ref().map(Secret::expose) != Some(root.expose());
                        assert!(is_old, "refused with {status}: {text}");
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Orders that a provider account sends, or that it does not.
    pub async fn enable(&self, provider: ProviderId, enabled: bool) -> ProviderBody {
        let patch = ProviderPatch {
            enabled: Some(enabled),
            rate: None,
        };
        self.order(provider, &patch).await
    }

    fn root_key(&self) -> Option<Secret> {
        RootKeyFile::read(&self.data).ok().map(|root| root.key)
    }

    /// Sends one transactional text, and makes sure that the same request once more is
    /// no second text.
    pub async fn send(&self, to: &str, body: &str) -> MessageId {
        self.send_by(None, to, body).await
    }

    /// The same by this provider account, where one is named.
    pub async fn send_by(&self, provider: Option<ProviderId>, to: &str, body: &str) -> MessageId {
        let request = MessageRequest {
            provider: provider.map(|provider| provider.to_string()),
            to: Some(Recipient(to.to_owned())),
            body: Some(Body::new(body)),
            class: Some("transactional".to_owned()),
            ..MessageRequest::default()
        };
        let request = self.post("/v1/messages").json(&request);
        let again = request.try_clone().expect("the body is in memory");
        let first: MessageBody = self.answer(request).await;
        let second: MessageBody = self.answer(again).await;
        assert_eq!(first.id, second.id, "one key, one message");
        first.id
    }

    /// A single message as it stands.
    pub async fn message(&self, id: MessageId) -> MessageBody {
        self.answer(self.get(&format!("/v1/messages/{id}"))).await
    }

    /// The campaign's messages so far, at most 1,000, without their timelines.
    pub async fn messages(&self, campaign: CampaignId) -> Vec<MessageBody> {
        let path = format!("/v1/messages?campaign={campaign}&limit=1000");
        let page: PageBody<MessageBody> = self.answer(self.get(&path)).await;
        page.data
    }

    /// Waits until the campaign is finished.
    pub async fn finished(&self, campaign: CampaignId) {
        while self.look(campaign).await.state != CampaignState::Finished {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until nothing more can be learnt of a campaign that is finished: no message
    /// waits for a receipt, and as many are unknown as the provider never took. False
    /// when it is not so after so many looks.
    pub async fn settled(&self, campaign: CampaignId, never_taken: u64, looks: u32) -> bool {
        for _ in 0..looks {
            let numbers = self.look(campaign).await.numbers;
            if numbers.accepted + numbers.sent == 0 && numbers.unknown == never_taken {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    /// How often the node said that it cannot do something now, by status.
    pub fn refusals(&self) -> BTreeMap<u16, u64> {
        let refusals = self.refusals.lock();
        refusals.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The campaign, whose numbers add up at any moment.
    async fn look(&self, campaign: CampaignId) -> CampaignBody {
        let body = self.campaign(campaign).await;
        let numbers = &body.numbers;
        assert_eq!(sum(numbers), numbers.total_recipients, "{numbers:?}");
        body
    }

    /// The campaign as it stands, unjudged.
    pub async fn campaign(&self, campaign: CampaignId) -> CampaignBody {
        let path = format!("/v1/campaigns/{campaign}");
        self.answer(self.get(&path)).await
    }

    /// A key that nothing was asked for under.
    pub fn new_key(&self) -> String {
        let number = self.keys_used.fetch_add(1, Ordering::Relaxed);
        format!("user-{number}")
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url));
        request.header("Idempotency-Key", self.new_key())
    }

    /// Repeats a request until its answer comes.
    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> T {
        let request = request.bearer_auth(self.key.expose());
        loop {
            let once = request.try_clone().expect("the body is in memory");
            match self.once(once).await {
                Answer::Done(body) => {
                    return serde_json::from_slice(&body).expect("an answer of the API");
                }
                Answer::NotNow => tokio::time::sleep(POLL).await,
                Answer::Refused(status, text) => panic!("refused with {status}: {text}"),
            }
        }
    }

    async fn once(&self, request: RequestBuilder) -> Answer {
        let Ok(response) = request.send().await else {
            return Answer::NotNow;
        };
        let status = response.status();
        let Ok(body) = response.bytes().await else {
            return Answer::NotNow;
        };
        if status.is_success() {
            return Answer::Done(body);
        }
        let text = String::from_utf8_lossy(&body);
        let in_flight = status == StatusCode::CONFLICT && text.contains("idempotency_in_flight");
        // A node that was frozen thinks that the request came too slowly.
        let too_slow = status == StatusCode::REQUEST_TIMEOUT;
        let too_often = status == StatusCode::TOO_MANY_REQUESTS;
        if !(status.is_server_error() || in_flight || too_slow || too_often) {
            return Answer::Refused(status, text.into_owned());
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(status.as_u16()).or_default() += 1;
        Answer::NotNow
    }
}

/// What came of one try.
enum Answer {
    Done(Bytes),
    /// Nobody answers, or the node cannot do it now.
    NotNow,
    Refused(StatusCode, String),
}

/// What `total_recipients` must be.
pub fn sum(numbers: &CampaignNumbers) -> u64 {
    let CampaignNumbers {
        total_recipients: _,
        still_counting: _,
        pending,
        accepted,
        sent,
        delivered,
        undelivered,
        failed,
        expired,
        canceled,
        unknown,
        skipped,
    } = numbers;
    let reached = accepted + sent + delivered + undelivered;
    let not_reached = failed + expired + canceled + unknown;
    pending + reached + not_reached + skipped.values().sum::<u64>()
}
