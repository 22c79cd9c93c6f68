//! The importer of one job's part: the people of the partitions that are owned. It reads the uploaded file in batches; the contacts of a
//! batch are committed first, then how far the file was read, so an import that was
//! interrupted reads at most one batch again and counts nobody twice.

use std::fs::File;
use std::io::BufReader;

use actix::prelude::*;
use engine::contacts::ImportOptions;
use engine::dispatch::audience::keyed;
use engine::journal::{CommitError, Journal, Verdict};
use engine::runtime::{Runtime, WorkLost};
use engine::store::{Store, StoreError};
use hmac::{Hmac, Mac};
use schemas::account::Account;
use schemas::change::Change;
use schemas::contact::contact_id;
use schemas::job::{Job, JobProgress, JobState, JobWork};
use schemas::{AccountId, ContactId, JobId, Partition, Phone};
use sha2::Sha256;

use super::Imports;
use super::file::{Batch, FileError, ImportFile};
use super::shared::{SharedError, bring, forget};
use crate::control::DISK_FULL_PAUSE;
use crate::supervision::{Escalation, Lifeline, TaskPanicked, spawn_for};

/// What an importer is built from.
#[derive(Clone)]
pub struct ImporterParts {
    /// Time and tasks.
    pub runtime: Runtime,
    /// Rows.
    pub store: Store,
    /// Where contacts are committed.
    pub journal: Journal,
    /// Who hears that the store or journal fails.
    pub escalation: Escalation,
    /// Where uploaded files are kept.
    pub imports: Imports,
    /// Whose job.
    pub account: AccountId,
    /// Which.
    pub job: JobId,
}

/// One job's importer.
pub struct Importer {
    parts: ImporterParts,
    lifeline: Lifeline,
}

impl Importer {
    /// An importer that goes on where the job's progress says.
    pub fn new(parts: ImporterParts, lifeline: Lifeline) -> Self {
        Self { parts, lifeline }
    }
}

impl Actor for Importer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (parts, address) = (self.parts.clone(), context.address());
        spawn_for(&self.parts.runtime, context.address(), async move {
            if let Err(error) = import(&parts).await {
                return parts.escalation.raise(error.to_string());
            }
            let _ = address.send(Done).await;
        });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Done;

impl Handler<Done> for Importer {
    type Result = ();

    fn handle(&mut self, _: Done, context: &mut Self::Context) {
        self.lifeline.finish();
        context.stop();
    }
}

/// An import stopped for a reason that is not in its file.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("an import cannot go on")]
    Store(#[from] StoreError),
    #[error("an import cannot go on")]
    Commit(#[from] CommitError),
    #[error("an import cannot go on")]
    WorkLost(#[from] WorkLost),
}

struct Import<'a> {
    parts: &'a ImporterParts,
    work: JobWork,
    number_key: Hmac<Sha256>,
}

async fn import(parts: &ImporterParts) -> Result<(), ImportError> {
    let job = parts
        .store
        .get::<Job>(&Job::key_of(parts.account, parts.job))
        .await?;
    let account = parts
        .store
        .get::<Account>(&Account::key_of(parts.account))
        .await?;
    let (Some(job), Some(account)) = (job, account) else {
        return Ok(());
    };
    let progress = parts
        .store
        .get::<JobProgress>(&JobProgress::key_of(parts.job, parts.journal.range()))
        .await?;
    let resume = match progress {
        Some(progress) if progress.state != JobState::Running => return Ok(()),
        Some(progress) => progress.resume,
        None => None,
    };
    let import = Import {
        parts,
        work: job.work,
        number_key: keyed(&account.number_key),
    };
    let JobWork::ImportContacts {
        default_region,
        phone_column,
        ..
    } = &import.work;
    let options = ImportOptions {
        default_region: default_region.clone(),
        phone_column: phone_column.clone(),
    };
    bring_patiently(parts).await?;
    let path = parts.imports.file_of(parts.job);
    import.read(ImportFile::new(path, options, resume)).await?;
    Ok(forget(&parts.imports, &parts.runtime, parts.job).await?)
}

/// The file comes to this node's disk. A disk that is full, or will not be written to, must not
/// end the node, and each of its successors: the import waits for it.
async fn bring_patiently(parts: &ImporterParts) -> Result<(), ImportError> {
    let mut warned = false;
    loop {
        match bring(&parts.imports, &parts.store, &parts.runtime, parts.job).await {
            Ok(()) => return Ok(()),
            Err(SharedError::File(error)) => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(%error, "an import waits until its file can be written here");
                }
                parts.runtime.sleep(DISK_FULL_PAUSE).await;
            }
            Err(SharedError::Store(error)) => return Err(error.into()),
            Err(SharedError::WorkLost(error)) => return Err(error.into()),
        }
    }
}

