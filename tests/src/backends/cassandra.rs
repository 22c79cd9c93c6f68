//! A real Apache Cassandra, one node.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::settings::{CqlSettings, TlsSettings};
use schemas::Secret;

use super::authority::{Authority, Certificate};
use super::cql::{CqlConnection, Hello};
use super::jars;
use super::server::{Home, Server};
use crate::port::Port;

/// A small heap, and what Cassandra asks of every Java. Nothing here makes it less
/// durable: `unsafesystem` once lost a whole keyspace to a kill.
const JAVA: [&str; 17] = [
    "-Xms128m",
    "-Xmx768m",
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xss512k",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.useCacheForAllThreads=true",
    "-Dio.netty.allocator.maxOrder=11",
    "-Dcassandra-foreground=yes",
    "-Djava.net.preferIPv4Stack=true",
    // It is alone: there is nobody to wait for.
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.consistent.rangemovement=false",
    "-Dcassandra.shutdown_announce_in_ms=200",
];

/// Parts of Java that it looks into.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
];

/// Parts of Java that it reaches into by reflection.
const OPENS: [&str; 17] = [
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "jdk.management/com.sun.management.internal",
    "jdk.compiler/com.sun.tools.javac",
];

/// Warnings to the node's log file, which a failed start shows.
const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %p %logger{0}: %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"#;

/// Who may come in where not everybody may: a user that is made, with a password that no log
/// may show.
pub const USER: &str = "volley";
/// See [`USER`].
pub const PASSWORD: &str = "staple-horse-battery";

/// The user that every Cassandra begins with, and its password.
const FIRST: &str = "cassandra";

/// A node that runs until this is dropped or the test process ends.
#[derive(Debug)]
pub struct Cassandra {
    /// Of one that takes TLS and known users only.
    certificate: Option<(Authority, Certificate)>,
    /// `None` while it is down.
    server: Mutex<Option<Server>>,
    cql: Port,
    storage: Port,
    management: Port,
    class_path: String,
    jars: String,
    home: Home,
}

