//! What a contacts file looks like: its encoding, its delimiter, and what its columns mean.

use std::io::{self, Read};

use schemas::job::ImportPosition;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::phone::{UnknownRegion, looks_like_a_number};
use super::records::{Found, RecordScanner};

/// Names of a phone column as they are after normalisation and without accents, the likeliest
/// to be a mobile number first: of several such columns the one listed first is taken.
#[rustfmt::skip] // one a line would be two pages
const PHONE_COLUMNS: [&str; 62] = [
    "mobile_phone_number", "mobile_phone", "mobile_number", "mobile_no", "mobile",
    "mobilephone", "mobile_telephone", "cell_phone_number", "cell_phone", "cellphone",
    "cell_number", "cell", "handynummer", "handy", "mobilnummer", "mobil", "mobiltelefon",
    "mobilfunknummer", "telephone_portable", "tel_portable", "numero_portable", "portable",
    "telephone_mobile", "telefono_movil", "numero_movil", "movil", "telefono_celular",
    "numero_celular", "celular", "telemovel", "telefone_celular", "telefono_cellulare",
    "cellulare", "gsm", "msisdn", "sms", "sms_number", "whatsapp", "whatsapp_number",
    "phone_number", "phonenumber", "phone_no", "phone", "phone_1_value", "telephone_number",
    "telephone", "telefonnummer", "telefon", "telefono", "numero_de_telefono",
    "numero_de_telephone", "telefone", "numero_de_telefone", "rufnummer", "tel", "tel_no",
    "e164", "recipient", "number", "nummer", "numero", "to",
];

/// The byte order mark of UTF-8.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// What stands between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`, which spreadsheets write where the comma is the decimal sign.
    Semicolon,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// All of them, the likeliest first.
    const ALL: [Delimiter; 3] = [Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab];

    /// The byte in the file.
    pub const fn byte(self) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
        }
    }
}

/// Why a whole file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// Nothing but blank lines.
    #[error("the file is empty")]
    Empty,
    /// The file is text in an encoding other than UTF-8.
    #[error("the file is {encoding}, save it as UTF-8")]
    Encoding {
        /// The encoding's name.
        encoding: &'static str,
    },
    /// The file is a workbook or an archive.
    #[error("the file is a spreadsheet workbook or an archive, save it as CSV in UTF-8")]
    Workbook,
    /// The header is not UTF-8.
    #[error("the header in line {line} is not UTF-8, save the file as UTF-8")]
    HeaderNotUtf8 {
        /// Its physical line.
        line: u64,
    },
    /// The header has a stray quote or is too long.
    #[error("the header in line {line} cannot be read: {reason}")]
    HeaderMalformed {
        /// Its physical line.
        line: u64,
        /// The reject code that a record would get.
        reason: &'static str,
    },
    /// The first line holds numbers instead of names.
    #[error(
        "line {line} is a contact, not a header: add a first line that names the columns, such as `phone`"
    )]
    HeaderMissing {
        /// Its physical line.
        line: u64,
    },
    /// Two columns have one name.
    #[error("columns `{first}` and `{second}` are both the field `{field}`, rename one")]
    DuplicateColumn {
        /// The name of the field.
        field: String,
        /// The first column as the header has it.
        first: String,
        /// The second.
        second: String,
    },
    /// No column has one of the usual names of a phone column.
    #[error("no phone column among: {}; name it `phone` or say which it is", found.join(", "))]
    NoPhoneColumn {
        /// The columns of the header.
        found: Vec<String>,
    },
    /// The column that was asked for is not there.
    #[error("no column `{wanted}` among: {}", found.join(", "))]
    PhoneColumnNotFound {
        /// The column asked for.
        wanted: String,
        /// The columns of the header.
        found: Vec<String>,
    },
    /// The default region does not exist.
    #[error(transparent)]
    UnknownRegion(#[from] UnknownRegion),
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
}

/// One column of the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name as it stands in the file.
    pub header: String,
    /// The name of the field; empty for a column without a name, which is passed over.
    pub field: String,
}

/// What the front of a file says about the rest; enough, with a position, to go on with it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLayout {
    /// What stands between cells.
    pub delimiter: Delimiter,
    /// The columns from left to right, without those at the end that have no name.
    pub columns: Vec<Column>,
    /// The index of the phone column.
    pub phone_column: usize,
}

/// Reads the front of a file up to and with its header.
pub(super) fn read_layout<R: Read>(
    reader: R,
    phone_column: Option<&str>,
) -> Result<(FileLayout, RecordScanner<R>), ImportFileError> {
    let start = ImportPosition {
        byte: 0,
        line: 1,
        records: 0,
    };
    let mut scanner = RecordScanner::new(reader, Delimiter::Comma.byte(), start);
    let front = scanner.peek()?;
    refuse_foreign_encoding(front)?;
    if front.starts_with(UTF8_MARK) {
        scanner.skip(UTF8_MARK.len());
    }
    let front = scanner.peek()?;
    let delimiter = if let Some(hinted) = separator_hint(front) {
        scanner.skip_line()?;
        hinted
    } else {
        sniff_delimiter(front)
    };
    scanner.set_delimiter(delimiter.byte());
    let (line, headers) = read_header(&mut scanner)?;
    let columns = name_columns(headers)?;
    let phone_column = match phone_column {
        Some(wanted) => wanted_column(&columns, wanted)?,
        None => usual_column(&columns, line)?,
    };
    Ok((
        FileLayout {
            delimiter,
            columns,
            phone_column,
        },
        scanner,
    ))
}

