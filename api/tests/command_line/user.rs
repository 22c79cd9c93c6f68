//! Commands that ask a node as its users do.

use api::exit::Exit;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::served::{Folder, Served, first_key, given, post, refused, run, text, volley};

/// `volley` as a user of this node.
fn ask(node: &Served, key: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = volley(arguments);
    command.env("VOLLEY_URL", &node.url).env("VOLLEY_KEY", key);
    command.output().expect("it runs")
}

#[test]
fn a_messages_life_is_told_and_shows_no_number() {
    let folder = Folder::new("show");
    let data = folder.data();
    let key = first_key(&data);
    let mut node = Served::start(&data);
    let message = json!({
        "to": "+14155550123", "body": "See you tomorrow.", "class": "transactional",
    });
    let (status, body) = post(&node.url, &key, &message);
    assert_eq!(status, 202, "{body}");
    let id = body["id"].as_str().expect("an id");

    let told = given(&ask(&node, &key, &["message", "show", id]));
    // No provider account may carry it, which is soon found out.
    assert!(told.starts_with(&format!("{id}  ")), "{told}");
    assert!(told.contains("was accepted by the node"), "{told}");
    assert!(!told.contains("4155550123"), "{told}");
    let shown = given(&ask(&node, &key, &["message", "show", "--json", id]));
    let shown: Value = serde_json::from_str(&shown).expect("json");
    assert_eq!(shown["id"], body["id"]);

    let stranger = given(&run(&["account", "create", "other"], &data));
    let stranger = given(&run(&["key", "create", &stranger], &data));
    let output = ask(&node, &stranger, &["message", "show", id]);
    refused(&output, Exit::Failure, "not_found");
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
    let output = ask(&node, &key, &["message", "show", id]);
    refused(&output, Exit::Unreachable, "no answer from the node");
    assert!(!text(&output.stderr).contains(&key), "the key is not told");
}
