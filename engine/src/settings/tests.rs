//! What an operator sees: defaults, layers, and errors that name the place.

mod security;

use std::io::Write;
use std::time::Duration;

use super::{Overrides, Settings, SettingsError};

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(None, variables(pairs))
}

fn from_file(text: &str) -> Result<Settings, SettingsError> {
    let path = std::env::temp_dir().join(format!(
        "volley-settings-{}-{:?}.toml",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let settings = Settings::load(Some(&path), variables(&[]));
    std::fs::remove_file(&path).expect("removed");
    settings
}

fn message(settings: Result<Settings, SettingsError>) -> String {
    settings.expect_err("an error").to_string()
}

#[test]
fn the_sample_is_the_default() {
    let settings = from_environment(&[]).expect("settings");
    assert_eq!(settings.node.data.to_str(), Some("volley-data"));
    assert_eq!(settings.node.partitions.get(), 8);
    assert!(settings.journal.trim);
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.http.public_url, None);
    assert_eq!(settings.http.json_limit_bytes, 256 * 1_024);
    assert_eq!(settings.http.import_limit_bytes, 4_096 * 1_024 * 1_024);
    assert_eq!(settings.retry.attempts, 3);
    assert_eq!(settings.retry.first_delay, Duration::from_secs(5));
    assert!(settings.cql.nodes.is_empty() && !settings.is_on_servers());
    assert_eq!(
        (settings.cql.keyspace.as_str(), settings.cql.replication),
        ("volley", 3)
    );
    assert_eq!(settings.kafka.owners.get(), 1);
    assert!(settings.providers.is_empty());
}

#[test]
fn there_are_as_many_owners_as_a_power_of_two() {
    let of = |owners| from_environment(&[("VOLLEY_KAFKA__OWNERS", owners)]);
    assert_eq!(of("4").expect("settings").kafka.owners.get(), 4);
    for owners in ["0", "3", "8192"] {
        let error = message(of(owners));
        assert!(error.contains("kafka.owners"), "{error}");
        assert!(error.contains("power of two"), "{error}");
    }
}

#[test]
fn the_cql_password_is_taken_and_never_shown() {
    let of = |password| {
        from_environment(&[
            ("VOLLEY_CQL__USER", "volley"),
            ("VOLLEY_CQL__PASSWORD", password),
        ])
    };
    for password in ["hunter2", "1234567", "0123"] {
        let settings = of(password).expect("settings");
        let taken = settings.cql.password.as_ref();
        assert_eq!(taken.map(schemas::Secret::expose), Some(password));
        assert!(!format!("{settings:?}").contains(password));
    }
    let error = message(from_file("[cql]\nuser = \"volley\"\npassword = 12.5"));
    assert!(
        error.contains("cql.password") && !error.contains("12.5"),
        "{error}"
    );
    let error = message(from_environment(&[("VOLLEY_CQL__USER", "volley")]));
    assert!(error.contains("`cql.password` is not set"), "{error}");
}

#[test]
fn names_of_cql_servers_and_keyspaces_are_checked() {
    for (name, text) in [
        ("VOLLEY_CQL__NODES", "[\"10.0.0.1\"]"),
        ("VOLLEY_CQL__NODES", "[\":9042\"]"),
        ("VOLLEY_CQL__KEYSPACE", "Volley"),
        ("VOLLEY_CQL__KEYSPACE", "v; DROP TABLE x"),
        ("VOLLEY_CQL__REPLICATION", "0"),
    ] {
        let error = message(from_environment(&[(name, text)]));
        assert!(error.contains("cql."), "{error}");
    }
    let nodes = (
        "VOLLEY_CQL__NODES",
        "[\"[::1]:9042\", \"db.example:19042\"]",
    );
    let ipv6 = from_environment(&[nodes]);
    assert_eq!(ipv6.expect("settings").cql.nodes.len(), 2);
}

#[cfg(feature = "cluster")]
#[test]
fn messages_live_on_servers_when_both_kinds_are_named() {
    let nodes = ("VOLLEY_CQL__NODES", "[\"10.0.0.1:9042\"]");
    let brokers = ("VOLLEY_KAFKA__BROKERS", "10.0.0.1:9092");
    let is_on_servers = |variables: &[(&str, &str)]| {
        let settings = from_environment(variables);
        settings.expect("settings").is_on_servers()
    };
    assert!(is_on_servers(&[nodes, brokers]));
    // Requests of other systems can be read into a data folder, and tables made from anywhere.
    assert!(!is_on_servers(&[brokers]));
    assert!(!is_on_servers(&[nodes]));
}

/// A commented key in the sample is a promise that the key exists.
#[test]
fn every_commented_key_of_the_sample_is_known() {
    let uncommented: String = super::SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest
            }
            Some("[[providers]]") => "[[providers]]",
            Some(_) | None => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let files = security::files_of_the_sample();
    let uncommented = uncommented
        .replace("/etc/volley", files.folder())
        .replace("tls = false", "tls = true");
    let settings = from_file(&as_this_build_takes_it(uncommented)).expect("settings");
    assert_eq!(
        settings.http.public_url.as_deref(),
        Some("https://sms.example.com")
    );
    assert!(settings.cql.tls.is_some());
    assert_eq!(settings.providers.len(), 1);
}

