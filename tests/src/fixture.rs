//! A whole node over real parts, on this thread's arbiter: embedded storage in a
//! folder, provider accounts at a sandbox, no HTTP door.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use actors::import::Imports;
use actors::node::{Node, NodeParts};
use engine::dispatch::read_ahead::READ_AHEAD;
use engine::provider::{ProviderAccount, ProviderSettings};
use engine::runtime::Runtime;
use engine::storage::{JournalSettings, Storage};
use engine::store::{PutOnce, Replaced};
use futures::future::Either;
use schemas::account::Account;
use schemas::campaign::{Campaign, CampaignState, CampaignTally, ControlRecord};
use schemas::change::Change;
use schemas::job::{Job, JobProgress, JobState, JobWork};
use schemas::{
    AccountId, Body, CampaignId, Encoding, Envelope, JobId, ListId, MessageClass, MessageId,
    Partition, PartitionCount, Phone, Secret, UnixMicros,
};

use crate::rows;

/// Runs a test on an actix system over a multi-thread runtime, as a node runs.
pub fn on_system<T>(test: impl Future<Output = T>, handle: &tokio::runtime::Runtime) -> T {
    let _context = handle.enter();
    actix::System::new().block_on(test)
}

/// A runtime for tasks, two workers as on the smallest machine.
pub fn tasks() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// An empty folder of this test; `parent` is `CARGO_TARGET_TMPDIR`.
pub fn folder(parent: &str, name: &str) -> PathBuf {
    let folder = Path::new(parent).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A node and what it stands on.
pub struct TestNode {
    /// Time and tasks.
    pub runtime: Runtime,
    /// What it keeps.
    pub storage: Storage,
    /// The node.
    pub node: Node,
    /// Where imports lie.
    pub imports: Imports,
}

/// One provider account at a sandbox.
pub fn provider(address: SocketAddr, index: usize, rate: f64) -> Arc<ProviderAccount> {
    let settings = provider_settings(address, index, rate);
    let settings: ProviderSettings = toml::from_str(&settings).expect("settings");
    Arc::new(engine::provider::open(&settings, None).expect("a provider account"))
}

/// The settings of [`provider`].
pub fn provider_settings(address: SocketAddr, index: usize, rate: f64) -> String {
    format!(
        "name = \"sandbox-{index}\"\nkind = \"twilio\"\nrate = {rate}\n\
         senders = [\"+1500555{index:04}\"]\naccount_sid = \"{}\"\nauth_token = \"{}\"\n\
         base_url = \"http://{address}\"\n",
        account_sid(index),
        auth_token(index),
    )
}

/// The sid of the sandbox's account with this number.
pub fn account_sid(index: usize) -> String {
    format!("AC{index:032x}")
}

/// Its token.
pub fn auth_token(index: usize) -> String {
    format!("token{index:027}")
}

/// The sender of the account with this number.
pub fn default_sender(index: usize) -> String {
    format!("+1500555{index:04}")
}

/// A sandbox account for [`provider`].
pub fn sandbox_account(index: usize, rate: f64) -> sandbox::AccountConfig {
    let sender = default_sender(index);
    let mut account =
        sandbox::AccountConfig::new(&account_sid(index), &auth_token(index), &[&sender]);
    account.segments_per_second = Some(rate);
    account.sent_after_ms = (1, 50);
    account.final_after_ms = (1, 200);
    account
}

impl TestNode {
    /// Starts a node over a folder.
    pub async fn start(
        folder: &Path,
        partitions: u16,
        providers: Vec<Arc<ProviderAccount>>,
        tasks: &tokio::runtime::Runtime,
    ) -> Self {
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let storage = open_storage(folder, partitions, &runtime);
        let imports = Imports::own(folder.join("imports"));
        std::fs::create_dir_all(imports.folder()).expect("a folder");
        let node = Node::start(NodeParts {
            runtime: runtime.clone(),
            store: storage.store.clone(),
            log: storage.log.clone(),
            journal: storage.journal.clone(),
            providers,
            retry: engine::retry::RetryPolicy::default(),
            receipts_come: false,
            read_ahead: READ_AHEAD,
            imports: imports.clone(),
        })
        .await
        .expect("the node starts");
        Self {
            runtime,
            storage,
            node,
            imports,
        }
    }

    /// Creates an account.
    pub async fn account(&self) -> AccountId {
        let id = AccountId::mint(self.runtime.now(), self.runtime.random_bytes());
        let account = Account {
            id,
            name: "test".to_owned(),
            weight: 1,
            rate_millionths: None,
            number_key: Secret::new("0123456789abcdef"),
            created_at: self.runtime.now(),
            version: 0,
        };
        let replaced = self
            .storage
            .store
            .replace(account)
            .await
            .expect("the store works");
        assert!(matches!(replaced, Replaced::Stored(_)));
        id
    }

    /// Imports a file and waits for the job to end.
    pub async fn import(&self, account: AccountId, csv: &[u8]) -> (ListId, JobProgress) {
        let now = self.runtime.now();
        let list = ListId::mint(now, self.runtime.random_bytes());
        let id = JobId::mint(now, self.runtime.random_bytes());
        let path = self.imports.file_of(id);
        std::fs::write(path, csv).expect("the file is written");
        let work = JobWork::ImportContacts {
            list,
            default_region: None,
            phone_column: None,
        };
        let job = Job {
            account,
            id,
            work,
            created_at: now,
        };
        let put = self
            .storage
            .store
            .put_once(&job)
            .await
            .expect("the store works");
        assert!(matches!(put, PutOnce::Stored));
        self.control(ControlRecord::JobCreated { account, job: id })
            .await;
        loop {
            let progress = self
                .storage
                .store
                .get::<JobProgress>(&JobProgress::key_of(id, self.storage.journal.range()))
                .await;
            match progress.expect("the store works") {
                Some(progress) if progress.state != JobState::Running => return (list, progress),
                Some(_) | None => self.pause().await,
            }
        }
    }

    /// Creates a campaign and starts it.
    pub async fn campaign(&self, account: AccountId, list: ListId, template: &str) -> CampaignId {
        let now = self.runtime.now();
        let id = CampaignId::mint(now, self.runtime.random_bytes());
        let campaign = Campaign {
            account,
            id,
            name: "test".to_owned(),
            lists: vec![list],
            template: template.to_owned(),
            class: MessageClass::Marketing,
            from: None,
            providers: Vec::new(),
            rate_millionths: None,
            send_at: None,
            window: None,
            validity_seconds: 3_600,
            state: CampaignState::Running,
            created_at: now,
            started_at: Some(now),
            finished_at: None,
            version: 0,
        };
        let replaced = self
            .storage
            .store
            .replace(campaign)
            .await
            .expect("the store works");
        assert!(matches!(replaced, Replaced::Stored(_)));
        self.control(ControlRecord::CampaignChanged {
            account,
            campaign: id,
        })
        .await;
        id
    }

    /// The campaign's numbers.
    pub async fn tally(&self, campaign: CampaignId) -> CampaignTally {
        let partitions = self.storage.journal.partitions();
        rows::tally(&self.storage.store, partitions, campaign).await
    }

    /// Waits until the campaign is finished, and gives its numbers. A node that fails
    /// meanwhile ends the test.
    pub async fn finished(&mut self, account: AccountId, campaign: CampaignId) -> CampaignTally {
        let finished = pin!(finished(&self.storage, &self.runtime, account, campaign));
        let failed = pin!(self.node.failed());
        match futures::future::select(finished, failed).await {
            Either::Left((tally, _)) => tally,
            Either::Right((cause, _)) => panic!("the node has failed: {cause}"),
        }
    }

    /// Looks again a little later: real time goes by here.
    pub async fn pause(&self) {
        self.runtime.sleep(LOOK_AGAIN).await;
    }

    async fn control(&self, record: ControlRecord) {
        let payload = rmp_serde::to_vec_named(&record).expect("a record");
        let topic = engine::log::Topic::Control;
        self.storage
            .log
            .append(topic, Partition(0), vec![payload])
            .await
            .expect("the log works");
    }

    /// Commits changes directly.
    pub async fn commit(&self, changes: Vec<(Partition, Change)>) {
        self.storage
            .journal
            .commit(changes)
            .await
            .expect("the journal works");
    }
}

async fn finished(
    storage: &Storage,
    runtime: &Runtime,
    account: AccountId,
    campaign: CampaignId,
) -> CampaignTally {
    let key = Campaign::key_of(account, campaign);
    loop {
        let row = storage.store.get::<Campaign>(&key).await;
        let row = row.expect("the store works");
        if row.is_some_and(|campaign| campaign.state == CampaignState::Finished) {
            return rows::tally(&storage.store, storage.journal.partitions(), campaign).await;
        }
        runtime.sleep(LOOK_AGAIN).await;
    }
}

/// How often real work is looked at again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// Opens the storage of a node's folder, its journal kept whole.
pub fn open_storage(folder: &Path, partitions: u16, runtime: &Runtime) -> Storage {
    let settings = JournalSettings {
        partitions: PartitionCount::new(partitions).expect("a power of two"),
        owners: PartitionCount::ONE,
        trim: false,
    };
    Storage::open(&folder.join("data"), runtime, settings).expect("storage opens")
}

/// The first contact's number, behind its area code.
const FIRST_NUMBER: u32 = 2_000_000;

/// Contacts with distinct numbers, as a file.
pub fn contacts(count: u32) -> (String, BTreeMap<String, String>) {
    contacts_of(0..count)
}

/// The contacts with these places among all there can be, as a file.
pub fn contacts_of(places: Range<u32>) -> (String, BTreeMap<String, String>) {
    let mut csv = "Phone,First Name\n".to_owned();
    let mut names = BTreeMap::new();
    for number in places {
        let phone = format!("+1415{:07}", FIRST_NUMBER + number);
        let name = format!("Name{number}");
        csv.push_str(&format!("{phone},{name}\n"));
        names.insert(phone, name);
    }
    (csv, names)
}

/// The place of the contact with this number.
pub fn place_of(phone: &str) -> Option<u32> {
    let number: u32 = phone.strip_prefix("+1415")?.parse().ok()?;
    number.checked_sub(FIRST_NUMBER)
}

/// One text of a campaign, or one that belongs to none.
pub fn envelope(account: AccountId, campaign: Option<CampaignId>, to: &str) -> Arc<Envelope> {
    let to = Phone::from_e164(to).expect("a number");
    let now = UnixMicros(1_800_000_000_000_000);
    Arc::new(Envelope {
        account,
        id: MessageId::new(now, to.slice(), [1; 8]),
        campaign,
        contact: None,
        to,
        from: None,
        body: Body::new("Hi"),
        class: MessageClass::Marketing,
        provider: None,
        send_at: None,
        valid_until: now.plus_micros(3_600_000_000),
        encoding: Encoding::Gsm7,
        segments: 1,
        created_at: now,
    })
}
