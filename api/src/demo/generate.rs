//! A contacts file made from a seed: recipients in many regions and scripts, and on
//! purpose some records that are not recipients, so that an import has to count.
//!
//! Numbers are distinct without a memory of those before: each place walks through its
//! range in a scrambled order that meets every number once.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use engine::contacts::PhoneParser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::regions::{PLACES, Place};

/// After every so many recipients comes one record that repeats an earlier number, and
/// one that holds none: 0.2 % of each, as in a list that people keep by hand.
pub const RECIPIENTS_PER_FLAW: u64 = 500;

/// How many recipients back a repeated number may lie.
const REPEATED_FROM: usize = 64;

/// What stands where a number should.
const NO_NUMBERS: [&str; 5] = ["", "n/a", "+49 151", "4.91512E+11", "ann@example.com"];

/// What a generated file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generated {
    /// Distinct valid numbers.
    pub recipients: u64,
    /// Records that repeat a number with another code.
    pub repeated: u64,
    /// Records without a number that could be dialled.
    pub broken: u64,
}

/// No file could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The file cannot be written.
    #[error("cannot write the contacts: {0}")]
    Write(#[from] io::Error),
    /// More recipients were asked for than there are numbers in the ranges.
    #[error("there are not so many numbers: at most {most} recipients can be generated")]
    TooMany {
        /// How many there were.
        most: u64,
    },
    /// Numbers in international form are read without a region, so this cannot happen.
    #[error("{0}")]
    Region(#[from] engine::contacts::phone::UnknownRegion),
}

/// Writes a contacts file of so many recipients to `path`.
///
/// # Errors
/// [`GenerateError`].
pub fn write_contacts(path: &Path, recipients: u64, seed: u64) -> Result<Generated, GenerateError> {
    let mut file = BufWriter::new(File::create(path)?);
    let generated = generate(&mut file, recipients, seed)?;
    file.flush()?;
    Ok(generated)
}

/// Writes a contacts file of so many recipients.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(
    output: impl Write,
    recipients: u64,
    seed: u64,
) -> Result<Generated, GenerateError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let parser = PhoneParser::new(None)?;
    let mut walks: Vec<Walk> = PLACES
        .iter()
        .map(|place| Walk::new(place, &mut random))
        .collect();
    let mut recent: VecDeque<Contact> = VecDeque::with_capacity(REPEATED_FROM);
    let mut rows = Rows {
        csv: csv::Writer::from_writer(output),
    };
    let mut generated = Generated {
        recipients: 0,
        repeated: 0,
        broken: 0,
    };
    rows.header()?;
    while generated.recipients < recipients {
        if walks.is_empty() {
            return Err(GenerateError::TooMany {
                most: generated.recipients,
            });
        }
        let place = below(&mut random, walks.len());
        let Some(number) = walks[place].next_valid(&parser) else {
            walks.swap_remove(place);
            continue;
        };
        let contact = Contact::new(number, walks[place].place, &mut random);
        rows.contact(&contact, &mut random)?;
        generated.recipients += 1;
        if recent.len() == REPEATED_FROM {
            recent.pop_front();
        }
        recent.push_back(contact);
        if generated.recipients.is_multiple_of(RECIPIENTS_PER_FLAW) {
            let mut again = recent[below(&mut random, recent.len())].clone();
            again.code = code(&mut random);
            rows.contact(&again, &mut random)?;
            generated.repeated += 1;
            rows.broken(&mut random)?;
            generated.broken += 1;
        }
    }
    rows.csv.flush()?;
    Ok(generated)
}

/// A number below `end`, which is at least 1.
fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
    // The remainder favours small numbers by less than one in 2^57 here.
    usize::try_from(random.next_u64() % end as u64).unwrap_or(0)
}

fn pick<'a>(random: &mut ChaCha8Rng, from: &[&'a str]) -> &'a str {
    from[below(random, from.len())]
}

fn code(random: &mut ChaCha8Rng) -> String {
    format!("{:05}", random.next_u64() % 100_000)
}

/// Walks through the numbers of one range: `offset + step · n` modulo the size of the
/// range, which is a power of ten, so any step that ends in 1, 3, 7 or 9 meets all.
struct Walk {
    place: &'static Place,
    size: u64,
    left: u64,
    at: u64,
    step: u64,
    /// Whether the numbers of a block are valid, by the first three digits behind the
    /// prefix: the plans of these places look no further, and asking costs some 30 µs.
    blocks: Vec<Option<bool>>,
}

/// Blocks of a range: 10 to the power of the digits that plans look at.
const BLOCKS: u64 = 1_000;

impl Walk {
    fn new(place: &'static Place, random: &mut ChaCha8Rng) -> Self {
        let size = 10_u64.pow(place.digits);
        let ending = [1, 3, 7, 9][below(random, 4)];
        let step = (random.next_u64() % (size / 10)) * 10 + ending;
        let blocks = vec![None; usize::try_from(BLOCKS).unwrap_or(0)];
        Self {
            place,
            size,
            left: size,
            at: random.next_u64() % size,
            step,
            blocks,
        }
    }

