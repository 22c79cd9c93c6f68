//! A contacts file as a stream of contacts and rejects.

use std::io::Read;

use schemas::Phone;
use schemas::contact::ContactFields;
use schemas::job::ImportPosition;

use super::header::{FileLayout, ImportFileError, read_layout};
use super::phone::PhoneParser;
use super::records::{Cells, Found, MAX_FIELD_BYTES, RecordScanner};
use super::reject::{Reject, RejectReason};

/// How to read a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The region of numbers without a country code (ISO 3166-1 alpha-2).
    pub default_region: Option<String>,
    /// The column that holds the number, if its name is not one of the usual ones; compared as
    /// field names are, so `Meine Nummer` and `meine_nummer` are one.
    pub phone_column: Option<String>,
}

/// One contact of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedContact {
    /// Physical line where its record starts, from 1.
    pub line: u64,
    /// Its number.
    pub phone: Phone,
    /// The other columns by field name, values as they are in the file; a row that ends early
    /// has no fields for the columns it does not reach.
    pub fields: ContactFields,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A contact.
    Contact(ImportedContact),
    /// Refused.
    Rejected(Reject),
}

/// Reads a contacts file, one record in memory at a time.
pub struct ContactReader<R> {
    scanner: RecordScanner<R>,
    layout: FileLayout,
    parser: PhoneParser,
}

impl<R: Read> ContactReader<R> {
    /// Starts with a file: `reader` stands at its first byte.
    ///
    /// # Errors
    /// [`ImportFileError`] if the file as a whole cannot be imported.
    pub fn new(reader: R, options: &ImportOptions) -> Result<Self, ImportFileError> {
        let parser = PhoneParser::new(options.default_region.as_deref())?;
        let (layout, scanner) = read_layout(reader, options.phone_column.as_deref())?;
        Ok(Self {
            scanner,
            layout,
            parser,
        })
    }

    /// Goes on with a file: `reader` stands at `position.byte`, which [`ContactReader::position`]
    /// gave together with the layout. What follows is what would have followed then.
    ///
    /// # Errors
    /// [`ImportFileError::UnknownRegion`].
    pub fn resume(
        reader: R,
        layout: FileLayout,
        position: ImportPosition,
        options: &ImportOptions,
    ) -> Result<Self, ImportFileError> {
        let parser = PhoneParser::new(options.default_region.as_deref())?;
        let scanner = RecordScanner::new(reader, layout.delimiter.byte(), position);
        Ok(Self {
            scanner,
            layout,
            parser,
        })
    }

    /// What the header said.
    pub fn layout(&self) -> &FileLayout {
        &self.layout
    }

    /// The place behind the last record: where to go on, and how many records there were.
    pub fn position(&self) -> ImportPosition {
        self.scanner.position()
    }

    /// Reads the next record; `None` at the end of the file.
    ///
    /// # Errors
    /// [`ImportFileError::Read`] if the file cannot be read.
    pub fn next_record(&mut self) -> Result<Option<Record>, ImportFileError> {
        let (line, outcome) = match self.scanner.next_record()? {
            Found::End => return Ok(None),
            Found::Broken { line, cell, reason } => (line, Err((cell, reason))),
            Found::Record { line } => (line, self.contact(line)),
        };
        Ok(Some(match outcome {
            Ok(contact) => Record::Contact(contact),
            Err((column, reason)) => {
                let column = column.and_then(|index| self.layout.columns.get(index));
                let column = column.map(|column| column.header.clone());
                Record::Rejected(Reject {
                    line,
                    column,
                    reason,
                })
            }
        }))
    }

    /// Makes a contact of the cells at hand, or says which column is at fault and why.
    fn contact(&self, line: u64) -> Result<ImportedContact, (Option<usize>, RejectReason)> {
        let cells = self.scanner.cells();
        let width = self.layout.columns.len();
        if (width..cells.len()).any(|index| !is_blank(cells, index)) {
            return Err((None, RejectReason::TooManyColumns));
        }
        let mut phone = "";
        let mut fields = ContactFields::new();
        for (index, column) in self.layout.columns.iter().enumerate() {
            let Some(cell) = cells.get(index) else { break };
            let value =
                std::str::from_utf8(cell).map_err(|_| (Some(index), RejectReason::InvalidUtf8))?;
            if value.len() > MAX_FIELD_BYTES {
                return Err((Some(index), RejectReason::FieldTooLong));
            }
            if index == self.layout.phone_column {
                phone = value;
            } else if !column.field.is_empty() {
                fields.insert(column.field.clone(), value.to_owned());
            }
        }
        let phone = self
            .parser
            .parse(phone)
            .map_err(|reason| (Some(self.layout.phone_column), reason))?;
        Ok(ImportedContact {
            line,
            phone,
            fields,
        })
    }
}

fn is_blank(cells: &Cells, index: usize) -> bool {
    cells.get(index).unwrap_or_default().trim_ascii().is_empty()
}
