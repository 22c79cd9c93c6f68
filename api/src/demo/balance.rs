//! The balance: what was asked for, what became of it, what the witness says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemas::http::campaigns::CampaignNumbers;
use serde::Serialize;

use super::codes::CodesRow;
use super::pacing::PacingRow;
use super::witness::{Oracle, RecordCounts, Verdict};
use crate::progress::{outcomes, sum_of};

/// What became of the records of the contacts file. records = contacts + merged +
/// rejected.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct ImportCounts {
    pub(super) records: u64,
    pub(super) contacts: u64,
    pub(super) merged: u64,
    pub(super) rejected: u64,
    /// The file with the line, column and reason of each refused record; null when
    /// nothing was refused or the file went with the folder.
    pub(super) rejects_file: Option<String>,
}

/// The whole of it, in the order of its JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Balance {
    pub(super) import: ImportCounts,
    pub(super) total_recipients: u64,
    pub(super) pending: u64,
    pub(super) accepted: u64,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) undelivered: u64,
    pub(super) failed: u64,
    pub(super) expired: u64,
    pub(super) canceled: u64,
    pub(super) unknown: u64,
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) balanced: bool,
    pub(super) oracle: Oracle,
    pub(super) codes: CodesRow,
    pub(super) pacing: Vec<PacingRow>,
    pub(super) seconds: f64,
    pub(super) messages_per_second: f64,
    pub(super) peak_rss_bytes: Option<u64>,
    /// What keeps it from balancing.
    #[serde(skip)]
    pub(super) wrong: Vec<String>,
}

/// What a balance is made from.
pub(super) struct Accounts<'a> {
    pub(super) import: ImportCounts,
    pub(super) numbers: &'a CampaignNumbers,
    pub(super) records: RecordCounts,
    pub(super) verdict: Verdict,
    /// Whether nothing was to go wrong, so that every state must be the book's.
    pub(super) without_faults: bool,
    pub(super) codes: CodesRow,
    pub(super) pacing: Vec<PacingRow>,
    pub(super) seconds: f64,
    pub(super) messages: u64,
    pub(super) peak_rss_bytes: Option<u64>,
}

impl Balance {
    pub(super) fn of(accounts: Accounts<'_>) -> Self {
        let wrong = wrong(&accounts);
        let numbers = accounts.numbers;
        let rate = accounts.messages as f64 / accounts.seconds.max(0.001);
        Self {
            import: accounts.import,
            total_recipients: numbers.total_recipients,
            pending: numbers.pending,
            accepted: numbers.accepted,
            sent: numbers.sent,
            delivered: numbers.delivered,
            undelivered: numbers.undelivered,
            failed: numbers.failed,
            expired: numbers.expired,
            canceled: numbers.canceled,
            unknown: numbers.unknown,
            skipped: numbers.skipped.clone(),
            balanced: wrong.is_empty(),
            oracle: accounts.verdict.oracle,
            codes: accounts.codes,
            pacing: accounts.pacing,
            seconds: (accounts.seconds * 1_000.0).round() / 1_000.0,
            messages_per_second: (rate * 10.0).round() / 10.0,
            peak_rss_bytes: accounts.peak_rss_bytes,
            wrong,
        }
    }

    /// The balance for people.
    pub(super) fn told(&self) -> String {
        let mut told = String::new();
        let import = &self.import;
        let _ = writeln!(
            told,
            "import      {} records = {} contacts + {} merged + {} rejected",
            import.records, import.contacts, import.merged, import.rejected
        );
        if let Some(file) = &import.rejects_file {
            let _ = writeln!(told, "            the rejected ones: {file}");
        }
        let _ = writeln!(told, "recipients  {}", self.told_recipients());
        let oracle = &self.oracle;
        let _ = writeln!(
            told,
            "witness     {} texts to {} recipients: {} duplicates, {} missing, {} unexpected, \
             {} contradicted, {} unexplained",
            oracle.texts,
            oracle.distinct,
            oracle.duplicates,
            oracle.missing,
            oracle.unexpected,
            oracle.contradicted,
            oracle.unexplained
        );
        let _ = writeln!(told, "codes       {}", told_codes(&self.codes));
        for row in &self.pacing {
            let _ = writeln!(told, "pacing      {}", told_row(row));
        }
        let _ = writeln!(
            told,
            "speed       {:.1} messages/s over {:.1} s{}",
            self.messages_per_second,
            self.seconds,
            self.peak_rss_bytes
                .map(|bytes| format!(", at most {} MiB of memory", bytes.div_ceil(1 << 20)))
                .unwrap_or_default()
        );
        for wrong in &self.wrong {
            let _ = writeln!(told, "wrong       {wrong}");
        }
        told.push_str(if self.balanced {
            "the books balance"
        } else {
            "the books do NOT balance"
        });
        told
    }

