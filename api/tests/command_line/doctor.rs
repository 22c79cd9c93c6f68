//! `volley doctor` before a real port, a real disk and a provider that exists only here.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use api::exit::Exit;
use rustix::process::Signal;

use crate::served::{Folder, Served, given, run, text, volley};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The settings of one account at `url`, whose token is `token`.
fn settings(url: &str, token: &str) -> String {
    format!(
        "[[providers]]\nname = \"main\"\nkind = \"twilio\"\nrate = 10.0\n\
         account_sid = \"{ACCOUNT}\"\nauth_token = \"{token}\"\n\
         base_url = \"{url}\"\nsenders = [\"+15005550006\"]\n"
    )
}

/// Runs it with these settings; gives back how it ended, and what it said.
fn examined(folder: &Folder, settings: &str, listen: &str) -> (Option<i32>, String) {
    let file = folder.0.join("volley.toml");
    std::fs::write(&file, settings).expect("a file");
    let output = volley(&["doctor", "--listen", listen, "--config"])
        .arg(file)
        .arg("--data")
        .arg(folder.data())
        .output()
        .expect("it runs");
    (output.status.code(), text(&output.stdout))
}

/// The line about something.
fn line<'a>(said: &'a str, of: &str) -> &'a str {
    let found = said.lines().find(|line| line.contains(of));
    found.unwrap_or_else(|| panic!("nothing of {of}: {said}"))
}

#[test]
fn a_provider_that_answers_is_well_and_one_that_refuses_or_is_dead_is_wrong() {
    let folder = Folder::new("doctor");
    let account = format!("{ACCOUNT}:{TOKEN}:0:+15005550006");
    let mut sandbox = volley(&["sandbox", "--account", &account, "--book"])
        .arg(folder.0.join("book"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a sandbox");
    let mut url = String::new();
    let told = sandbox.stdout.take().expect("its output");
    BufReader::new(told).read_line(&mut url).expect("its url");
    let any_port = "127.0.0.1:0";

    let (exit, said) = examined(&folder, &settings(url.trim(), TOKEN), any_port);
    assert_eq!(exit, Some(Exit::Success as i32), "{said}");
    let provider = line(&said, "provider main");
    assert!(provider.contains("knows us and answers in"), "{said}");
    assert!(provider.contains("the clocks agree"), "{said}");
    assert!(line(&said, "data folder").contains("new"), "{said}");
    assert!(line(&said, "http.listen").contains("--listen"), "{said}");
    let default = line(&said, "retry.attempts");
    assert!(default.contains("built-in"), "{said}");
    assert!(!folder.data().exists(), "it makes nothing");

    let wrong = TOKEN.replace('0', "f");
    let (exit, said) = examined(&folder, &settings(url.trim(), &wrong), any_port);
    assert_eq!(exit, Some(Exit::Failure as i32), "{said}");
    let refused = line(&said, "provider main");
    assert!(refused.contains("check its credentials"), "{said}");
    assert!(!said.contains(&wrong), "a secret is not told");

    sandbox.kill().expect("it is there");
    sandbox.wait().expect("it ends");
    let (exit, said) = examined(&folder, &settings(url.trim(), TOKEN), any_port);
    assert_eq!(exit, Some(Exit::Failure as i32), "{said}");
    assert!(line(&said, "provider main").contains("connect_refused"));
}

#[test]
fn a_taken_port_and_a_folder_of_somebody_else_are_wrong_and_a_served_one_is_not() {
    let folder = Folder::new("doctor-port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (exit, said) = examined(&folder, "", &address);
    assert_eq!(exit, Some(Exit::Failure as i32), "{said}");
    assert!(line(&said, " port ").contains("WRONG"), "{said}");

    let data = folder.data();
    given(&run(&["account", "create", "acme"], &data));
    let mut node = Served::start(&data);
    let address = node.url.trim_start_matches("http://").to_owned();
    let (exit, said) = examined(&folder, "", &address);
    assert_eq!(exit, Some(Exit::Success as i32), "{said}");
    assert!(line(&said, "data folder").contains("has it open"), "{said}");
    assert_eq!(node.signal(Signal::TERM), Some(Exit::Success as i32));
    let (_, said) = examined(&folder, "", "127.0.0.1:0");
    let free = line(&said, "data folder");
    assert!(free.contains("nobody serves"), "{said}");

    std::fs::remove_dir_all(&data).expect("it is there");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("photos"), "").expect("a file");
    let (exit, said) = examined(&folder, "", "127.0.0.1:0");
    assert_eq!(exit, Some(Exit::Failure as i32), "{said}");
    let foreign = line(&said, "data folder");
    assert!(foreign.contains("no data of volley"), "{said}");
}

#[test]
fn passwords_of_servers_are_not_told_and_those_that_go_in_the_open_are_doubtful() {
    let folder = Folder::new("doctor-passwords");
    let settings = "[kafka]\nuser = \"volley\"\npassword = \"hunter2\"\nmechanism = \"PLAIN\"\n\
                    [cql]\nuser = \"volley\"\npassword = \"hunter3\"\n";
    let (exit, said) = examined(&folder, settings, "127.0.0.1:0");
    assert_eq!(exit, Some(Exit::Success as i32), "{said}");
    for key in ["kafka.password", "cql.password"] {
        assert!(line(&said, key).contains("(set)"), "{said}");
    }
    assert!(line(&said, "kafka.mechanism").contains("PLAIN"), "{said}");
    assert!(line(&said, " Kafka ").contains("set kafka.tls"), "{said}");
    assert!(line(&said, " CQL ").contains("set cql.tls"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let settings = format!("{settings}tls = true\n");
    let (_, said) = examined(&folder, &settings, "127.0.0.1:0");
    assert!(!said.contains(" CQL "), "{said}");
}
