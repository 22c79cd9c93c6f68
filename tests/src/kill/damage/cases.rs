//! What is done to which file.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Flips in each file, beside a cut. Large files get more.
const FLIPS: u64 = 2;

/// One flip more for so many bytes of a file that hold something.
const BYTES_A_FLIP: u64 = 512 << 10;

/// The most flips in one file.
const MOST_FLIPS: u64 = 12;

/// Cuts of each file: a little of its tail, and much.
const CUTS: u64 = 2;

/// One damage.
pub struct Case {
    /// The file, inside the data folder.
    file: PathBuf,
    damage: Damage,
}

enum Damage {
    /// The bits of this byte that are in the mask are the other way round.
    Flip { at: u64, mask: u8 },
    /// The file ends here.
    Cut { at: u64 },
}

/// Draws what is damaged in each file of a folder.
pub fn cases(folder: &Path, random: &mut ChaCha8Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for file in files(folder) {
        let used = used(&file);
        if used == 0 {
            continue;
        }
        let file = file
            .strip_prefix(folder)
            .expect("it lies inside")
            .to_owned();
        let flips = (FLIPS + used / BYTES_A_FLIP).min(MOST_FLIPS);
        for _ in 0..flips {
            let at = random.random_range(0..used);
            let mask = 1 << random.random_range(0..8);
            let damage = Damage::Flip { at, mask };
            cases.push(Case {
                file: file.clone(),
                damage,
            });
        }
        for cut in 0..CUTS {
            let least = if cut == 0 { used - used.min(200) } else { 0 };
            let at = random.random_range(least..used);
            let damage = Damage::Cut { at };
            cases.push(Case {
                file: file.clone(),
                damage,
            });
        }
    }
    cases
}

impl Case {
    /// Does it to a copy.
    pub fn damage(&self, folder: &Path) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(folder.join(&self.file));
        let file = file.expect("the copy can be opened");
        match self.damage {
            Damage::Flip { at, mask } => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).expect("a byte is there");
                byte[0] ^= mask;
                file.write_all_at(&byte, at).expect("it can be written");
            }
            Damage::Cut { at } => file.set_len(at).expect("it can be cut"),
        }
    }

    /// What kind of file, and what was done.
    pub fn kind(&self) -> String {
        let mut parts = self
            .file
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        let named = |part: Cow<'_, str>| match part.strip_prefix('v').unwrap_or(&part) {
            number if number.parse::<u64>().is_ok() => "N".to_owned(),
            _ => part.into_owned(),
        };
        let first = parts.next().map(named).unwrap_or_default();
        let path = parts.fold(first, |path, part| format!("{path}/{}", named(part)));
        let done = match self.damage {
            Damage::Flip { .. } => "flipped",
            Damage::Cut { .. } => "cut",
        };
        format!("{path} {done}")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.damage {
            Damage::Flip { at, mask } => write!(formatter, "{file}, byte {at} ^ {mask:#04x}"),
            Damage::Cut { at } => write!(formatter, "{file}, cut at {at}"),
        }
    }
}

/// Bytes up to the last that is not zero: write-ahead files have room to grow.
fn used(file: &Path) -> u64 {
    let content = fs::read(file).expect("a file can be read");
    let last = content.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Replaces a folder by a copy of another.
pub fn copy_folder(from: &Path, to: &Path) {
    // It is not there the first time.
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a folder can be made");
    for path in files(from) {
        let copy = to.join(path.strip_prefix(from).expect("it lies inside"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(&path, &copy).expect("a file can be copied");
    }
}
