//! The end: our states, the book and the contacts are put side by side.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use engine::runtime::Runtime;
use sandbox::book::{Book, BookError};
use schemas::http::messages::MessageBody;
use schemas::http::providers::ProvidersBody;

use super::campaign::{Listing, StepError};
use super::codes::{self, CodesRow, CodesTaken};
use super::follow::wall;
use super::options::Plan;
use super::pacing::{Arrivals, PacingRow, SendStamp, row, waiting_until};
use super::providers::DemoAccount;
use super::witness::{
    Circumstances, ContactsError, ExpectedTexts, RecordCounts, Verdict, Witness, read_rejects,
};

/// The witness cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    #[error(transparent)]
    Contacts(#[from] ContactsError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("the rejects cannot be read: {0}")]
    Rejects(#[from] std::io::Error),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Where everything is that the witness needs.
pub(super) struct Evidence {
    pub(super) plan: Plan,
    pub(super) contacts: PathBuf,
    /// `None` when nothing was refused.
    pub(super) rejects: Option<PathBuf>,
    pub(super) book: PathBuf,
    pub(super) listing: Listing,
    /// The one-time codes beside the campaign.
    pub(super) codes: Vec<MessageBody>,
    pub(super) circumstances: Circumstances,
    pub(super) providers: ProvidersBody,
    /// Name and id at the sandbox of each account.
    pub(super) accounts: Vec<(&'static str, String)>,
    /// When this process began to send, in microseconds since 1970.
    pub(super) since: u64,
}

/// What the witness says.
pub(super) struct Findings {
    pub(super) records: RecordCounts,
    pub(super) verdict: Verdict,
    pub(super) codes: CodesRow,
    pub(super) pacing: Vec<PacingRow>,
}

/// Reads and judges everything. Blocks for some seconds a million texts.
pub(super) fn audit(evidence: Evidence) -> Result<Findings, AuditError> {
    let Evidence {
        plan,
        listing,
        circumstances,
        ..
    } = &evidence;
    let rejects = match &evidence.rejects {
        Some(path) => rejects_of(path)?,
        None => BTreeSet::new(),
    };
    let region = plan.region.as_deref();
    let expected = ExpectedTexts::read(&evidence.contacts, region, &plan.template, &rejects)?;
    let records = expected.counts;
    let mut witness = Witness::new(expected, *circumstances);
    let mut arrivals = Arrivals::default();
    let mut codes = CodesTaken::default();
    for record in Book::read(&evidence.book)? {
        let record = record?;
        if !codes.read(&record) {
            witness.read(&record);
        }
        arrivals.read(&record);
    }
    let verdict = witness.judge(listing.states.iter().copied());
    Ok(Findings {
        records,
        verdict,
        codes: codes.judge(&evidence.codes),
        pacing: pacing(&evidence, &arrivals),
    })
}

fn rejects_of(path: &Path) -> Result<BTreeSet<u64>, AuditError> {
    Ok(read_rejects(File::open(path)?)?)
}

fn pacing(evidence: &Evidence, arrivals: &Arrivals) -> Vec<PacingRow> {
    let mut stamps = codes::stamps(&evidence.codes);
    stamps.extend_from_slice(&evidence.listing.stamps);
    let until = waiting_until(stamps.iter().map(|(_, stamp)| stamp));
    let of_account = |provider: &schemas::http::providers::ProviderBody| {
        let own = stamps.iter().filter(|(id, _)| *id == provider.id);
        let own: Vec<SendStamp> = own.map(|(_, stamp)| *stamp).collect();
        let sid = evidence
            .accounts
            .iter()
            .find(|(name, _)| *name == provider.name);
        let arrived = sid.and_then(|(_, sid)| arrivals.most_in_any_second(sid));
        row(
            &provider.name,
            provider.rate,
            &own,
            arrived,
            evidence.since,
            until,
        )
    };
    evidence.providers.data.iter().map(of_account).collect()
}

/// Name and id at the sandbox of each account.
pub(super) fn names(accounts: &[DemoAccount]) -> Vec<(&'static str, String)> {
    accounts
        .iter()
        .map(|account| (account.name, account.sid.clone()))
        .collect()
}

/// What happened around a run that is now asked for its states.
pub(super) fn circumstances(runtime: &Runtime, kills: u32) -> Circumstances {
    Circumstances {
        states_asked_at: wall(runtime),
        kills,
    }
}
