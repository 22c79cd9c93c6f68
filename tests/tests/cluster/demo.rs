//! The demonstration on servers: its books balance, and it leaves a deployment that uses the same
//! servers alone.

use std::process::Command;

use engine::runtime::Runtime;
use tests::backends::ground::Ground;
use tests::backends::servers;
use tests::fixture;
use tests::rows;

/// Recipients; of one in some hundred the number is no number, and of some two are one person.
const RECIPIENTS: &str = "300";

#[test]
fn the_books_balance_on_servers() {
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "demo-on-servers");
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    let ground = tasks.block_on(Ground::make(cassandra, kafka, "demonstrated", &runtime));
    let settings = folder.join("servers.toml");
    std::fs::write(&settings, ground.sections()).expect("it is written");
    let output = Command::new(env!("CARGO_BIN_EXE_node"))
        .env_clear()
        .args(["demo", "--json", "--recipients", RECIPIENTS, "--cluster"])
        .arg(&settings)
        .arg("--data")
        .arg(folder.join("demo"))
        .output()
        .expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("on servers: keyspace demo_"), "{told}");
    let balance: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(balance["balanced"], true);
    assert!(
        balance["total_recipients"].as_u64() > Some(250),
        "{balance}"
    );
    let campaign = tasks.block_on(async {
        let store = ground.store(&runtime).await;
        rows::only_campaign(&store).await
    });
    assert!(campaign.is_none(), "it has a keyspace of its own");
}