/// Without what a build without TLS to Kafka refuses, by the names of these very keys.
fn as_this_build_takes_it(sample: String) -> String {
    if cfg!(feature = "kafka-tls") {
        return sample;
    }
    let (kafka, rest) = sample.split_once("[retry]").expect("a section");
    let refused = |line: &str| line.starts_with("tls = ") || line.contains("_file = ");
    let lines = kafka.lines().map(|line| match refused(line) {
        true if line.starts_with("tls") => "tls = false\n".to_owned(),
        true => "\n".to_owned(),
        false => line.replace("SCRAM-SHA-512", "PLAIN") + "\n",
    });
    lines.collect::<String>() + "[retry]" + rest
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let path = std::env::temp_dir().join(format!("volley-layers-{}.toml", std::process::id()));
    std::fs::write(&path, "[http]\nlisten = \"127.0.0.1:1\"\nworkers = 3\n").expect("written");
    let environment = variables(&[("VOLLEY_HTTP__LISTEN", "127.0.0.1:2")]);
    let of_both = Settings::load(Some(&path), environment.clone()).expect("settings");
    let overrides = Overrides {
        data: Some("elsewhere".into()),
        listen: Some("127.0.0.1:3".to_owned()),
    };
    let of_all = Settings::load_with(Some(&path), environment, &overrides).expect("settings");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!((of_both.http.listen.port(), of_both.http.workers), (2, 3));
    assert_eq!(of_all.http.listen.port(), 3);
    assert_eq!(of_all.node.data.to_str(), Some("elsewhere"));
}

#[test]
fn variables_have_the_type_of_their_key() {
    let settings = from_environment(&[
        ("VOLLEY_NODE__PARTITIONS", "64"),
        ("VOLLEY_NODE__DATA", "1234"),
        ("VOLLEY_JOURNAL__TRIM", "false"),
        ("VOLLEY_RETRY__FIRST_DELAY_SECONDS", "2"),
        ("VOLLEY_PORT", "tcp://10.0.0.1:80"),
        ("HOME", "/root"),
    ])
    .expect("settings");
    assert_eq!(settings.node.partitions.get(), 64);
    assert_eq!(settings.node.data.to_str(), Some("1234"));
    assert!(!settings.journal.trim);
    assert_eq!(settings.retry.first_delay, Duration::from_secs(2));
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    let of_file = message(from_file("[http]\nlisen = \"127.0.0.1:1\"\n"));
    assert!(
        of_file.contains(".toml: unknown setting `http.lisen`"),
        "{of_file}"
    );
    assert!(
        of_file.ends_with("did you mean `http.listen`?"),
        "{of_file}"
    );
    let section = message(from_file("[htp]\n"));
    assert!(
        section.ends_with("unknown setting `htp`, did you mean `http`?"),
        "{section}"
    );
    assert_eq!(
        message(from_environment(&[("VOLLEY_RETRY__ATTEMPS", "3")])),
        "environment variable VOLLEY_RETRY__ATTEMPS: unknown setting `retry.attemps`, \
         did you mean `retry.attempts`?"
    );
    let single = message(from_environment(&[("VOLLEY_HTTP_LISTEN", "x")]));
    assert!(
        single.ends_with("did you mean `VOLLEY_HTTP__LISTEN`?"),
        "{single}"
    );
    let far = message(from_file("[http]\nqqq = 1\n"));
    assert!(far.ends_with("unknown setting `http.qqq`"), "{far}");
}