    /// The identity, with what is not zero.
    fn told_recipients(&self) -> String {
        let counts = [
            ("pending", self.pending),
            ("accepted", self.accepted),
            ("sent", self.sent),
            ("delivered", self.delivered),
            ("undelivered", self.undelivered),
            ("failed", self.failed),
            ("expired", self.expired),
            ("canceled", self.canceled),
            ("unknown", self.unknown),
        ];
        let skipped = self.skipped.iter();
        let skipped = skipped.map(|(reason, count)| (format!("skipped ({reason})"), *count));
        let counts = counts.map(|(word, count)| (word.to_owned(), count));
        let sum = sum_of(counts.into_iter().chain(skipped));
        format!("{} = {sum}", self.total_recipients)
    }
}

fn told_codes(row: &CodesRow) -> String {
    let or_dash = |wait: Option<f64>| wait.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    format!(
        "{} one-time codes beside it, {} taken, {} duplicates, {} missing; from request to \
         provider p50 {} ms, p99 {} ms, at most {} ms",
        row.asked,
        row.taken,
        row.duplicates,
        row.missing,
        or_dash(row.wait_p50_ms),
        or_dash(row.wait_p99_ms),
        or_dash(row.wait_most_ms)
    )
}

fn told_row(row: &PacingRow) -> String {
    let or_dash = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |n| n.to_string());
    let used = row
        .used
        .map_or_else(|| "–".to_owned(), |used| format!("{:.1} %", used * 100.0));
    format!(
        "{}: limit {} {}, most in any second {} sent, {} arrived; {used} used while work waited",
        row.provider,
        row.limit,
        row.unit,
        or_dash(row.most_in_any_second),
        or_dash(row.arrived_in_any_second)
    )
}

