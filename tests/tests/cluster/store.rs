//! The store port on a real Cassandra: its whole contract, how its tables come to be, and what
//! it says and keeps when its server dies.

use engine::runtime::Runtime;
use engine::settings::CqlSettings;
use engine::store::contract::StoreSubject;
use engine::store::cql::{self, MigrateError};
use engine::store::{PutOnce, Replaced, Store, StoreError};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use schemas::account::{Account, ApiKey};
use schemas::health::{HealthChange, HealthEvent, ProviderHealth};
use schemas::{AccountId, KeyId, ProviderId, Secret, UnixMicros};
use tests::backends::cassandra::Cassandra;
use tests::backends::cql::CqlConnection;
use tests::backends::{ask_until, cassandra};
use tokio::sync::{Mutex, MutexGuard};

/// The tables that cases of the contracts write.
const WRITTEN: [&str; 5] = [
    "accounts",
    "api_keys",
    "audience_chunks",
    "job_progress",
    "list_members",
];

fn runtime() -> Runtime {
    Runtime::of_machine(tokio::runtime::Handle::current())
}

/// What only cqlsh would be used for.
fn query(cassandra: &Cassandra, statement: &str) -> Vec<Vec<Option<Vec<u8>>>> {
    let node = CqlConnection::open(cassandra.address());
    let rows = node.and_then(|mut node| node.query(statement));
    rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// A store in a keyspace that one case after the other uses: to make 25 tables for each would
/// take most of the time.
struct CqlSubject {
    settings: CqlSettings,
    store: Option<Store>,
    _turn: MutexGuard<'static, ()>,
}

impl CqlSubject {
    async fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let cassandra = tokio::task::block_in_place(cassandra)?;
        let turn = TURN.lock().await;
        let settings = cassandra.settings("contract");
        let migrated = cql::migrate(&settings, &runtime()).await;
        migrated.expect("the tables are made");
        for table in WRITTEN {
            query(cassandra, &format!("TRUNCATE contract.{table}"));
        }
        let store = cql::connect(&settings, &runtime()).await;
        Some(Self {
            store: Some(store.expect("it connects")),
            settings,
            _turn: turn,
        })
    }
}

impl StoreSubject for CqlSubject {
    fn store(&self) -> Store {
        self.store.clone().expect("open")
    }

    /// What a node loses that dies: its connections and all that it remembers.
    fn crash(&mut self) -> BoxFuture<'_, ()> {
        async {
            drop(self.store.take());
            let store = cql::connect(&self.settings, &runtime()).await;
            self.store = Some(store.expect("it connects"));
        }
        .boxed()
    }
}

macro_rules! run_store_cases {
    ($($case:ident,)*) => {
        mod contract {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(mut subject) = super::CqlSubject::new().await {
                    engine::store::contract::$case(&mut subject).await;
                }
            })*
        }
    };
}

macro_rules! run_cql_cases {
    ($($case:ident,)*) => {
        mod cql_contract {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(mut subject) = super::CqlSubject::new().await {
                    engine::store::cql::contract::$case(&mut subject).await;
                }
            })*
        }
    };
}

engine::each_store_case!(run_store_cases);
engine::each_cql_case!(run_cql_cases);

fn api_key(number: u32) -> ApiKey {
    ApiKey {
        secret_sha256: format!("secret {number}"),
        id: KeyId::from_bytes([1; 16]),
        account: AccountId::from_bytes([2; 16]),
        name: format!("name {number}"),
        created_at: UnixMicros(1),
    }
}

/// Two that begin at once make everything once; a third finds nothing to do; what a newer
/// release has made is not touched, and what nobody has made is not used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_and_never_made_older() {
    let Some(cassandra) = tokio::task::block_in_place(cassandra) else {
        return;
    };
    let (settings, runtime) = (cassandra.settings("migrated"), runtime());
    let early = cql::connect(&settings, &runtime).await;
    let early = early.expect_err("there are no tables").to_string();
    assert!(early.contains("run `volley migrate`"), "{early}");
    let both = join_all([
        cql::migrate(&settings, &runtime),
        cql::migrate(&settings, &runtime),
    ]);
    let mut made: Vec<_> = both
        .await
        .into_iter()
        .map(|migrated| migrated.expect("it migrates"))
        .map(|migrated| migrated.tables.len())
        .collect();
    made.sort_unstable();
    assert_eq!(made, [0, 30]);
    let again = cql::migrate(&settings, &runtime)
        .await
        .expect("it migrates");
    assert_eq!((again.made_keyspace, again.from, again.to), (false, 3, 3));
    assert!(again.tables.is_empty());
    query(
        cassandra,
        "INSERT INTO migrated.volley_schema (scope, version) VALUES ('version', 4)",
    );
    let newer = cql::migrate(&settings, &runtime).await;
    let newer = newer.expect_err("a newer release was here");
    assert!(matches!(
        newer,
        MigrateError::Newer {
            found: 4,
            known: 3,
            ..
        }
    ));
    // Its further columns are left alone, so a node of this release can still run.
    cql::connect(&settings, &runtime)
        .await
        .expect("it connects");
}

