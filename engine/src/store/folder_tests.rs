//! Tests of the data folder: what is not ours or not whole is refused with the folder
//! and the cure in the error, and left as it was.

use std::fs;
use std::path::{Path, PathBuf};

use super::embedded::{Embedded, OpenError};
use super::folder::FolderError;
use super::subject::{close, copy_folder, open, runtime};
use super::writer::NoParticipant;
use crate::log::Topic;
use schemas::Partition;

fn refused(path: &Path) -> FolderError {
    match Embedded::open(path, &runtime(), |_| Ok(NoParticipant)) {
        Err(OpenError::Folder(error)) => {
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            error
        }
        Err(OpenError::Store(error)) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

/// Every file of a folder with its content.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("read") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).expect("read");
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_foreign_folder_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.tex"), "years of work").expect("write");
    let before = files(folder.path());
    let error = refused(folder.path());
    assert!(matches!(error, FolderError::Foreign { .. }), "{error}");
    assert_eq!(files(folder.path()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_opening_names_the_holder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let error = refused(folder.path());
    let us = std::process::id();
    assert!(
        matches!(error, FolderError::InUse { holder: Some(holder), .. } if holder == us),
        "{error}"
    );
    close(first).await;
    close(open(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_of_another_version_or_none_of_ours_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    close(open(folder.path())).await;
    let marker = folder.path().join("volley-data");
    for (text, newer) in [
        ("volley data 2\n", true),
        ("volley data 17 sharded\n", true),
        ("", false),
        ("volley data\n", false),
        ("volley data one\n", false),
        ("\u{0}\u{0}\u{0}", false),
    ] {
        fs::write(&marker, text).expect("write");
        let before = files(folder.path());
        let error = refused(folder.path());
        assert_eq!(
            matches!(error, FolderError::NewerVersion { .. }),
            newer,
            "{error}"
        );
        assert_eq!(
            matches!(error, FolderError::Damaged { .. }),
            !newer,
            "{error}"
        );
        assert_eq!(files(folder.path()), before);
    }
}

#[tokio::test]
async fn a_path_that_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "text").expect("write");
    for path in [file.clone(), file.join("below")] {
        let error = refused(&path);
        assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
    }
    assert_eq!(fs::read(&file).expect("read"), b"text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_cut_off_is_begun_again() {
    let folder = tempfile::tempdir().expect("a folder");
    close(open(folder.path())).await;
    fs::write(
        folder.path().join("volley-data"),
        "volley data 1 creating\n",
    )
    .expect("write");
    fs::remove_file(folder.path().join("db/version")).expect("remove");
    close(open(folder.path())).await;
    fs::remove_file(folder.path().join("db/version")).expect("remove");
    let error = refused(folder.path());
    assert!(matches!(error, FolderError::Damaged { .. }), "{error}");
}

const RECORDS: u64 = 200;

/// Opens the folder and reads everything: either it says that it is damaged, or every
/// record is there as it was.
async fn damage_shows(path: &Path, case: &str) -> bool {
    let embedded = match Embedded::open(path, &runtime(), |_| Ok(NoParticipant)) {
        Err(OpenError::Folder(FolderError::Damaged { .. })) => return true,
        Err(error) => panic!("{case}: {error}"),
        Ok(embedded) => embedded,
    };
    let read = embedded
        .log
        .read(Topic::Control, Partition(0), 0, 10_000)
        .await;
    let all = match &read {
        Ok(records) => {
            records.len() as u64 == RECORDS
                && records
                    .iter()
                    .all(|(offset, payload)| *payload == record(*offset))
        }
        Err(_) => true,
    };
    close(embedded).await;
    assert!(
        all,
        "{case}: records are gone or changed and nobody says so"
    );
    read.is_err()
}

fn record(number: u64) -> Vec<u8> {
    format!("record {number} ").repeat(20).into_bytes()
}

async fn filled_folder(path: &Path) {
    let embedded = open(path);
    for number in 0..RECORDS {
        let appended = embedded
            .log
            .append(Topic::Control, Partition(0), vec![record(number)]);
        assert_eq!(appended.await.expect("append"), number);
    }
    close(embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_any_file_shows_or_harms_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    filled_folder(folder.path()).await;
    let mut shown = 0;
    for (path, content) in files(folder.path()) {
        let name = path.strip_prefix(folder.path()).expect("inside").to_owned();
        if content.is_empty() || name.ends_with("lock") {
            continue;
        }
        let used = content
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(1, |last| last + 1);
        for damage in 0..4 {
            let copy = tempfile::tempdir().expect("a folder");
            copy_folder(folder.path(), copy.path());
            let mut bytes = content.clone();
            match damage {
                0 => bytes.truncate(used / 2),
                1 => bytes[used / 2] ^= 0xff,
                2 => bytes[0] ^= 0xff,
                _ => bytes[..used].fill(0),
            }
            fs::write(copy.path().join(&name), bytes).expect("write");
            let case = format!("damage {damage} of {}", name.display());
            if damage_shows(copy.path(), &case).await {
                shown += 1;
            }
        }
    }
    assert!(shown > 0, "no damage was ever found");
}