    fn next_valid(&mut self, parser: &PhoneParser) -> Option<String> {
        while self.left > 0 {
            self.left -= 1;
            self.at = (self.at + self.step) % self.size;
            let width = self.place.digits as usize;
            let number = format!("{}{:0width$}", self.place.prefix, self.at);
            let block = usize::try_from(self.at / (self.size / BLOCKS)).unwrap_or(0);
            // Some plans write a number in two ways; only the one that is its own
            // E.164 form is sure to be met once.
            let is_valid = *self.blocks[block].get_or_insert_with(|| {
                parser
                    .parse(&number)
                    .is_ok_and(|phone| phone.as_str() == number)
            });
            if is_valid {
                return Some(number);
            }
        }
        None
    }
}

#[derive(Clone)]
struct Contact {
    number: String,
    prefix: usize,
    name: &'static str,
    city: &'static str,
    code: String,
}

impl Contact {
    fn new(number: String, place: &'static Place, random: &mut ChaCha8Rng) -> Self {
        Self {
            number,
            prefix: place.prefix.len(),
            name: pick(random, place.names),
            city: pick(random, place.cities),
            code: code(random),
        }
    }

    /// The number as somebody might have typed it.
    fn typed(&self, random: &mut ChaCha8Rng) -> String {
        let (front, rest) = self.number.split_at(self.prefix);
        let (middle, end) = rest.split_at(rest.len() / 2);
        match below(random, 4) {
            0 => format!("{front} {middle} {end}"),
            1 => format!("{front}-{middle}-{end}"),
            _ => self.number.clone(),
        }
    }
}

struct Rows<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> Rows<W> {
    fn header(&mut self) -> io::Result<()> {
        Ok(self
            .csv
            .write_record(["First Name", "Phone", "City", "Code"])?)
    }

    fn contact(&mut self, contact: &Contact, random: &mut ChaCha8Rng) -> io::Result<()> {
        let number = contact.typed(random);
        Ok(self
            .csv
            .write_record([contact.name, &number, contact.city, &contact.code])?)
    }

    fn broken(&mut self, random: &mut ChaCha8Rng) -> io::Result<()> {
        let place = &PLACES[below(random, PLACES.len())];
        let (name, city) = (pick(random, place.names), pick(random, place.cities));
        let code = code(random);
        Ok(self
            .csv
            .write_record([name, pick(random, &NO_NUMBERS), city, &code])?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use engine::contacts::{ContactReader, ImportOptions, Record};

    use super::super::regions::PLACES;
    use super::{BLOCKS, Generated, PhoneParser, generate};

    #[test]
    fn an_import_finds_what_was_generated() -> Result<(), Box<dyn std::error::Error>> {
        for seed in [0, 1, 2, 77, u64::MAX] {
            let mut file = Vec::new();
            let generated = generate(&mut file, 5_000, seed)?;
            let expected = Generated {
                recipients: 5_000,
                repeated: 10,
                broken: 10,
            };
            assert_eq!(generated, expected);
            let mut reader = ContactReader::new(file.as_slice(), &ImportOptions::default())?;
            let (mut numbers, mut repeated, mut broken) = (BTreeSet::new(), 0, 0);
            while let Some(record) = reader.next_record()? {
                match record {
                    Record::Contact(contact) => {
                        repeated += u64::from(!numbers.insert(contact.phone.as_str().to_owned()));
                        assert!(contact.fields.len() == 3);
                    }
                    Record::Rejected(_) => broken += 1,
                }
            }
            let found = Generated {
                recipients: numbers.len() as u64,
                repeated,
                broken,
            };
            assert_eq!(found, expected, "seed {seed}");
            let mut by_place = BTreeMap::new();
            for place in PLACES {
                let here = numbers
                    .iter()
                    .filter(|number| number.starts_with(place.prefix));
                by_place.insert(place.prefix, here.count());
            }
            assert!(by_place.values().all(|count| *count > 50), "{by_place:?}");
        }
        Ok(())
    }

    /// The shortcut of a walk: one number of a block speaks for all of it.
    #[test]
    fn the_numbers_of_a_block_are_valid_together() -> Result<(), Box<dyn std::error::Error>> {
        let parser = PhoneParser::new(None)?;
        for place in PLACES {
            let rest = place.digits as usize - 3;
            // Every eleventh block, so that this takes a second and no two have a
            // digit in common for long.
            for block in (0..BLOCKS).step_by(11) {
                let valid = [0, 1, 4, 9].map(|digit: u32| {
                    let tail = digit.to_string().repeat(rest);
                    parser
                        .parse(&format!("{}{block:03}{tail}", place.prefix))
                        .is_ok()
                });
                assert!(
                    valid.iter().all(|is| *is == valid[0]),
                    "{} {block}",
                    place.prefix
                );
            }
        }
        Ok(())
    }

    #[test]
    fn a_seed_decides_every_byte() -> Result<(), Box<dyn std::error::Error>> {
        let (mut one, mut same, mut other) = (Vec::new(), Vec::new(), Vec::new());
        generate(&mut one, 700, 5)?;
        generate(&mut same, 700, 5)?;
        generate(&mut other, 700, 6)?;
        assert_eq!(one, same);
        assert_ne!(one, other);
        Ok(())
    }
}
