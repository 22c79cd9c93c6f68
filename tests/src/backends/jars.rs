//! The servers' programs: resolved with Maven once, kept in a cache of the user.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies everything that a pom depends on at run time. The full name, so that no pom has
/// to say which version of the plugin is meant.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// The oldest Java that both servers' class files run on.
const JAVA: u32 = 17;

/// One server's jars.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    /// Name and version, as the folder in the cache is called.
    pub name: &'static str,
    /// What to resolve.
    pub pom: &'static str,
}

/// Apache Kafka.
pub(super) const KAFKA: Package = Package {
    name: "kafka-4.4.0",
    pom: include_str!("kafka-pom.xml"),
};

/// Apache Cassandra.
pub(super) const CASSANDRA: Package = Package {
    name: "cassandra-5.0.9",
    pom: include_str!("cassandra-pom.xml"),
};

impl Package {
    /// Java's class path of this server, or `None` where Java, or Maven for the first time,
    /// is missing.
    ///
    /// # Panics
    /// When Maven is there and fails: no network, most likely.
    pub fn class_path(self) -> Option<String> {
        if !has_java() {
            return None;
        }
        let cache = cache();
        let jars = cache.join(self.name);
        fs::create_dir_all(&cache).expect("the cache can be written");
        // Two test processes at once: the second finds what the first resolved.
        let lock = File::create(cache.join(format!("{}.lock", self.name)));
        let lock = lock.expect("the cache can be written");
        lock.lock().expect("a file can be locked");
        if !jars.exists() {
            if !answers("mvn", "-version") {
                return None;
            }
            self.resolve(&cache, &jars);
        }
        Some(format!("{}/*", jars.display()))
    }

    fn resolve(self, cache: &Path, jars: &Path) {
        let work = cache.join(format!("{}.new", self.name));
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).expect("the cache can be written");
        fs::write(work.join("pom.xml"), self.pom).expect("the cache can be written");
        let into = work.join("lib");
        let output = Command::new("mvn")
            .args(["-B", "-q", COPY, "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", into.display()))
            .current_dir(&work)
            .output()
            .expect("Maven starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "Maven: {said}");
        // Half of the jars never look like all of them.
        fs::rename(into, jars).expect("a folder can be moved");
        let _ = fs::remove_dir_all(&work);
    }
}

/// Where the jars are kept, beside the caches of other programs.
pub(super) fn cache() -> PathBuf {
    let of_user = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    of_user
        .unwrap_or_else(super::target_folder)
        .join("volley-backends")
}

fn answers(program: &str, question: &str) -> bool {
    let answer = Command::new(program).arg(question).output();
    answer.is_ok_and(|output| output.status.success())
}

/// Whether there is a Java that is new enough. It tells its version in quotes, as
/// `version "17.0.15"`.
fn has_java() -> bool {
    let Ok(output) = Command::new("java").arg("-version").output() else {
        return false;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = said.split('"').nth(1).unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default().parse();
    major.is_ok_and(|major: u32| major >= JAVA)
}
