//! The people of a campaign, and the file that names them.

use crate::simulation::chance::Chance;

/// A contacts file, and what is to come of it.
#[derive(Clone, Debug, Default)]
pub struct ContactsFile {
    /// The file.
    pub csv: String,
    /// Numbers without a name.
    pub nameless: Vec<String>,
    /// Numbers and names, once each.
    pub people: Vec<(String, String)>,
    /// Lines that repeat an earlier number.
    pub repeated: u64,
    /// Lines without a proper number.
    pub bad: u64,
}

/// A number that nobody else of the schedule has.
pub fn number_of(serial: u64) -> String {
    // 2xx exchanges, without the service codes that end in 11.
    let exchange = 212 + serial / 10_000 % 80;
    format!("+1415{exchange}{:04}", serial % 10_000)
}

/// A file of so many people whose numbers begin at `first`, with repetitions and lines
/// that are no good in between.
pub fn contacts_file(
    chance: &mut Chance,
    first: u64,
    people: u64,
    repeated: u64,
    bad: u64,
) -> ContactsFile {
    let mut file = ContactsFile {
        csv: "Phone,First Name\n".to_owned(),
        repeated: repeated.min(people),
        bad,
        ..ContactsFile::default()
    };
    let mut left = (people, file.repeated, bad);
    while left.0 + left.1 + left.2 > 0 {
        let place = chance.between(1, left.0 + left.1 + left.2);
        if place <= left.0 {
            left.0 -= 1;
            let serial = first + people - left.0;
            let (number, name) = (number_of(serial), format!("Name{serial}"));
            file.line(&number, &name);
            file.people.push((number, name));
        } else if place <= left.0 + left.1 && !file.people.is_empty() {
            left.1 -= 1;
            let last = file.people.len() as u64 - 1;
            let (number, name) = file.people[chance.between(0, last) as usize].clone();
            // As people write it: the area code in brackets.
            let (area, rest) = (&number[2..5], &number[5..]);
            let written = format!("({area}) {}-{}", &rest[..3], &rest[3..]);
            if chance.hits(0.5) {
                file.line(&written, &name);
            } else {
                // It ends early, and takes nothing away from what is known.
                file.csv.push_str(&format!("{written}\n"));
            }
        } else if left.2 > 0 {
            left.2 -= 1;
            let wrong = chance.pick(&["", "12345", "no number", "+1"]);
            file.line(wrong, "Nobody");
        }
    }
    file
}

impl ContactsFile {
    /// Adds somebody of whom only the number is known.
    pub fn add_nameless(&mut self, number: String) {
        self.csv.push_str(&format!("{number}\n"));
        self.nameless.push(number);
    }

    fn line(&mut self, number: &str, name: &str) {
        self.csv.push_str(&format!("{number},{name}\n"));
    }
}
