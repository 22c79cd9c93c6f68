//! The end of the sandbox's book as it grows: which account is sent how much of the campaign
//! just now.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sandbox::book::BOOK_FILE;
use serde::Deserialize;

use super::codes::is_code;

/// Bytes of the book that are read at once: some 3,000 texts.
const READ_BYTES: u64 = 2 * 1_024 * 1_024;

/// What one look at the book has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    /// Texts that were taken.
    pub(super) texts: u64,
    /// Their segments.
    pub(super) segments: u64,
}

/// Follows a book.
pub(super) struct BookTail {
    path: PathBuf,
    at: u64,
    /// Sums of all looks, by the account's id at the sandbox.
    pub(super) sums: BTreeMap<String, Found>,
    /// When the last text arrived, in microseconds since 1970.
    pub(super) last_submit: Option<u64>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    account: &'a str,
    to: &'a str,
    #[serde(borrow)]
    body: Cow<'a, str>,
    at: u64,
    segments: u64,
    took: bool,
}

impl BookTail {
    /// Follows the book in `folder` from where it ends now.
    pub(super) fn at_end(folder: &Path) -> Self {
        let path = folder.join(BOOK_FILE);
        let at = std::fs::metadata(&path).map_or(0, |file| file.len());
        Self {
            path,
            at,
            sums: BTreeMap::new(),
            last_submit: None,
        }
    }

    /// Reads what is new.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        loop {
            file.seek(SeekFrom::Start(self.at))?;
            let mut bytes = Vec::new();
            (&mut file).take(READ_BYTES).read_to_end(&mut bytes)?;
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                return Ok(());
            };
            for line in bytes[..end].split(|byte| *byte == b'\n') {
                self.take(line);
            }
            self.at += end as u64 + 1;
        }
    }

    fn take(&mut self, line: &[u8]) {
        // The judge reads every line strictly; here a strange one is passed over.
        let Ok(Line { text: Some(text) }) = serde_json::from_slice(line) else {
            return;
        };
        if is_code(text.to, &text.body) {
            return;
        }
        self.last_submit = self.last_submit.max(Some(text.at));
        if text.took {
            if !self.sums.contains_key(text.account) {
                self.sums.insert(text.account.to_owned(), Found::default());
            }
            if let Some(sum) = self.sums.get_mut(text.account) {
                sum.texts += 1;
                sum.segments += text.segments;
            }
        }
    }

    /// Texts that were taken since the following began.
    pub(super) fn texts(&self) -> u64 {
        self.sums.values().map(|sum| sum.texts).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{BookTail, Found};

    #[test]
    fn only_whole_new_lines_count() -> std::io::Result<()> {
        let folder = std::env::temp_dir().join(format!("demo-tail-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("book.jsonl");
        let text = |at: u64, took: bool| {
            format!(
                "{{\"text\":{{\"account\":\"AC1\",\"to\":\"+1\",\"body\":\"a\",\"at\":{at},\"segments\":2,\"took\":{took}}}}}\n"
            )
        };
        std::fs::write(&path, text(1, true))?;
        let mut tail = BookTail::at_end(&folder);
        tail.look()?;
        assert_eq!(tail.texts(), 0);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
        write!(
            file,
            "{}{}{{\"stop\":{{}}}}\n{{\"text\":",
            text(5, true),
            text(7, false)
        )?;
        tail.look()?;
        let found = Found {
            texts: 1,
            segments: 2,
        };
        assert_eq!(
            (tail.sums.get("AC1"), tail.last_submit),
            (Some(&found), Some(7))
        );
        write!(file, "{}", &text(9, true)[8..])?;
        tail.look()?;
        assert_eq!((tail.texts(), tail.last_submit), (2, Some(9)));
        std::fs::remove_dir_all(folder)
    }
}
