//! Real servers for tests: Apache Kafka and Apache Cassandra, from their published
//! packages, without containers.
//!
//! One test binary shares one set of them, started when first asked for; its tests use
//! topics and keyspaces with names of their own. Tests that kill a server start their own.
//! Every server ends with the test process, also when that is killed.

pub mod authority;
pub mod cassandra;
pub mod clients;
pub mod cql;
pub mod ground;
mod jars;
pub mod kafka;
mod server;

use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use self::cassandra::Cassandra;
use self::kafka::Kafka;
pub use self::server::ask_until;

/// The environment variable with which a skipped test is a failure.
const REQUIRE_TOOLS: &str = "VOLLEY_REQUIRE_TOOLS";

/// The one broker that the tests of this binary share, with all of its doors, or `None` where the tools for it are
/// missing, and that was told.
pub fn kafka() -> Option<&'static Kafka> {
    static SHARED: OnceLock<Option<Kafka>> = OnceLock::new();
    SHARED.get_or_init(Kafka::start_with_doors).as_ref()
}

/// The one Cassandra node that the tests of this binary share, or `None` where the tools
/// for it are missing, and that was told.
pub fn cassandra() -> Option<&'static Cassandra> {
    static SHARED: OnceLock<Option<Cassandra>> = OnceLock::new();
    SHARED.get_or_init(Cassandra::start).as_ref()
}

/// The same of one that speaks TLS only and knows its users.
pub fn locked_cassandra() -> Option<&'static Cassandra> {
    static SHARED: OnceLock<Option<Cassandra>> = OnceLock::new();
    SHARED.get_or_init(Cassandra::start_locked).as_ref()
}

/// Both that the tests of this binary share, or `None` where the tools for one are missing, and
/// that was told.
pub fn servers() -> Option<(&'static Cassandra, &'static Kafka)> {
    Some((cassandra()?, kafka()?))
}

/// Tells of a skipped test.
fn needed(class_path: Option<String>) -> Option<String> {
    if class_path.is_none() {
        let is_required = std::env::var_os(REQUIRE_TOOLS).is_some();
        assert!(!is_required, "needs Java 17 and Maven");
        // Not with a macro: of a test that passes, what those say is shown to nobody.
        let _ = std::io::stderr().write_all(b"skipped: needs Java 17 and Maven\n");
    }
    class_path
}

/// Where this program was compiled to: a real disk, and nothing that anybody keeps.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    // Below it are the profile, for tests `deps`, and the program.
    let mut folders = program.ancestors().skip(1);
    let profile = folders.find(|folder| !folder.ends_with("deps"));
    let target = profile.and_then(std::path::Path::parent);
    target.expect("it lies in a target folder").to_owned()
}