/// A column, and a field within JSON, that a newer release has added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_release_wrote_survives_a_rewrite() {
    let Some(cassandra) = tokio::task::block_in_place(cassandra) else {
        return;
    };
    let (settings, runtime) = (cassandra.settings("newer"), runtime());
    cql::migrate(&settings, &runtime)
        .await
        .expect("it migrates");
    let store = cql::connect(&settings, &runtime)
        .await
        .expect("it connects");
    let change = |at| HealthChange {
        at: UnixMicros(at),
        event: HealthEvent::Probed,
        cause: "rested".to_owned(),
        rate_millionths: 1,
    };
    let mut health = ProviderHealth::unknown(ProviderId::of_name("one"), 1);
    health.changes = vec![change(1), change(2)];
    let stored = store.replace(health).await.expect("replace");
    let Replaced::Stored(mut health) = stored else {
        panic!("nobody else writes it");
    };
    query(cassandra, "ALTER TABLE newer.provider_health ADD mood text");
    let digits: String = health.provider.to_string().replace("prv_", "0x");
    let of_row = format!("WHERE provider = {digits}");
    let rows = query(
        cassandra,
        &format!("SELECT changes FROM newer.provider_health {of_row}"),
    );
    let text = String::from_utf8(rows[0][0].clone().expect("a text")).expect("UTF-8");
    let newer = text.replacen(r#""at":2"#, r#""at":2,"by":"x""#, 1);
    assert_ne!(newer, text);
    query(
        cassandra,
        &format!("UPDATE newer.provider_health SET mood = 'good', changes = '{newer}' {of_row}"),
    );
    health.changes.remove(0);
    health.changes.push(change(3));
    let stored = store.replace(health.clone()).await.expect("replace");
    assert!(matches!(stored, Replaced::Stored(row) if row.version == 2));
    let rows = query(
        cassandra,
        &format!("SELECT changes, mood FROM newer.provider_health {of_row}"),
    );
    let text =
        |cell: &Option<Vec<u8>>| String::from_utf8(cell.clone().expect("a text")).expect("UTF-8");
    assert_eq!(text(&rows[0][1]), "good");
    let changes = text(&rows[0][0]);
    assert_eq!(changes.matches(r#""by":"x""#).count(), 1, "{changes}");
    let key = ProviderHealth::key_of(health.provider);
    let read: ProviderHealth = store.get(&key).await.expect("get").expect("there");
    assert_eq!(read.changes, health.changes);
}

/// While the server hangs or is dead, an answer comes in bounded time and says what is down;
/// when it is back, work goes on by itself and everything acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_is_told_of_and_loses_nothing() {
    let Some(cassandra) = tokio::task::block_in_place(Cassandra::start) else {
        return;
    };
    let (settings, runtime) = (cassandra.settings("killed"), runtime());
    cql::migrate(&settings, &runtime)
        .await
        .expect("it migrates");
    let store = cql::connect(&settings, &runtime)
        .await
        .expect("it connects");
    let account = Account {
        id: AccountId::from_bytes([3; 16]),
        name: "Acme".to_owned(),
        number_key: Secret::new("00ff"),
        weight: 1,
        rate_millionths: None,
        created_at: UnixMicros(1),
        version: 0,
    };
    store.replace(account.clone()).await.expect("replace");
    for number in 0..200 {
        let put = store.put_once(&api_key(number)).await;
        assert!(matches!(put, Ok(PutOnce::Stored)));
    }
    cassandra.freeze();
    let row = api_key(1_000);
    let (put, got) = futures::join!(store.put_once(&row), get(&store, 0));
    // Without a bound on the wait, the test would hang here.
    assert!(is_told(put.expect_err("it hangs")) && is_told(got.expect_err("it hangs")));
    cassandra.thaw();
    // Nobody knows whether it is there; to ask again finds out, and it is there once.
    assert!(until(|| async { get(&store, 1_000).await.is_ok() }).await);
    let mut again = row.clone();
    again.name = "another".to_owned();
    let answer = store.put_once(&again).await.expect("put");
    let there = get(&store, 1_000).await.expect("get").expect("there").name;
    match &answer {
        PutOnce::Stored => assert_eq!(there, again.name),
        PutOnce::Exists(row) => assert_eq!(there, row.name),
    }
    cassandra.kill();
    let down = get(&store, 0).await.expect_err("it is dead");
    assert!(is_told(down));
    let mut account = Account {
        version: 1,
        ..account
    };
    account.name.push('!');
    // Whoever has nobody to tell waits, with writes too.
    let patient = store.patient(&runtime);
    let back = async { tokio::task::block_in_place(|| cassandra.restart()) };
    let (replaced, ()) = futures::join!(patient.replace(account), back);
    assert!(matches!(replaced, Ok(Replaced::Stored(row)) if row.version == 2));
    assert!(until(|| async { get(&store, 0).await.is_ok() }).await);
    for number in 0..200 {
        let there = get(&store, number).await.expect("get").expect("there");
        assert_eq!(there.name, format!("name {number}"));
    }
}

async fn get(store: &Store, number: u32) -> Result<Option<ApiKey>, StoreError> {
    let key = api_key(number);
    store.get(&ApiKey::key_of(&key.secret_sha256)).await
}

/// The error names the store's server, and nothing that was written.
fn is_told(error: StoreError) -> bool {
    let told = error.to_string();
    assert!(!told.contains("secret"), "{told}");
    matches!(error, StoreError::Unavailable { .. }) && told.contains("CQL")
}

/// Asks until it is so, on the driver's own threads.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) -> bool {
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| ask_until(|| handle.block_on(is_so())))
}
