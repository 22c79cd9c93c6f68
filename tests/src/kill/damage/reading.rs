//! Everything that a folder says, in a form that can be compared, from a process of
//! its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use engine::runtime::Runtime;
use engine::storage::{JournalSettings, Storage};
use engine::store::{LIST_LIMIT, Order};
use engine::verify::{Verified, VerifyError};
use schemas::account::Account;
use schemas::campaign::Campaign;
use schemas::contact::ContactList;
use schemas::job::Job;
use schemas::message::{Intake, shard_key};
use schemas::record::{Key, KeyPart, Record};
use schemas::{Message, PartitionCount};

use crate::fixture;
use crate::rows;

/// What a detection begins with when the folder cannot even be opened.
pub const OPENING: &str = "opening: ";

/// The first argument of a process that reads; the folder and its partitions follow.
pub const COMMAND: &str = "read";

/// What it ends with when it has said all of the folder.
pub const READ: i32 = 0;

/// What it ends with when it has said what is damaged.
pub const DETECTED: i32 = 3;

/// What a folder says.
#[derive(Debug)]
#[expect(dead_code, reason = "it is compared as it is printed")]
struct Reading {
    /// What verifying counted.
    verified: Verified,
    /// Projections that are those made again from the journal, row by row.
    rebuilt: u64,
    /// A hash over messages and over what is no projection.
    rows: u64,
}

/// Says on its output what the folder says, or what is damaged.
pub fn run(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let folder = arguments.next().expect("a folder");
    let partitions = arguments.next().and_then(|count| count.parse().ok());
    let read = read(Path::new(&folder), partitions.expect("partitions"));
    let (code, said) = match read {
        Ok(reading) => (READ, format!("{reading:?}")),
        Err(detected) => (DETECTED, detected),
    };
    let written = std::io::stdout().write_all(said.as_bytes());
    written.expect("somebody listens");
    ExitCode::from(u8::try_from(code).expect("small"))
}

/// Reads `<folder>/data` like a node that starts and a user who reads everything.
///
/// # Errors
/// What is told of damage.
fn read(folder: &Path, partitions: u16) -> Result<Reading, String> {
    let verified = match engine::verify::folder(&folder.join("data")) {
        Ok(verified) => verified,
        Err(VerifyError::Folder(error)) => return Err(format!("{OPENING}{error}")),
        Err(VerifyError::Differs(error)) => return Err(format!("it does not agree: {error}")),
        Err(VerifyError::Store(error)) => return Err(error.to_string()),
    };
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    let settings = JournalSettings {
        partitions: PartitionCount::new(partitions).expect("a power of two"),
        owners: PartitionCount::ONE,
        trim: false,
    };
    let storage = Storage::open(&folder.join("data"), &runtime, settings);
    let storage = storage.map_err(|error| format!("{OPENING}{error}"))?;
    let rebuilt = storage.compare_with_rebuilt();
    let rebuilt = rebuilt.map_err(|error| error.to_string())?;
    let rebuilt = rebuilt.map_err(|difference| format!("it does not agree: {difference:?}"))?;
    let rows = tasks.block_on(rows(&storage))?;
    Ok(Reading {
        verified,
        rebuilt,
        rows,
    })
}

/// A hash over every row that a user can ask for and that is no projection (those are
/// compared already), and over all messages.
async fn rows(storage: &Storage) -> Result<u64, String> {
    let mut hash = DefaultHasher::new();
    let accounts = hashed::<Account>(storage, &Account::partition_key(), &mut hash).await?;
    for account in accounts {
        let of_account = vec![KeyPart::Id(*account.id.as_bytes())];
        hashed::<ContactList>(storage, &of_account, &mut hash).await?;
        hashed::<Job>(storage, &of_account, &mut hash).await?;
        let campaigns = hashed::<Campaign>(storage, &of_account, &mut hash).await?;
        let Some(started) = campaigns.first().and_then(|campaign| campaign.started_at) else {
            continue;
        };
        let day = i32::try_from(started.0.div_euclid(86_400_000_000)).unwrap_or(0);
        for shard in 0..rows::SHARDS {
            let shard = shard_key(account.id, day, shard);
            hashed::<Message>(storage, &shard, &mut hash).await?;
            hashed::<Intake>(storage, &shard, &mut hash).await?;
        }
    }
    Ok(hash.finish())
}

async fn hashed<R: Record>(
    storage: &Storage,
    prefix: &Key,
    hash: &mut DefaultHasher,
) -> Result<Vec<R>, String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = storage
            .store
            .list::<R>(prefix, after.as_ref(), Order::Ascending, LIST_LIMIT);
        let page = page.await.map_err(|error| error.to_string())?;
        for row in page.rows {
            let bytes = rmp_serde::to_vec(&row).map_err(|error| error.to_string())?;
            bytes.hash(hash);
            all.push(row);
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}