fn refuse_foreign_encoding(front: &[u8]) -> Result<(), ImportFileError> {
    let encoding = match front {
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            return Err(ImportFileError::Workbook);
        }
        [0xff, 0xfe, 0, 0, ..] => "UTF-32LE",
        [0, 0, 0xfe, 0xff, ..] => "UTF-32BE",
        [0xff, 0xfe, ..] => "UTF-16LE",
        [0xfe, 0xff, ..] => "UTF-16BE",
        // ASCII in 16 bits without a mark.
        [_, 0, _, 0, ..] => "UTF-16LE",
        [0, _, 0, _, ..] => "UTF-16BE",
        _ => return Ok(()),
    };
    Err(ImportFileError::Encoding { encoding })
}

/// The line `sep=;` that spreadsheets write and read before the header.
fn separator_hint(front: &[u8]) -> Option<Delimiter> {
    let (start, rest) = front.split_at_checked(4)?;
    if !start.eq_ignore_ascii_case(b"sep=") {
        return None;
    }
    match rest {
        [hint, b'\r' | b'\n', ..] => Delimiter::ALL
            .into_iter()
            .find(|known| known.byte() == *hint),
        _ => None,
    }
}

/// The delimiter that the header line has most of, outside quotes; the comma if it has none.
fn sniff_delimiter(front: &[u8]) -> Delimiter {
    let start = front
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n' | b' '))
        .count();
    let mut counts = [0usize; Delimiter::ALL.len()];
    let mut quoted = false;
    for &byte in &front[start..] {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(at) = Delimiter::ALL.iter().position(|known| known.byte() == byte) {
                    counts[at] += 1;
                }
            }
        }
    }
    let mut best = 0;
    for (at, count) in counts.iter().enumerate() {
        if *count > counts[best] {
            best = at;
        }
    }
    Delimiter::ALL[best]
}

fn read_header<R: Read>(
    scanner: &mut RecordScanner<R>,
) -> Result<(u64, Vec<String>), ImportFileError> {
    let line = match scanner.next_header()? {
        Found::End => return Err(ImportFileError::Empty),
        Found::Broken { line, reason, .. } => {
            return Err(ImportFileError::HeaderMalformed {
                line,
                reason: reason.code(),
            });
        }
        Found::Record { line } => line,
    };
    let cells = scanner.cells();
    let mut headers = Vec::with_capacity(cells.len());
    for index in 0..cells.len() {
        let cell = cells.get(index).unwrap_or_default();
        let header =
            std::str::from_utf8(cell).map_err(|_| ImportFileError::HeaderNotUtf8 { line })?;
        headers.push(header.trim().to_owned());
    }
    Ok((line, headers))
}

fn name_columns(headers: Vec<String>) -> Result<Vec<Column>, ImportFileError> {
    let mut columns: Vec<Column> = Vec::with_capacity(headers.len());
    for header in headers {
        let field = field_name(&header);
        if let Some(first) = columns
            .iter()
            .find(|column| !field.is_empty() && column.field == field)
        {
            let first = first.header.clone();
            return Err(ImportFileError::DuplicateColumn {
                field,
                first,
                second: header,
            });
        }
        columns.push(Column { header, field });
    }
    let named = columns.iter().rposition(|column| !column.field.is_empty());
    columns.truncate(named.map_or(0, |last| last + 1));
    Ok(columns)
}

/// The name a template uses for a column: `First Name` is `first_name`.
///
/// Lower case, letters of every script kept, everything else but digits one `_` between words; a
/// digit in front gets a `_` before it, since no name in a template starts with one.
pub fn field_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for character in header.nfc().flat_map(char::to_lowercase) {
        if character.is_alphabetic() || character.is_ascii_digit() || is_combining_mark(character) {
            if name.is_empty() && character.is_ascii_digit() {
                name.push('_');
            }
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let length = name.trim_end_matches('_').len();
    name.truncate(length);
    name
}

fn wanted_column(columns: &[Column], wanted: &str) -> Result<usize, ImportFileError> {
    let field = field_name(wanted);
    let by_name = columns
        .iter()
        .position(|column| !field.is_empty() && column.field == field);
    by_name.ok_or_else(|| ImportFileError::PhoneColumnNotFound {
        wanted: wanted.to_owned(),
        found: names_of(columns),
    })
}

fn usual_column(columns: &[Column], line: u64) -> Result<usize, ImportFileError> {
    let plain: Vec<String> = columns
        .iter()
        .map(|column| {
            column
                .field
                .nfd()
                .filter(|character| !is_combining_mark(*character))
                .collect()
        })
        .collect();
    for usual in PHONE_COLUMNS {
        if let Some(at) = plain.iter().position(|name| name == usual) {
            return Ok(at);
        }
    }
    if columns
        .iter()
        .any(|column| looks_like_a_number(&column.header))
    {
        return Err(ImportFileError::HeaderMissing { line });
    }
    Err(ImportFileError::NoPhoneColumn {
        found: names_of(columns),
    })
}

fn names_of(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.header.clone()).collect()
}
