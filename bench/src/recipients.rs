//! The recipients: as many as asked for, the same in every run, in a contacts file as
//! people upload them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::failure::{BenchError, machine};

/// The text of the campaign.
pub const TEMPLATE: &str = "Hi {{ first_name }}, your code is {{ code }}";

/// The most recipients: numbers of one area code whose exchange begins with 2 to 9.
pub const MOST_RECIPIENTS: u64 = 8_000_000;

const FIRST_NAMES: [&str; 8] = [
    "Abebe", "Almaz", "Bekele", "Chaltu", "Dawit", "Hanna", "Meron", "Yonas",
];

/// Writes the contacts file.
///
/// # Errors
/// What the file system says.
pub fn write_file(path: &Path, recipients: u64) -> Result<(), BenchError> {
    let failed = machine("the contacts file cannot be written");
    let mut file = BufWriter::new(File::create(path).map_err(&failed)?);
    write(&mut file, recipients)
        .and_then(|()| file.flush())
        .map_err(failed)
}

/// Writes the contacts.
///
/// # Errors
/// What `file` says.
pub fn write(file: &mut impl Write, recipients: u64) -> std::io::Result<()> {
    file.write_all(b"Phone,First Name,Code\n")?;
    for index in 0..recipients {
        let number = 2_000_000 + index;
        let name = FIRST_NAMES[(index % FIRST_NAMES.len() as u64) as usize];
        // A multiplier without common factors with a million: codes look random.
        let code = index.wrapping_mul(387_420_489) % 1_000_000;
        writeln!(file, "+1202{number:07},{name},{code:06}")?;
    }
    Ok(())
}
