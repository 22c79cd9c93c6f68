//! A user of the REST API: imports contacts, starts a campaign and watches it.

use std::path::Path;
use std::time::Duration;

use engine::client::{NodeClient, RootKeyFile};
use schemas::campaign::CampaignState;
use schemas::http::campaigns::{CampaignBody, CampaignRequest};
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::jobs::JobBody;
use schemas::job::JobState;
use schemas::{CampaignId, Secret};

/// How often a job or campaign is asked about.
const POLL: Duration = Duration::from_millis(50);

/// A user with a key of a new account.
pub struct User {
    client: NodeClient,
}

impl User {
    /// Signs up at the node that serves this data folder.
    pub async fn sign_up(data: &Path) -> Self {
        let root = RootKeyFile::read(data).expect("the node wrote its root key");
        let administrator = NodeClient::new(&root.url, root.key).expect("a client");
        let account = administrator.create_account("test").await;
        let account = account.expect("an account").id;
        let key = administrator.create_key(account, "test").await;
        let key = Secret::new(key.expect("a key").secret);
        let client = NodeClient::new(&root.url, key).expect("a client");
        Self { client }
    }

    /// Imports contacts into a new list and starts a campaign to them.
    pub async fn launch(&self, csv: String, template: &str) -> CampaignId {
        let request = ContactListRequest {
            name: Some("all".to_owned()),
        };
        let list = self.client.post("/v1/contact-lists", &request).await;
        let list: ContactListBody = list.expect("a list");
        let imports = format!("/v1/contact-lists/{}/imports", list.id);
        let job = self.client.upload(&imports, reqwest::Body::from(csv)).await;
        let mut job: JobBody = job.expect("an import");
        let path = format!("/v1/jobs/{}", job.id);
        while matches!(job.state, JobState::Pending | JobState::Running) {
            tokio::time::sleep(POLL).await;
            job = self.client.get(&path).await.expect("a job");
        }
        assert_eq!(job.state, JobState::Completed);
        let request = CampaignRequest {
            lists: Some(vec![list.id.to_string()]),
            template: Some(template.to_owned()),
            class: Some("marketing".to_owned()),
            ..CampaignRequest::default()
        };
        let campaign: CampaignBody = {
            let made = self.client.post("/v1/campaigns", &request).await;
            made.expect("a campaign")
        };
        let start = format!("/v1/campaigns/{}/start", campaign.id);
        let started = self.client.post(&start, &serde_json::json!({})).await;
        let _: CampaignBody = started.expect("it starts");
        campaign.id
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

    async fn look(&self, campaign: CampaignId) -> CampaignBody {
        let body = self.client.get(&format!("/v1/campaigns/{campaign}")).await;
        body.expect("the campaign")
    }
}