/// Everything that keeps the books from balancing, in words.
fn wrong(accounts: &Accounts<'_>) -> Vec<String> {
    let Accounts {
        import,
        numbers,
        records,
        verdict,
        ..
    } = accounts;
    let sum: u64 = outcomes(numbers).iter().map(|(_, count)| count).sum();
    let (oracle, codes) = (&verdict.oracle, &accounts.codes);
    let total = numbers.total_recipients;
    let mut equal = vec![
        (
            "recipients and the sum of their states",
            total,
            numbers.pending + sum,
        ),
        (
            "recipients and contacts of the import",
            total,
            import.contacts,
        ),
        (
            "recipients and messages that are listed",
            total,
            verdict.messages,
        ),
        (
            "records of the import and of the witness",
            import.records,
            records.records,
        ),
        (
            "contacts of the import and of the witness",
            import.contacts,
            records.contacts,
        ),
        (
            "merged records of the import and of the witness",
            import.merged,
            records.merged,
        ),
        (
            "rejected records of the import and of the witness",
            import.rejected,
            records.rejected,
        ),
        (
            "records that the witness cannot read",
            records.unreadable,
            0,
        ),
        ("pending messages", numbers.pending, 0),
        ("duplicates", oracle.duplicates, 0),
        ("missing texts", oracle.missing, 0),
        ("unexpected texts", oracle.unexpected, 0),
        ("contradicted states", oracle.contradicted, 0),
        ("unexplained states", oracle.unexplained, 0),
        ("duplicates of one-time codes", codes.duplicates, 0),
        ("missing one-time codes", codes.missing, 0),
    ];
    if accounts.without_faults {
        equal.extend([
            ("one-time codes that were taken", codes.taken, codes.asked),
            ("states that are not the book's", verdict.differing, 0),
        ]);
    }
    let differing = equal.into_iter().filter(|(_, left, right)| left != right);
    let mut wrong: Vec<String> = differing
        .map(|(what, left, right)| format!("{what}: {left} is not {right}"))
        .collect();
    if numbers.still_counting {
        wrong.push("the audience was not frozen to its end".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::{Accounts, Balance, ImportCounts};
    use crate::demo::codes::CodesRow;
    use crate::demo::witness::{Oracle, RecordCounts, Verdict};
    use schemas::http::campaigns::CampaignNumbers;

    fn balance(change: impl FnOnce(&mut Accounts<'_>, &mut CampaignNumbers)) -> Balance {
        let mut numbers = CampaignNumbers {
            total_recipients: 10,
            delivered: 7,
            unknown: 1,
            skipped: [("missing_field".to_owned(), 2)].into(),
            ..CampaignNumbers::default()
        };
        let nobody = CampaignNumbers::default();
        let import = ImportCounts {
            records: 12,
            contacts: 10,
            merged: 1,
            rejected: 1,
            rejects_file: None,
        };
        let records = RecordCounts {
            records: 12,
            contacts: 10,
            merged: 1,
            rejected: 1,
            unreadable: 0,
        };
        let oracle = Oracle {
            texts: 8,
            distinct: 8,
            ..Oracle::default()
        };
        let mut accounts = Accounts {
            import,
            numbers: &nobody,
            records,
            verdict: Verdict {
                oracle,
                messages: 10,
                differing: 1,
                ..Verdict::default()
            },
            without_faults: false,
            codes: CodesRow::default(),
            pacing: Vec::new(),
            seconds: 2.0,
            messages: 8,
            peak_rss_bytes: None,
        };
        change(&mut accounts, &mut numbers);
        Balance::of(Accounts {
            numbers: &numbers,
            ..accounts
        })
    }

    #[test]
    fn every_single_fault_is_seen() {
        assert!(balance(|_, _| ()).balanced);
        assert!(!balance(|accounts, _| accounts.without_faults = true).balanced);
        assert!(!balance(|accounts, _| accounts.import.contacts = 11).balanced);
        assert!(!balance(|accounts, _| accounts.records.unreadable = 1).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.messages = 9).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.oracle.duplicates = 1).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.oracle.missing = 1).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.oracle.unexpected = 1).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.oracle.contradicted = 1).balanced);
        assert!(!balance(|accounts, _| accounts.verdict.oracle.unexplained = 1).balanced);
        assert!(!balance(|accounts, _| accounts.codes.duplicates = 1).balanced);
        assert!(!balance(|accounts, _| accounts.codes.missing = 1).balanced);
        assert!(
            !balance(|accounts, _| {
                accounts.verdict.differing = 0;
                accounts.without_faults = true;
                accounts.codes.asked = 1;
            })
            .balanced
        );
        assert!(!balance(|_, numbers| numbers.still_counting = true).balanced);
        assert!(!balance(|_, numbers| numbers.delivered = 8).balanced);
        assert!(!balance(|_, numbers| (numbers.delivered, numbers.pending) = (6, 1)).balanced);
    }

    #[test]
    fn the_json_has_exactly_the_documented_keys() -> Result<(), serde_json::Error> {
        let text = serde_json::to_string(&balance(|_, _| ()))?;
        assert_eq!(
            text,
            "{\"import\":{\"records\":12,\"contacts\":10,\"merged\":1,\"rejected\":1,\
             \"rejects_file\":null},\"total_recipients\":10,\"pending\":0,\"accepted\":0,\
             \"sent\":0,\"delivered\":7,\"undelivered\":0,\"failed\":0,\"expired\":0,\
             \"canceled\":0,\"unknown\":1,\"skipped\":{\"missing_field\":2},\"balanced\":true,\
             \"oracle\":{\"texts\":8,\"distinct\":8,\"duplicates\":0,\"missing\":0,\
             \"unexpected\":0,\"contradicted\":0,\"unexplained\":0},\"codes\":{\"asked\":0,\"taken\":0,\
             \"duplicates\":0,\"missing\":0,\"wait_p50_ms\":null,\"wait_p99_ms\":null,\
             \"wait_most_ms\":null},\"pacing\":[],\
             \"seconds\":2.0,\"messages_per_second\":4.0,\"peak_rss_bytes\":null}"
        );
        Ok(())
    }
}