impl Cassandra {
    /// Starts one node on an empty folder and waits until it answers a query. `None` where
    /// the tools for it are missing, and that was told.
    ///
    /// # Panics
    /// When it cannot be started, and where missing tools are a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| None)
    }

    /// The same with a node that takes TLS only, and nobody but [`USER`].
    ///
    /// # Panics
    /// As [`Cassandra::start`].
    pub fn start_locked() -> Option<Self> {
        let cassandra = Self::start_with(|folder| {
            let (authority, [node]) = Authority::make(folder, ["cassandra"]);
            Some((authority, node))
        })?;
        let role = format!("CREATE ROLE {USER} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true");
        let made = cassandra.connect().and_then(|mut node| node.query(&role));
        made.expect("a role is made");
        Some(cassandra)
    }

    fn start_with(certificate: impl Fn(&Path) -> Option<(Authority, Certificate)>) -> Option<Self> {
        let class_path = super::needed(jars::CASSANDRA.class_path())?;
        let jars = class_path.trim_end_matches('*').to_owned();
        let home = Home::new("cassandra");
        let cassandra = Self {
            certificate: certificate(&home.folder),
            server: Mutex::new(None),
            cql: Port::reserve(),
            storage: Port::reserve(),
            management: Port::reserve(),
            class_path,
            jars,
            home,
        };
        let files = [
            ("cassandra.yaml", cassandra.yaml()),
            ("logback.xml", LOGGING.to_owned()),
        ];
        for (name, text) in files {
            fs::write(cassandra.home.folder.join(name), text).expect("it can be written");
        }
        cassandra.restart();
        Some(cassandra)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cql.number))
    }

    /// What leads a client to a keyspace in it.
    pub fn settings(&self, keyspace: &str) -> CqlSettings {
        let is_locked = self.certificate.is_some();
        let tls = self.certificate.as_ref().map(|(authority, _)| TlsSettings {
            ca_file: Some(authority.file()),
        });
        CqlSettings {
            nodes: vec![self.address().to_string()],
            keyspace: keyspace.to_owned(),
            replication: 1,
            user: is_locked.then(|| USER.to_owned()),
            password: is_locked.then(|| Secret::new(PASSWORD)),
            tls,
        }
    }

    /// A connection of no driver of ours, as the first user where it must be known.
    fn connect(&self) -> io::Result<CqlConnection> {
        match &self.certificate {
            None => CqlConnection::open(self.address()),
            Some((authority, _)) => {
                let hello = Hello {
                    authority: &authority.file(),
                    user: FIRST,
                    password: FIRST,
                };
                CqlConnection::open_locked(self.address(), &hello)
            }
        }
    }

    /// Stops it with SIGTERM and waits until it has ended, some four seconds.
    pub fn stop(&self) {
        self.server().take().expect("it runs").stop();
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        self.server().take().expect("it runs").kill();
    }

    /// Starts it again where it is down, on its folder and ports, and waits until it
    /// answers a query.
    pub fn restart(&self) {
        let mut server = self.server();
        let started = || Server::start(&self.home, "node", &self.arguments());
        let server = server.get_or_insert_with(started);
        server.run_until(|| {
            let asked = self.connect();
            let asked = asked.and_then(|mut node| node.query("SELECT key FROM system.local"));
            asked.is_ok_and(|rows| rows.len() == 1)
        });
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.server().as_ref().expect("it runs").id()
    }

    /// Freezes it with SIGSTOP: it holds its connections and answers nothing.
    pub fn freeze(&self) {
        self.server().as_ref().expect("it runs").freeze();
    }

    /// Lets it go on with SIGCONT.
    pub fn thaw(&self) {
        self.server().as_ref().expect("it runs").thaw();
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arguments(&self) -> Vec<String> {
        let folder = self.home.folder.display();
        let mut arguments: Vec<String> = JAVA.map(str::to_owned).to_vec();
        arguments.extend([
            format!("-javaagent:{}jamm-0.4.0.jar", self.jars),
            format!("-Dcassandra.config=file://{folder}/cassandra.yaml"),
            format!("-Dcassandra.storagedir={folder}"),
            format!("-Dlogback.configurationFile={folder}/logback.xml"),
            format!("-Dcassandra.jmx.local.port={}", self.management.number),
            format!("-Djava.io.tmpdir={folder}"),
        ]);
        let exports = EXPORTS.map(|part| format!("--add-exports={part}=ALL-UNNAMED"));
        let opens = OPENS.map(|part| format!("--add-opens={part}=ALL-UNNAMED"));
        arguments.extend(exports.into_iter().chain(opens));
        arguments.extend(["-cp".to_owned(), self.class_path.clone()]);
        arguments.push("org.apache.cassandra.service.CassandraDaemon".to_owned());
        arguments
    }

    /// `commitlog_sync: batch`: what was acknowledged survives a kill; the default, periodic,
    /// loses seconds of it.
    fn yaml(&self) -> String {
        let folder = self.home.folder.display();
        let (cql, storage) = (self.cql.number, self.storage.number);
        let locked = self.certificate.as_ref();
        let locked = locked.map_or_else(String::new, |(_, certificate)| {
            format!(
                "authenticator: PasswordAuthenticator\n\
                 client_encryption_options: {{enabled: true, optional: false, keystore: {}, \
                 ssl_context_factory: {{class_name: \
                 org.apache.cassandra.security.PEMBasedSslContextFactory}}}}\n",
                certificate.both.display()
            )
        });
        format!(
            "cluster_name: volley-tests\nnum_tokens: 1\n\
             initial_token: \"-9223372036854775808\"\n\
             partitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
             endpoint_snitch: SimpleSnitch\ndynamic_snitch: false\nauto_bootstrap: false\n\
             seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, \
             parameters: [{{seeds: \"127.0.0.1:{storage}\"}}]}}]\n\
             listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\n\
             storage_port: {storage}\nnative_transport_port: {cql}\n\
             data_file_directories: [{folder}/data]\n\
             commitlog_directory: {folder}/commitlog\n\
             saved_caches_directory: {folder}/saved_caches\n\
             hints_directory: {folder}/hints\ncdc_raw_directory: {folder}/cdc_raw\n\
             commitlog_sync: batch\ncommitlog_segment_size: 8MiB\n\
             commitlog_total_space: 128MiB\nmemtable_allocation_type: heap_buffers\n\
             memtable_heap_space: 96MiB\nmemtable_offheap_space: 32MiB\n\
             memtable_flush_writers: 1\nfile_cache_size: 32MiB\n\
             networking_cache_size: 32MiB\nkey_cache_size: 4MiB\ncounter_cache_size: 0MiB\n\
             concurrent_reads: 16\nconcurrent_writes: 32\nconcurrent_compactors: 1\n\
             native_transport_max_threads: 32\ncompaction_throughput: 0MiB/s\n\
             auto_snapshot: false\nstorage_compatibility_mode: NONE\npaxos_variant: v2\n\
             read_request_timeout: 5000ms\nwrite_request_timeout: 5000ms\n\
             cas_contention_timeout: 5000ms\nrange_request_timeout: 10000ms\n\
             request_timeout: 10000ms\n{locked}"
        )
    }
}
