use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A reader that gives a few bytes at a time, as a socket may.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Rows that no writer would make on purpose.
fn wild_file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just("4155552671".to_owned()),
        2 => "[0-9+() -]{0,14}",
        4 => Just(",".to_owned()),
        3 => prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n")].prop_map(str::to_owned),
        2 => Just("\"".to_owned()),
        1 => Just("\",\"".to_owned()),
        1 => "[a-zé \"]{0,6}",
        1 => Just("x".repeat(70_000)),
        1 => Just("\"\n".repeat(60)),
    ];
    (prop::collection::vec(piece, 0..60), any::<bool>()).prop_map(|(pieces, latin)| {
        let mut bytes = b"phone,name\n".to_vec();
        bytes.extend(pieces.concat().bytes());
        if latin {
            bytes.extend(b"\n4155552671,Jos\xe9\n4155552672,Ann");
        }
        bytes
    })
}

proptest! {
    #[test]
    fn going_on_from_any_record_gives_the_rest(file in wild_file(), stop: Index, drip in 1usize..9_000) {
        let all = read_all(&file, Some("US"));
        let whole = ContactReader::new(Dripping(&file, drip), &options(Some("US"))).expect("a file");
        let layout = whole.layout().clone();
        let start = whole.position();
        prop_assert_eq!(&read_on(whole), &all);

        let stop = stop.index(all.len() + 1);
        let position = if stop == 0 { start } else { all[stop - 1].1 };
        prop_assert_eq!(position.records, stop as u64);
        let rest = Dripping(&file[position.byte as usize..], drip);
        let resumed = ContactReader::resume(rest, layout, position, &options(Some("US")));
        prop_assert_eq!(read_on(resumed.expect("a known region")), &all[stop..]);
    }

    #[test]
    fn records_start_on_the_lines_they_say(file in wild_file()) {
        let mut starts = vec![0usize];
        for (at, byte) in file.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && file.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        let mut last = 1;
        for (record, position) in read_all(&file, Some("US")) {
            let line = match record {
                Record::Contact(contact) => contact.line,
                Record::Rejected(reject) => reject.line,
            };
            prop_assert!(line > last && line <= position.line);
            last = line;
            // Behind a record a physical line begins, unless the file ended without a line end.
            let begins = starts.get(position.line as usize - 1).copied();
            prop_assert!(begins == Some(position.byte as usize) || position.byte == file.len() as u64);
        }
    }

    #[test]
    fn what_a_csv_writer_wrote_is_read_back(
        rows in prop::collection::vec(("[^\0]{0,12}", "[a-z,;\"\n\r\t ]{0,12}"), 1..20),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        crlf: bool,
    ) {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        writer.write_record(["b", "phone", "a"]).expect("memory takes everything");
        for (b, a) in &rows {
            writer.write_record([b, "+14155552671", a]).expect("memory takes everything");
        }
        let bytes = writer.into_inner().expect("memory takes everything");
        let read = read_all(&bytes, None);
        prop_assert_eq!(read.len(), rows.len());
        for ((record, _), (b, a)) in read.iter().zip(&rows) {
            let Record::Contact(contact) = record else { panic!("{record:?}") };
            prop_assert_eq!(contact.fields.get("a"), Some(a));
            prop_assert_eq!(contact.fields.get("b"), Some(b));
        }
    }
}
