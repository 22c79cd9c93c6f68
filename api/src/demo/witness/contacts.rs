//! Who should get which words, by the contacts file alone.
//!
//! A number is its digits as an integer and a text is a hash of its bytes, so that a
//! million recipients need some 24 MB. Records that the importer refused are left out by
//! their line; of every other record the witness must make out a number itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufReader};
use std::path::Path;

use engine::contacts::{ContactReader, FileLayout, ImportFileError, ImportOptions, PhoneParser};
use engine::text::Template;
use schemas::contact::ContactFields;

use super::records::Records;

/// What the file says.
#[derive(Debug, Default)]
pub struct ExpectedTexts {
    /// Each number once, with the hash of its text; `None` when its text has a hole.
    texts: BTreeMap<u64, Option<u64>>,
    /// What became of the records.
    pub counts: RecordCounts,
}

/// Records of a contacts file. Equal to an import's when both read the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordCounts {
    /// All of them.
    pub records: u64,
    /// Distinct numbers.
    pub contacts: u64,
    /// Records whose number came before.
    pub merged: u64,
    /// Records that the importer refused.
    pub rejected: u64,
    /// Records that the importer took and in which the witness finds no number.
    pub unreadable: u64,
}

/// The contacts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContactsError {
    /// The file as a whole is no contacts file.
    #[error("the witness cannot read the contacts: {0}")]
    File(#[from] ImportFileError),
    /// The file cannot be read.
    #[error("the witness cannot read the contacts: {0}")]
    Read(#[from] io::Error),
    /// The rejects file is not one.
    #[error("the witness cannot read the rejects: {0}")]
    Rejects(#[from] csv::Error),
    /// The template is none.
    #[error("the witness cannot read the template: {0}")]
    Template(#[from] engine::text::TemplateError),
}

/// A number as the witness keeps it; `None` for what is not `+` and digits.
pub(super) fn number_of(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+')?;
    let plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A text as the witness keeps it: two texts of a million are mistaken for each other
/// with a chance of one in 10^13.
pub(super) fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl ExpectedTexts {
    /// Reads a contacts file. `rejects` are the lines of refused records, as
    /// [`read_rejects`] gives them.
    ///
    /// # Errors
    /// [`ContactsError`].
    pub fn read(
        path: &Path,
        default_region: Option<&str>,
        template: &str,
        rejects: &BTreeSet<u64>,
    ) -> Result<Self, ContactsError> {
        let options = ImportOptions {
            default_region: default_region.map(str::to_owned),
            phone_column: None,
        };
        // Which column holds the number, and what the others are called, are the
        // importer's rules; what is in them is read here.
        let layout = ContactReader::new(File::open(path)?, &options)?
            .layout()
            .clone();
        let mut reading = Reading {
            layout,
            parser: PhoneParser::new(default_region).map_err(ImportFileError::from)?,
            words: Words::new(template)?,
            rejects,
            merging: BTreeMap::new(),
            short: BTreeSet::new(),
        };
        let expected = reading.pass(path)?;
        if reading.short.is_empty() {
            return Ok(expected);
        }
        // A record with fewer cells says nothing of the others' fields, so the texts of
        // its number need the fields of all its records.
        reading.merging = std::mem::take(&mut reading.short)
            .into_iter()
            .map(|n| (n, BTreeMap::new()))
            .collect();
        reading.pass(path)
    }

    /// Expects `text` for the E.164 number `to`, or no text when it is `None`.
    pub fn expect(&mut self, to: &str, text: Option<&str>) {
        if let Some(number) = number_of(to) {
            self.insert(number, text.map(hash_of));
        }
    }

    /// How many numbers there are.
    pub fn len(&self) -> u64 {
        self.texts.len() as u64
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn into_texts(self) -> BTreeMap<u64, Option<u64>> {
        self.texts
    }

    fn insert(&mut self, number: u64, text: Option<u64>) {
        self.counts.records += 1;
        if self.texts.insert(number, text).is_some() {
            self.counts.merged += 1;
        } else {
            self.counts.contacts += 1;
        }
    }
}

/// The lines of refused records in a rejects file.
///
/// # Errors
/// [`ContactsError::Rejects`].
pub fn read_rejects(file: impl io::Read) -> Result<BTreeSet<u64>, ContactsError> {
    let mut lines = BTreeSet::new();
    for row in csv::Reader::from_reader(file).into_deserialize::<RejectedLine>() {
        lines.insert(row?.line);
    }
    Ok(lines)
}

#[derive(serde::Deserialize)]
struct RejectedLine {
    line: u64,
}

struct Reading<'a> {
    layout: FileLayout,
    parser: PhoneParser,
    words: Words,
    rejects: &'a BTreeSet<u64>,
    /// Numbers whose records add up, with the fields so far.
    merging: BTreeMap<u64, ContactFields>,
    /// Numbers with a record that has fewer cells than there are columns.
    short: BTreeSet<u64>,
}

impl Reading<'_> {
    fn pass(&mut self, path: &Path) -> Result<ExpectedTexts, ContactsError> {
        let mut expected = ExpectedTexts::default();
        let delimiter = self.layout.delimiter.byte();
        let mut records = Records::new(BufReader::new(File::open(path)?), delimiter);
        records.skip_header()?;
        while let Some(record) = records.next_record()? {
            if self.rejects.contains(&record.line) {
                expected.counts.records += 1;
                expected.counts.rejected += 1;
                continue;
            }
            match record.cells.and_then(|cells| self.contact(&cells)) {
                Some((number, text)) => expected.insert(number, text),
                None => {
                    expected.counts.records += 1;
                    expected.counts.unreadable += 1;
                }
            }
        }
        Ok(expected)
    }

    fn contact(&mut self, cells: &[Vec<u8>]) -> Option<(u64, Option<u64>)> {
        let cell = std::str::from_utf8(cells.get(self.layout.phone_column)?).ok()?;
        let number = number_of(self.parser.parse(cell).ok()?.as_str())?;
        let mut fields = ContactFields::new();
        for (index, (column, cell)) in self.layout.columns.iter().zip(cells).enumerate() {
            if index != self.layout.phone_column && !column.field.is_empty() {
                let value = std::str::from_utf8(cell).ok()?;
                fields.insert(column.field.clone(), value.to_owned());
            }
        }
        if cells.len() < self.layout.columns.len() {
            self.short.insert(number);
        }
        let text = match self.merging.get_mut(&number) {
            Some(so_far) => {
                so_far.extend(fields);
                self.words.write(so_far)
            }
            None => self.words.write(&fields),
        };
        Some((number, text.map(|text| hash_of(&text))))
    }
}

/// Writes texts: by itself where a template is words and `{{ name }}`, else as the
/// engine does.
enum Words {
    Plain(Vec<(String, Option<String>)>),
    Template(Template),
}

impl Words {
    fn new(template: &str) -> Result<Self, engine::text::TemplateError> {
        match plain(template) {
            Some(pieces) => Ok(Self::Plain(pieces)),
            None => Template::compile(template).map(Self::Template),
        }
    }

    fn write(&self, fields: &ContactFields) -> Option<String> {
        let pieces = match self {
            Self::Template(template) => return template.render(fields).ok(),
            Self::Plain(pieces) => pieces,
        };
        let mut text = String::new();
        for (words, field) in pieces {
            text.push_str(words);
            if let Some(field) = field {
                text.push_str(fields.get(field)?);
            }
        }
        let length = text.chars().count();
        (1..=engine::text::template::MAX_BODY_CHARS)
            .contains(&length)
            .then_some(text)
    }
}

/// Words, each followed by the field behind them; `None` for all that is more.
fn plain(template: &str) -> Option<Vec<(String, Option<String>)>> {
    if template.contains("{%") || template.contains("{#") {
        return None;
    }
    let mut pieces = Vec::new();
    let mut parts = template.split("{{");
    pieces.push((parts.next()?.to_owned(), None));
    for part in parts {
        let (name, words) = part.split_once("}}")?;
        let name = name.trim();
        // A name that is a word of the language too, such as `true`, is left to it.
        let is_name = name.contains('_') || matches!(name, "city" | "code" | "name");
        if !is_name || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return None;
        }
        pieces.last_mut()?.1 = Some(name.to_owned());
        pieces.push((words.to_owned(), None));
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use engine::contacts::{ContactReader, ImportOptions, Record};

    use super::{ExpectedTexts, RecordCounts, hash_of};

    fn file(name: &str, content: &[u8]) -> std::io::Result<PathBuf> {
        let path = std::env::temp_dir().join(format!("witness-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, content)?;
        Ok(path)
    }

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn the_last_record_of_a_number_wins_field_by_field() -> Outcome {
        let csv = "phone,first_name,city\n+4915123456789,Ann,Köln\n+4915123456790,Bo,Rom\n\
                   0049 151 23456789,Anna\n+4915123456791,Cy\n";
        let path = file("merge", csv.as_bytes())?;
        let template = "Hi {{ first_name }} of {{city}}!";
        let expected = ExpectedTexts::read(&path, None, template, &BTreeSet::new())?;
        let counts = RecordCounts {
            records: 4,
            contacts: 3,
            merged: 1,
            ..Default::default()
        };
        assert_eq!(expected.counts, counts);
        let texts: Vec<_> = expected.into_texts().into_iter().collect();
        assert_eq!(
            texts,
            [
                (4_915_123_456_789, Some(hash_of("Hi Anna of Köln!"))),
                (4_915_123_456_790, Some(hash_of("Hi Bo of Rom!"))),
                (4_915_123_456_791, None),
            ]
        );
        std::fs::remove_file(path)?;
        Ok(())
    }

    #[test]
    fn a_messy_file_is_read_as_the_importer_reads_it() -> Outcome {
        let messy: &[u8] = include_bytes!("../../../../tests/corpus/contacts/messy.csv");
        let options = ImportOptions {
            default_region: Some("DE".to_owned()),
            phone_column: None,
        };
        let mut reader = ContactReader::new(messy, &options)?;
        let (mut numbers, mut rejects, mut taken) = (BTreeSet::new(), BTreeSet::new(), 0);
        while let Some(record) = reader.next_record()? {
            match record {
                Record::Rejected(reject) => _ = rejects.insert(reject.line),
                Record::Contact(contact) => {
                    taken += 1;
                    numbers.insert(contact.phone.as_str().to_owned());
                }
            }
        }
        let path = file("messy", messy)?;
        let expected = ExpectedTexts::read(&path, Some("DE"), "{{ first_name }}", &rejects)?;
        let contacts = numbers.len() as u64;
        let counts = RecordCounts {
            records: taken + rejects.len() as u64,
            contacts,
            merged: taken - contacts,
            rejected: rejects.len() as u64,
            unreadable: 0,
        };
        assert_eq!(expected.counts, counts);
        std::fs::remove_file(path)?;
        Ok(())
    }
}
