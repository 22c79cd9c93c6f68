use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use schemas::{MessageClass, Partition, PartitionCount};

use super::TransferError;
use super::file::{Header, Item, Reader, Writer};

fn items() -> impl Strategy<Value = Vec<Item>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let row = (1_u8..28, bytes(), bytes()).prop_map(|(tag, mut key, row)| {
        key.insert(0, tag);
        Item::Row { key, row }
    });
    let work = (any::<bool>(), 0_u16..8, bytes()).prop_map(|(lane, partition, payload)| {
        let class = match lane {
            true => MessageClass::Transactional,
            false => MessageClass::Marketing,
        };
        let partition = Partition(partition);
        Item::Work {
            class,
            partition,
            payload,
        }
    });
    let journal = (bytes(), bytes()).prop_map(|(key, entry)| Item::Journal { key, entry });
    prop::collection::vec(prop_oneof![row, work, journal], 0..20)
}

fn write(file: &Path, items: &[Item]) -> super::Counts {
    let header = Header {
        release: "1.2.3".to_owned(),
        partitions: 8,
    };
    let mut writer = Writer::create(file, &header).expect("a file");
    for item in items {
        writer.item(item).expect("it is written");
    }
    writer.finish().expect("it is written").counts
}

fn read(file: &Path) -> Result<(Vec<Item>, super::Counts), TransferError> {
    let reader = Reader::open(file)?;
    assert_eq!(reader.partitions, PartitionCount::new(8).expect("eight"));
    let mut items = Vec::new();
    let whole = reader.each(|item| {
        items.push(item);
        Ok(())
    })?;
    Ok((items, whole.counts))
}

fn file_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("export")
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in items()) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file_in(&folder);
        let counts = write(&file, &items);
        let (found, counted) = read(&file).expect("it is read");
        prop_assert_eq!(counts.values().sum::<u64>(), items.len() as u64);
        prop_assert_eq!(counted, counts);
        prop_assert_eq!(found, items);
    }

    /// Whatever is done to a file, it is not taken for whole.
    #[test]
    fn a_file_that_was_changed_is_refused(
        items in items(), at in any::<prop::sample::Index>(), bit in 0_u8..8, is_cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file_in(&folder);
        write(&file, &items);
        let mut bytes = fs::read(&file).expect("it is read");
        let at = at.index(bytes.len());
        match is_cut {
            true => bytes.truncate(at),
            false => bytes[at] ^= 1 << bit,
        }
        fs::write(&file, bytes).expect("it is written");
        let opened = Reader::open(&file);
        prop_assert!(opened.and_then(|reader| reader.each(|_| Ok(()))).is_err());
    }
}

#[test]
fn a_file_that_is_there_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder);
    fs::write(&file, "somebody's").expect("it is written");
    let header = Header {
        release: String::new(),
        partitions: 8,
    };
    let refused = Writer::create(&file, &header);
    assert!(matches!(refused, Err(TransferError::Exists { .. })));
    assert!(matches!(
        read(&file),
        Err(TransferError::NotAnExport { .. })
    ));
    assert_eq!(fs::read(&file).expect("it is read"), b"somebody's");
}
