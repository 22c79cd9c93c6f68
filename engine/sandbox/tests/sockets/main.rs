//! The sandbox over real sockets. Nothing here asserts on time.

mod client;
mod receipts;

use client::{FROM, Folder, Outcome, SID, TOKEN, create, get, records, request, start};
use sandbox::book::Record;
use sandbox::{AccountConfig, BareCounter, FaultPlan, Sandbox, SandboxConfig};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::SocketAddr;

#[test]
fn a_text_is_created_fetched_and_listed() -> Outcome {
    let folder = Folder::new("create");
    let sandbox = start(&folder, FaultPlan::none())?;
    let address = sandbox.address();
    let body = "hi & bye 😀";
    let created = create(
        address,
        &[("To", "+15005550006"), ("From", FROM), ("Body", body)],
    )?;
    assert_eq!(created.status(), "201");
    sandbox.flush_book();
    let texts = records(&folder.0)?
        .into_iter()
        .filter_map(|record| match record {
            Record::Text(text) => Some((text.body.into_owned(), text.took)),
            Record::Start(_) | Record::Receipt(_) | Record::Stall(_) | Record::Stop(_) => None,
        });
    assert_eq!(texts.collect::<Vec<_>>(), [(body.to_owned(), true)]);
    assert_eq!(
        created.headers.get("content-type").map(String::as_str),
        Some("application/json")
    );
    let text = created.json()?;
    assert_eq!(text["status"], "queued");
    assert_eq!(text["body"], body);
    assert_eq!(text["num_segments"], "1");
    let uri = text["uri"].as_str().ok_or("a uri")?;
    let fetched = get(address, uri)?.json()?;
    assert_eq!(fetched["sid"], text["sid"]);
    for number in 0..4 {
        let body = format!("text {number}");
        create(
            address,
            &[("To", "+15005550007"), ("From", FROM), ("Body", &body)],
        )?;
    }
    let list = format!("/2010-04-01/Accounts/{SID}/Messages.json?To=%2B15005550007&PageSize=3");
    let page = get(address, &list)?.json()?;
    let bodies = |page: &Value| -> Vec<String> {
        let texts = page["messages"].as_array().cloned().unwrap_or_default();
        texts
            .iter()
            .filter_map(|text| text["body"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(bodies(&page), ["text 3", "text 2", "text 1"]);
    let next = get(
        address,
        page["next_page_uri"].as_str().ok_or("a next page")?,
    )?
    .json()?;
    assert_eq!(bodies(&next), ["text 0"]);
    assert_eq!(next["next_page_uri"], Value::Null);
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_twilios_codes() -> Outcome {
    let folder = Folder::new("errors");
    let sandbox = start(&folder, FaultPlan::none())?;
    let address = sandbox.address();
    let long = "A".repeat(1_601);
    let (to, from, body) = (("To", "+15005550006"), ("From", FROM), ("Body", "hi"));
    let cases: [(&[(&str, &str)], u64); 8] = [
        (&[("To", "hello"), from, body], 21211),
        (&[from, body], 21604),
        (&[to, body], 21603),
        (&[to, ("From", "+15005550002"), body], 21606),
        (&[to, ("MessagingServiceSid", "MG1"), body], 21703),
        (&[to, from], 21602),
        (&[to, from, ("Body", &long)], 21617),
        (
            &[to, from, body, ("StatusCallback", "https://example.com/")],
            21609,
        ),
    ];
    for (form, code) in cases {
        let answer = create(address, form)?;
        assert_eq!(
            (answer.status(), &answer.json()?["code"]),
            ("400", &Value::from(code))
        );
    }
    let path = format!("POST /2010-04-01/Accounts/{SID}/Messages.json");
    let wrong = request(address, &path, "wrong", &[to, from, body])?;
    assert_eq!(
        (wrong.status(), &wrong.json()?["code"]),
        ("401", &Value::from(20003))
    );
    let unknown = get(
        address,
        &format!("/2010-04-01/Accounts/{SID}/Messages/SM0.json"),
    )?;
    assert_eq!(
        (unknown.status(), &unknown.json()?["code"]),
        ("404", &Value::from(20404))
    );
    let statistics = get(address, "/sandbox/statistics")?.json()?;
    assert_eq!(statistics["accounts"][0]["refused"], 8);
    assert_eq!(statistics["accounts"][0]["texts_taken"], 0);
    assert_eq!(statistics["unauthenticated"], 1);
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn a_cut_line_is_a_reset_and_the_text_is_taken() -> Outcome {
    let folder = Folder::new("cut");
    let sandbox = start(
        &folder,
        FaultPlan {
            cut_after: 1.0,
            ..FaultPlan::none()
        },
    )?;
    let form = [("To", "+15005550006"), ("From", FROM), ("Body", "hi")];
    let error = create(sandbox.address(), &form)
        .err()
        .ok_or("no answer may come")?;
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::ConnectionReset));
    let list = format!("/2010-04-01/Accounts/{SID}/Messages.json?To=%2B15005550006");
    let listed = get(sandbox.address(), &list)?.json()?;
    assert_eq!(listed["messages"].as_array().map(Vec::len), Some(1));
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn a_second_sandbox_on_the_same_book_or_port_is_refused() -> Outcome {
    let folder = Folder::new("twice");
    let sandbox = start(&folder, FaultPlan::none())?;
    assert!(start(&folder, FaultPlan::none()).is_err());
    let elsewhere = Folder::new("twice-elsewhere");
    let taken = Sandbox::start(SandboxConfig {
        listen: sandbox.address(),
        accounts: vec![AccountConfig::new(SID, TOKEN, &[FROM])],
        book_folder: elsewhere.0.clone(),
        seed: 0,
        faults: FaultPlan::none(),
        threads: 1,
    });
    let message = taken
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        message.contains(&sandbox.address().to_string()),
        "{message}"
    );
    sandbox.shutdown()?;
    Ok(())
}

#[test]
fn the_bare_counter_counts_and_answers_like_a_taken_text() -> Outcome {
    let counter = BareCounter::start(SocketAddr::from(([127, 0, 0, 1], 0)), 1)?;
    let form = [("To", "+15005550006"), ("From", FROM), ("Body", "hi")];
    let first = create(counter.address(), &form)?;
    let second = create(counter.address(), &form)?;
    assert_eq!(first.status(), "201");
    assert_eq!(first.json()?["status"], "queued");
    assert_ne!(first.json()?["sid"], second.json()?["sid"]);
    assert_eq!(counter.count(), 2);
    Ok(())
}

#[test]
fn a_config_file_is_read_strictly() -> Outcome {
    let config: SandboxConfig = toml::from_str(
        r#"
        book_folder = "book"
        faults = "realistic"
        [[accounts]]
        account_sid = "AC1"
        auth_token = "secret"
        senders = ["+15005550001"]
        segments_per_second = 1000
        faults = { undelivered = 0.5 }
        "#,
    )?;
    config.check()?;
    assert_eq!(config.faults, FaultPlan::realistic());
    let plan = config
        .accounts
        .first()
        .and_then(|account| account.faults.clone());
    assert_eq!(
        plan,
        Some(FaultPlan {
            undelivered: 0.5,
            ..FaultPlan::none()
        })
    );
    let written: SandboxConfig = toml::from_str(&toml::to_string(&config)?)?;
    assert_eq!(format!("{written:?}"), format!("{config:?}"));
    assert!(!format!("{config:?}").contains("secret"));
    assert!(toml::from_str::<SandboxConfig>("book_folder = \"b\"\naccounts = []\nx = 1").is_err());
    assert!(
        toml::from_str::<SandboxConfig>("book_folder = \"b\"\naccounts = []")?
            .check()
            .is_err()
    );
    Ok(())
}
