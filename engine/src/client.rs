//! Talking to a node that serves: the HTTP client of the command line.
//!
//! A node that serves holds its data folder alone, so whoever wants to make an account
//! there has to ask the node. The folder holds what is needed for that: a file that
//! only its owner can read, with the root key of this start and the node's address.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemas::http::accounts::{AccountBody, AccountRequest, KeyRequest, NewKeyBody};
use schemas::http::problem::ProblemBody;
use schemas::http::verifications::VerificationBody;
use schemas::{AccountId, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The file's name in the data folder.
const ROOT_KEY: &str = "root.key";
/// Only its owner may read and write it.
const ROOT_KEY_MODE: u32 = 0o600;
/// How long one request may take: making an account is one fsync.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a verification may take: it reads everything there is.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3_600);

/// What is in `root.key`: the key and, on a second line, the node's URL.
#[derive(Clone, Debug)]
pub struct RootKeyFile {
    /// The root key.
    pub key: Secret,
    /// Where the node is, such as `http://127.0.0.1:8080`.
    pub url: String,
}

impl RootKeyFile {
    fn path(folder: &Path) -> PathBuf {
        folder.join(ROOT_KEY)
    }

    /// Writes it into a data folder, in place of an earlier one.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let path = Self::path(folder);
        let unfinished = path.with_extension("key.part");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // The mode is set as the file is made: it is never there for others to read.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(ROOT_KEY_MODE)
            .open(&unfinished)?;
        writeln!(file, "{}\n{}", self.key.expose(), self.url)?;
        fs::rename(unfinished, path)
    }

    /// Reads it from a data folder.
    ///
    /// # Errors
    /// When it is not there, not readable, or not of this form.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(Self::path(folder))?;
        let mut lines = text.lines();
        match (lines.next(), lines.next()) {
            (Some(key), Some(url)) => Ok(Self {
                key: Secret::new(key),
                url: url.to_owned(),
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "root.key is not whole",
            )),
        }
    }

    /// Removes it when the node stops; it is no error when it is gone.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(Self::path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// What a node did not do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer came.
    #[error("no answer from the node at {url}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The node refused.
    #[error("the node refused: {} ({})", .0.detail.as_deref().unwrap_or(&.0.title), .0.code)]
    Refused(Box<ProblemBody>),
    /// The answer is none of ours.
    #[error("the answer of {url} (status {status}) is not one of a node")]
    NotUnderstood {
        /// Who answered.
        url: String,
        /// The HTTP status.
        status: u16,
    },
}

/// A client of one node.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: reqwest::Client,
    url: String,
    key: Secret,
}

impl NodeClient {
    /// A client of the node at `url`, with an API key or the root key.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when no client can be made.
    pub fn new(url: &str, key: Secret) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|cause| ClientError::Unreachable {
                url: url.to_owned(),
                cause,
            })?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// `GET` of a path such as `/v1/providers`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        self.run(self.http.get(format!("{}{path}", self.url))).await
    }

    /// `POST` of a JSON body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<R, ClientError> {
        self.run(self.http.post(format!("{}{path}", self.url)).json(body))
            .await
    }

    /// `POST` of any body, such as a contacts file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upload<R: DeserializeOwned>(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<R, ClientError> {
        self.run(self.http.post(format!("{}{path}", self.url)).body(body))
            .await
    }

    /// Makes an account. Needs the root key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_account(&self, name: &str) -> Result<AccountBody, ClientError> {
        let request = AccountRequest {
            name: Some(name.to_owned()),
            weight: None,
            rate: None,
        };
        self.post("/v1/accounts", &request).await
    }

    /// Makes an API key. Needs the root key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_key(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<NewKeyBody, ClientError> {
        let name = Some(name.to_owned());
        self.post(
            &format!("/v1/accounts/{account}/keys"),
            &KeyRequest { name },
        )
        .await
    }

    /// Has the node verify what it keeps, for up to an hour. Needs the root key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify(&self) -> Result<VerificationBody, ClientError> {
        let request = self.http.post(format!("{}/v1/verifications", self.url));
        self.run(request.timeout(VERIFY_TIMEOUT)).await
    }

    async fn run<R: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<R, ClientError> {
        let unreachable = |cause| ClientError::Unreachable {
            url: self.url.clone(),
            cause,
        };
        let response = request
            .bearer_auth(self.key.expose())
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        let not_understood = || ClientError::NotUnderstood {
            url: self.url.clone(),
            status: status.as_u16(),
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| not_understood());
        }
        let problem = serde_json::from_slice(&body).map_err(|_| not_understood())?;
        Err(ClientError::Refused(Box::new(problem)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use schemas::Secret;

    use super::RootKeyFile;

    #[test]
    fn the_root_key_is_its_owners_alone() {
        let folder = std::env::temp_dir().join(format!("volley-root-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = RootKeyFile {
            key: Secret::new("volley_ab"),
            url: "http://127.0.0.1:1".to_owned(),
        };
        file.write(&folder).expect("written");
        file.write(&folder).expect("written again");
        let mode = std::fs::metadata(folder.join("root.key"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = RootKeyFile::read(&folder).expect("read");
        assert_eq!(
            (read.key.expose(), read.url.as_str()),
            ("volley_ab", "http://127.0.0.1:1")
        );
        RootKeyFile::remove(&folder).expect("removed");
        RootKeyFile::remove(&folder).expect("gone already");
        assert!(RootKeyFile::read(&folder).is_err());
        std::fs::remove_dir(&folder).expect("an empty folder");
    }
}