#[test]
fn bad_values_name_key_problem_and_source() {
    assert_eq!(
        message(from_environment(&[("VOLLEY_NODE__PARTITIONS", "12")])),
        "environment variable VOLLEY_NODE__PARTITIONS: `node.partitions`: the number of \
         partitions must be a power of two from 1 to 4096, not 12"
    );
    for (text, part) in [
        (
            "[http]\nlisten = \"localhost\"\n",
            "`http.listen`: is not an IP address and a port",
        ),
        (
            "[http]\nworkers = \"many\"\n",
            "`http.workers`: invalid type: string",
        ),
        (
            "[http]\nworkers = -1\n",
            "`http.workers`: invalid value: integer `-1`",
        ),
        (
            "[http]\njson_limit_kib = 0\n",
            "`http.json_limit_kib`: is less than 1 KiB",
        ),
        (
            "[http]\npublic_url = \"ftp://x\"\n",
            "`http.public_url`: must be http://",
        ),
        (
            "[retry]\nattempts = 0\n",
            "`retry.attempts`: is not from 1 to 10",
        ),
        (
            "[retry]\nfirst_delay_seconds = -1\n",
            "is not from 0 to 3600 seconds",
        ),
        ("[node]\ndata = \"\"\n", "`node.data`: names no folder"),
        ("http = 3\n", "`http`: is a section"),
        ("providers = 3\n", "`providers`: is a list of tables"),
        (
            "[[providers]]\nkind = \"twilio\"\n",
            "`providers[0].name`: is not set",
        ),
        (
            "[[providers]]\nname = \"A b\"\n",
            "`providers[0].name`: is not a text of",
        ),
        (
            "[[providers]]\nname = \"a\"\n",
            "`providers.a`: missing field",
        ),
        (
            "[[providers]]\nname = \"a\"\nkind = \"twilio\"\nrate = 1.0\nsenders = [\"x\"]\n[[providers]]\nname = \"a\"\n",
            "`providers[1].name`: is the name of another account too",
        ),
    ] {
        let error = message(from_file(text));
        assert!(error.contains(part), "{error}");
        assert!(error.contains(".toml"), "{error}");
    }
    let syntax = message(from_file("[http]\n\nlisten = \"secret-of-line-three\n"));
    assert!(syntax.contains("line 3: not valid TOML"), "{syntax}");
    assert!(!syntax.contains("secret-of-line-three"), "{syntax}");
    let missing = Settings::load(Some("/nowhere/volley.toml".as_ref()), variables(&[]));
    assert!(message(missing).contains("/nowhere/volley.toml"));
}

#[test]
fn twilios_own_variables_make_a_provider_account() {
    let customary = [
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", "a-token"),
        ("TWILIO_PHONE_NUMBER", "+15005550006"),
    ];
    let settings = from_environment(&customary).expect("settings");
    let [account] = settings.providers.as_slice() else {
        panic!("one account");
    };
    assert_eq!(account.name, "twilio");
    assert_eq!(account.rate.to_string(), "1");
    let senders = account.senders.iter().map(|sender| sender.name());
    assert_eq!(senders.collect::<Vec<_>>(), ["+15005550006"]);
    assert!(!format!("{settings:?}").contains("a-token"));

    let faster = [
        &customary[..],
        &[("VOLLEY_PROVIDERS__TWILIO__RATE", "20.5")],
    ]
    .concat();
    let settings = from_environment(&faster).expect("settings");
    assert_eq!(settings.providers[0].rate.to_string(), "20.5");

    let incomplete = message(from_environment(&customary[..2]));
    assert!(
        incomplete.starts_with("`TWILIO_PHONE_NUMBER` is not set"),
        "{incomplete}"
    );
    let nobody = message(from_environment(&[("VOLLEY_PROVIDERS__MAIN__RATE", "1")]));
    assert!(nobody.contains("providers.main"), "{nobody}");
}