impl Import<'_> {
    /// Reads the file to its end, or as far as it can be read.
    async fn read(&self, mut file: ImportFile<BufReader<File>>) -> Result<(), ImportError> {
        loop {
            let batch = match file.next(&self.parts.runtime).await? {
                Ok(batch) => batch,
                Err(error) => return self.fail(error).await,
            };
            let is_last = batch.is_last;
            self.commit(batch).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn commit(&self, batch: Batch) -> Result<(), ImportError> {
        let JobWork::ImportContacts { list, .. } = &self.work;
        let (at, range) = (self.parts.runtime.now(), self.parts.journal.range());
        // Whatever nobody owns, the first does.
        let rejects = match range.place() {
            0 => batch.rejects,
            _ => Vec::new(),
        };
        let contacts = batch.contacts.into_iter();
        let contacts = contacts.map(|contact| (range.all().of(contact.phone.slice()), contact));
        let owned = contacts.filter(|(partition, _)| range.holds(*partition));
        let changes = owned.map(|(partition, contact)| {
            let imported = Change::ContactImported {
                account: self.parts.account,
                list: *list,
                job: self.parts.job,
                line: contact.line,
                contact: self.contact_id(&contact.phone),
                fields: contact.fields,
                at,
                phone: contact.phone.clone(),
            };
            (partition, imported)
        });
        let verdicts = self.take_in(changes.collect()).await?;
        let merged = verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Merged)
            .count() as u64;
        let contacts = verdicts.len() as u64 - merged;
        let records = (verdicts.len() + rejects.len()) as u64;
        let state = if batch.is_last {
            JobState::Completed
        } else {
            JobState::Running
        };
        self.advance(Change::ImportAdvanced {
            job: self.parts.job,
            state,
            records,
            contacts,
            merged,
            rejects,
            resume: Some(batch.position),
            error: None,
            at,
        })
        .await
    }

    /// The file as a whole cannot be imported; what was imported of it stays.
    async fn fail(&self, error: FileError) -> Result<(), ImportError> {
        self.advance(Change::ImportAdvanced {
            job: self.parts.job,
            state: JobState::Failed,
            records: 0,
            contacts: 0,
            merged: 0,
            rejects: Vec::new(),
            resume: None,
            error: Some(error.to_string()),
            at: self.parts.runtime.now(),
        })
        .await
    }

    async fn advance(&self, change: Change) -> Result<(), ImportError> {
        let home = self
            .parts
            .journal
            .range()
            .home_of(self.parts.job.as_bytes());
        self.take_in(vec![(home, change)]).await?;
        Ok(())
    }

    /// While the disk is nearly full an import waits: it goes on when there is space.
    async fn take_in(
        &self,
        changes: Vec<(Partition, Change)>,
    ) -> Result<Vec<Verdict>, CommitError> {
        loop {
            match self.parts.journal.take_in(changes.clone()).await {
                Err(CommitError(StoreError::DiskFull { .. })) => {
                    self.parts.runtime.sleep(DISK_FULL_PAUSE).await;
                }
                taken => return taken,
            }
        }
    }

    fn contact_id(&self, phone: &Phone) -> ContactId {
        let mut hmac = self.number_key.clone();
        hmac.update(b"contact");
        hmac.update(phone.digits().as_bytes());
        let hash = hmac.finalize().into_bytes();
        let mut keyed_hash = [0; 16];
        keyed_hash.copy_from_slice(&hash[..16]);
        contact_id(phone.slice(), keyed_hash)
    }
}

impl Handler<TaskPanicked> for Importer {
    type Result = ();

    fn handle(&mut self, _: TaskPanicked, context: &mut Self::Context) {
        context.terminate();
    }
}
