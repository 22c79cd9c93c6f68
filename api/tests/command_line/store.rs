//! `volley store export`, which every build has.

use std::os::unix::fs::PermissionsExt;

use api::exit::Exit;
use rustix::process::Signal;
use serde_json::json;

use crate::served::{Folder, Served, given, post, refused, run};

#[test]
fn a_folder_is_exported_when_nobody_serves_it() {
    let folder = Folder::new("export");
    let data = folder.data();
    let file = data.with_extension("moved");
    let name = file.to_str().expect("text");
    std::fs::create_dir_all(&data).expect("a folder");
    let export = || run(&["store", "export", name], &data);
    refused(&export(), Exit::Failure, "is empty");
    let account = given(&run(&["account", "create", "acme"], &data));
    let key = given(&run(&["key", "create", &account], &data));
    let mut node = Served::start(&data);
    refused(&export(), Exit::DataFolderInUse, "in use");
    let text = json!({"to": "+12025550123", "body": "Hello", "class": "transactional"});
    let (status, answer) = post(&node.url, &key, &text);
    assert_eq!(status, 202, "{answer}");
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
    let exported = given(&export());
    for line in ["accounts 1", "api_keys 1", "intake 1"] {
        let line = format!("exported {line}");
        assert!(exported.lines().any(|told| told == line), "{exported}");
    }
    let mode = file.metadata().expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others must not read it");
    refused(&export(), Exit::Failure, "is there already");
    std::fs::remove_file(&file).expect("a file");
}
