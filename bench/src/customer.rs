//! What customers of a node ask for over the REST API.

use std::time::Duration;

use engine::client::NodeClient;
use schemas::http::campaigns::{CampaignBody, CampaignRequest};
use schemas::http::contact_lists::{ContactListBody, ContactListRequest};
use schemas::http::jobs::JobBody;
use schemas::job::JobState;
use schemas::{AccountId, CampaignId, Secret, UnixMicros};

use crate::failure::{BenchError, refused};

/// How often an import is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Makes an account and gives its client.
///
/// # Errors
/// When the node refuses.
#[cfg(feature = "cluster")]
pub async fn sign_up(root: &(NodeClient, String)) -> Result<(NodeClient, Secret), BenchError> {
    let account = root.0.create_account("bench").await;
    let account = account.map_err(refused("an account"))?;
    user_of(root, account.id).await
}

/// A client of an account, and its new key.
///
/// # Errors
/// When the node refuses.
pub async fn user_of(
    (root, url): &(NodeClient, String),
    account: AccountId,
) -> Result<(NodeClient, Secret), BenchError> {
    let failed = refused("a key");
    let key = root.create_key(account, "bench").await.map_err(&failed)?;
    let key = Secret::new(key.secret);
    let client = NodeClient::new(url, key.clone()).map_err(failed)?;
    Ok((client, key))
}

/// Imports a contacts file, and writes a campaign to all in it down.
///
/// # Errors
/// When the node refuses.
pub async fn draft(
    client: &NodeClient,
    contacts: String,
    template: String,
) -> Result<CampaignId, BenchError> {
    let failed = refused("a campaign");
    let name = Some("bench".to_owned());
    let list = ContactListRequest { name: name.clone() };
    let list: ContactListBody = client
        .post("/v1/contact-lists", &list)
        .await
        .map_err(&failed)?;
    let path = format!("/v1/contact-lists/{}/imports", list.id);
    let mut job: JobBody = client.upload(&path, contacts).await.map_err(&failed)?;
    while job.state != JobState::Completed {
        if job.state == JobState::Failed {
            return Err(BenchError::Invalid("an import failed".to_owned()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let path = format!("/v1/jobs/{}", job.id);
        job = client.get(&path).await.map_err(&failed)?;
    }
    let request = CampaignRequest {
        name,
        lists: Some(vec![list.id.to_string()]),
        template: Some(template),
        class: Some("marketing".to_owned()),
        ..CampaignRequest::default()
    };
    let body: CampaignBody = client
        .post("/v1/campaigns", &request)
        .await
        .map_err(failed)?;
    Ok(body.id)
}

/// Starts a campaign. Tells when it was started, in microseconds since 1970.
///
/// # Errors
/// When the node refuses.
pub async fn start(client: &NodeClient, campaign: CampaignId) -> Result<u64, BenchError> {
    let path = format!("/v1/campaigns/{campaign}/start");
    let body = client.post(&path, &serde_json::json!({})).await;
    let body: CampaignBody = body.map_err(refused("a start"))?;
    let at = body
        .started_at
        .as_deref()
        .and_then(UnixMicros::from_rfc3339);
    let at = at.and_then(|at| u64::try_from(at.0).ok());
    at.ok_or_else(|| BenchError::Invalid("no start".to_owned()))
}
