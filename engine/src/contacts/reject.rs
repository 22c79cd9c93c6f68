//! Records that are not contacts, and the file that tells their owner why.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// Why a record was refused. The codes are stable: programs read them from the rejects file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The phone cell is empty or the row ends before it.
    MissingNumber,
    /// What is in the phone cell is not a telephone number that can exist.
    InvalidNumber,
    /// A national number, and the import has no default region.
    NoRegion,
    /// A spreadsheet has shortened the number to a form like `4.91512E+11`; digits are lost.
    ScientificNotation,
    /// A cell is not UTF-8.
    InvalidUtf8,
    /// There are cells with content beyond the header's columns.
    TooManyColumns,
    /// A cell is longer than [`super::records::MAX_FIELD_BYTES`].
    FieldTooLong,
    /// The record is longer than [`super::records::MAX_RECORD_BYTES`].
    RecordTooLong,
    /// A quote is opened and not closed where a cell could end.
    UnterminatedQuote,
    /// A closing quote is followed by something other than a delimiter.
    MalformedQuote,
}

impl RejectReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [RejectReason; 10] = [
        RejectReason::MissingNumber,
        RejectReason::InvalidNumber,
        RejectReason::NoRegion,
        RejectReason::ScientificNotation,
        RejectReason::InvalidUtf8,
        RejectReason::TooManyColumns,
        RejectReason::FieldTooLong,
        RejectReason::RecordTooLong,
        RejectReason::UnterminatedQuote,
        RejectReason::MalformedQuote,
    ];

    /// The stable code, the same that serde writes.
    pub const fn code(self) -> &'static str {
        match self {
            RejectReason::MissingNumber => "missing_number",
            RejectReason::InvalidNumber => "invalid_number",
            RejectReason::NoRegion => "no_region",
            RejectReason::ScientificNotation => "scientific_notation",
            RejectReason::InvalidUtf8 => "invalid_utf8",
            RejectReason::TooManyColumns => "too_many_columns",
            RejectReason::FieldTooLong => "field_too_long",
            RejectReason::RecordTooLong => "record_too_long",
            RejectReason::UnterminatedQuote => "unterminated_quote",
            RejectReason::MalformedQuote => "malformed_quote",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Physical line where the record starts, from 1; lines inside quotes and blank ones count.
    pub line: u64,
    /// The column as the header names it, if the reason lies in one.
    pub column: Option<String>,
    /// Why.
    pub reason: RejectReason,
}

/// Writes rejects as CSV with the header `line,column,reason`.
///
/// Column names come from a stranger's file and the result is opened in spreadsheets, so a name
/// that a spreadsheet would run as a formula gets an apostrophe in front.
pub struct RejectsWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> RejectsWriter<W> {
    /// Starts a rejects file with its header.
    ///
    /// # Errors
    /// What the writer underneath says.
    pub fn new(writer: W) -> io::Result<Self> {
        let mut rejects = Self::append_to(writer);
        rejects.csv.write_record(["line", "column", "reason"])?;
        Ok(rejects)
    }

    /// Goes on with a rejects file that has its header already.
    pub fn append_to(writer: W) -> Self {
        Self {
            csv: csv::Writer::from_writer(writer),
        }
    }

    /// Adds one reject.
    ///
    /// # Errors
    /// What the writer underneath says.
    pub fn write(&mut self, reject: &Reject) -> io::Result<()> {
        let line = reject.line.to_string();
        let column = neutral(reject.column.as_deref().unwrap_or_default());
        self.csv
            .write_record([line.as_str(), &column, reject.reason.code()])?;
        Ok(())
    }

    /// Hands what is buffered to the writer underneath and gives it back.
    ///
    /// # Errors
    /// What the writer underneath says.
    pub fn finish(self) -> io::Result<W> {
        self.csv.into_inner().map_err(|error| error.into_error())
    }
}

/// A cell that no spreadsheet takes for a formula (OWASP, CSV injection).
fn neutral(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_a_file_a_spreadsheet_can_open() {
        let mut writer = RejectsWriter::new(Vec::new()).expect("memory takes everything");
        let named = |line, column: Option<&str>, reason| Reject {
            line,
            column: column.map(str::to_owned),
            reason,
        };
        for reject in [
            named(3, Some("Phone, mobile"), RejectReason::InvalidNumber),
            named(9, None, RejectReason::TooManyColumns),
            named(12, Some("=HYPERLINK(\"x\")"), RejectReason::InvalidUtf8),
        ] {
            writer.write(&reject).expect("memory takes everything");
        }
        let written = String::from_utf8(writer.finish().expect("as above")).expect("UTF-8");
        assert_eq!(
            written,
            "line,column,reason\n\
             3,\"Phone, mobile\",invalid_number\n\
             9,,too_many_columns\n\
             12,\"'=HYPERLINK(\"\"x\"\")\",invalid_utf8\n"
        );
    }

    #[test]
    fn codes_are_what_serde_writes() {
        for reason in RejectReason::ALL {
            let written = serde_json::to_value(reason).expect("a unit variant is text");
            assert_eq!(written, reason.code());
        }
    }
}
