//! A real Apache Kafka: one or three processes, each broker and controller.

pub mod doors;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::settings::{KafkaSecurity, KafkaSettings};

use self::doors::Doors;
use super::jars;
use super::server::{Home, Server};
use crate::port::Port;

/// The id of every cluster of the tests, 16 bytes in base64.
const CLUSTER: &str = "dm9sbGV5LXRlc3RzLTAwMQ";

/// Small and quick to start: these brokers live for minutes.
const JAVA: [&str; 5] = [
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.net.preferIPv4Stack=true",
];

/// Warnings to the broker's log file, which a failed start shows.
const LOGGING: &str = "rootLogger.level = warn\nrootLogger.appenderRef.out.ref = out\n\
    appender.out.type = Console\nappender.out.name = out\n\
    appender.out.layout.type = PatternLayout\n\
    appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n\n";

/// How long a broker may take to answer one question before it is asked again.
const ANSWER: Duration = Duration::from_millis(500);

/// Kafka's tool that creates, alters and deletes topics, for [`Kafka::tool`].
pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// Kafka's producer that sends each line of its input.
pub const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";

/// Kafka's consumer that prints what it reads.
pub const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// Brokers that run until this is dropped or the test process ends.
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<Broker>,
    /// For whom must be known, beside the plain ones.
    doors: Option<Doors>,
    class_path: String,
    home: Home,
}

#[derive(Debug)]
struct Broker {
    /// For clients.
    port: Port,
    /// For the other controllers.
    controller: Port,
    /// `None` while it is down.
    server: Mutex<Option<Server>>,
}

impl Broker {
    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kafka {
    /// Starts so many brokers, one or three, on an empty folder, and waits until each of
    /// them knows all. `None` where the tools for it are missing, and that was told.
    ///
    /// # Panics
    /// When it cannot be started, and where missing tools are a failure.
    pub fn start(brokers: usize) -> Option<Self> {
        Self::start_with(brokers, |_| None)
    }

    /// The same with one broker that has further doors, for whom must be known.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    pub fn start_with_doors() -> Option<Self> {
        Self::start_with(1, |folder| Some(Doors::new(folder)))
    }

    fn start_with(brokers: usize, doors: impl Fn(&Path) -> Option<Doors>) -> Option<Self> {
        let class_path = super::needed(jars::KAFKA.class_path())?;
        let broker = |_| Broker {
            port: Port::reserve(),
            controller: Port::reserve(),
            server: Mutex::new(None),
        };
        let home = Home::new("kafka");
        let kafka = Self {
            brokers: (0..brokers).map(broker).collect(),
            doors: doors(&home.folder),
            class_path,
            home,
        };
        let logging = kafka.home.folder.join("log4j2.properties");
        fs::write(logging, LOGGING).expect("a file can be written");
        for index in 0..brokers {
            fs::write(kafka.settings_file(index), kafka.properties(index))
                .expect("it can be written");
            kafka.format(index);
        }
        kafka.restart_all();
        Some(kafka)
    }

    /// Where clients begin: every broker, `host:port,…`.
    pub fn bootstrap(&self) -> String {
        let address = |broker: &Broker| format!("127.0.0.1:{}", broker.port.number);
        let addresses: Vec<_> = self.brokers.iter().map(address).collect();
        addresses.join(",")
    }

    /// What leads a client to topics of this prefix, by the plain door.
    pub fn settings(&self, prefix: &str) -> KafkaSettings {
        KafkaSettings {
            brokers: Some(self.bootstrap()),
            prefix: prefix.to_owned(),
            replication: Some(1),
            owners: schemas::PartitionCount::ONE,
            security: KafkaSecurity::default(),
        }
    }

    /// The doors for whom must be known.
    ///
    /// # Panics
    /// When it was started without.
    pub fn doors(&self) -> &Doors {
        self.doors.as_ref().expect("it has some")
    }

    /// Stops a broker with SIGTERM and waits until it has ended. The first is 0.
    pub fn stop(&self, broker: usize) {
        self.take(broker).stop();
    }

    /// Kills a broker with SIGKILL.
    pub fn kill(&self, broker: usize) {
        self.take(broker).kill();
    }

    /// Starts a broker again where it is down, on its folder and ports, and waits until it
    /// knows itself and all others that run.
    pub fn restart(&self, broker: usize) {
        self.launch(broker);
        self.run_until_ready(broker);
    }

    /// The same with every broker that is down, side by side.
    pub fn restart_all(&self) {
        let all = 0..self.brokers.len();
        all.clone().for_each(|broker| self.launch(broker));
        all.for_each(|broker| self.run_until_ready(broker));
    }

    /// A broker's process id.
    pub fn process(&self, broker: usize) -> u32 {
        let server = self.brokers[broker].server();
        server.as_ref().expect("it runs").id()
    }

    /// Freezes a broker with SIGSTOP: it holds its connections and answers nothing.
    pub fn freeze(&self, broker: usize) {
        let server = self.brokers[broker].server();
        server.as_ref().expect("it runs").freeze();
    }

    /// Lets a frozen broker go on with SIGCONT, and waits until it is one again: its controller has
    /// fenced it when it was silent for longer than a session of brokers, 9 s, and until it is let in
    /// again its partitions have no leader.
    pub fn thaw(&self, broker: usize) {
        let server = self.brokers[broker].server();
        server.as_ref().expect("it runs").thaw();
        drop(server);
        self.run_until_ready(broker);
    }

    /// Whether a broker answers within half a second.
    pub fn answers(&self, broker: usize) -> bool {
        known_brokers(self.brokers[broker].port.number).is_some()
    }

    /// Where the brokers keep everything.
    pub fn folder(&self) -> &Path {
        &self.home.folder
    }

    /// Runs one of Kafka's own command-line tools by its class, without what says where
    /// the brokers are, and hands it `input`. The answer is what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn tool(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let mut tool = Command::new("java")
            .args(JAVA)
            .args(["-cp", &self.class_path, class])
            .args(["--bootstrap-server", &self.bootstrap()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Java starts");
        let mut stdin = tool.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = tool.wait_with_output().expect("it ends");
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class}: {problems}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn take(&self, broker: usize) -> Server {
        self.brokers[broker].server().take().expect("it runs")
    }

    fn settings_file(&self, broker: usize) -> PathBuf {
        self.home.folder.join(format!("broker-{broker}.properties"))
    }

    /// Writes the cluster's id into a broker's empty folder.
    fn format(&self, broker: usize) {
        let output = Command::new("java")
            .args(JAVA)
            .args(["-cp", &self.class_path, "kafka.tools.StorageTool"])
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.settings_file(broker))
            .args(self.doors.iter().flat_map(|_| Doors::users()))
            .output()
            .expect("Java starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "formatting a broker: {said}");
    }

    fn launch(&self, broker: usize) {
        let mut server = self.brokers[broker].server();
        if server.is_some() {
            return;
        }
        let mut arguments: Vec<String> = JAVA.map(str::to_owned).to_vec();
        let logging = self.home.folder.join("log4j2.properties");
        arguments.push(format!("-Dlog4j2.configurationFile={}", logging.display()));
        arguments.extend(["-cp".to_owned(), self.class_path.clone()]);
        arguments.push("kafka.Kafka".to_owned());
        arguments.push(self.settings_file(broker).display().to_string());
        let name = format!("broker-{broker}");
        *server = Some(Server::start(&self.home, &name, &arguments));
    }

    fn run_until_ready(&self, broker: usize) {
        let running = |broker: &&Broker| broker.server().is_some();
        let wanted: Vec<u16> = self
            .brokers
            .iter()
            .filter(running)
            .map(|broker| broker.port.number)
            .collect();
        let port = self.brokers[broker].port.number;
        let mut server = self.brokers[broker].server();
        let is_ready = || {
            let known = known_brokers(port).unwrap_or_default();
            wanted.iter().all(|port| known.contains(port))
        };
        server.as_mut().expect("it was started").run_until(is_ready);
    }

    fn properties(&self, broker: usize) -> String {
        let controller = |(index, broker): (usize, &Broker)| {
            format!("{}@127.0.0.1:{}", index + 1, broker.controller.number)
        };
        let controllers: Vec<_> = self.brokers.iter().enumerate().map(controller).collect();
        let own = &self.brokers[broker];
        let replicas = self.brokers.len();
        let in_sync = replicas.saturating_sub(1).max(1);
        let (port, controller) = (own.port.number, own.controller.number);
        let doors = self.doors.as_ref();
        let (doors, of_doors) = doors.map_or_else(Default::default, |doors| {
            (doors.listeners(), doors.broker_settings())
        });
        format!(
            "process.roles=broker,controller\nnode.id={id}\n\
             controller.quorum.voters={voters}\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{doors}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{doors}\n{of_doors}\
             inter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,\
             SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL\n\
             log.dirs={folder}\nauto.create.topics.enable=false\n\
             offsets.topic.num.partitions=4\noffsets.topic.replication.factor={replicas}\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             share.coordinator.state.topic.num.partitions=1\n\
             share.coordinator.state.topic.replication.factor={replicas}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=10485760\nlog.segment.bytes=67108864\n\
             log.index.size.max.bytes=1048576\n\
             broker.session.timeout.ms=1500\nbroker.heartbeat.interval.ms=250\n\
             controller.quorum.election.timeout.ms=500\n\
             controller.quorum.fetch.timeout.ms=1000\nreplica.lag.time.max.ms=5000\n",
            id = broker + 1,
            voters = controllers.join(","),
            folder = self.home.folder.join(format!("data-{broker}")).display(),
        )
    }
}

/// The ports of the brokers that a broker knows to be alive: Metadata, version 1, asked for
/// no topic. `None` while it does not answer.
fn known_brokers(port: u16) -> Option<Vec<u16>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    // API 3, version 1, correlation 7, no client id, no topics.
    let request = [0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 0, 0, 0, 0];
    stream
        .write_all(&(request.len() as u32).to_be_bytes())
        .ok()?;
    stream.write_all(&request).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    stream.read_exact(&mut answer).ok()?;
    let mut rest = Fields(answer.get(4..)?);
    let brokers = rest.int()?;
    let mut ports = Vec::new();
    for _ in 0..brokers {
        let _id = rest.int()?;
        let _host = rest.text()?;
        ports.push(u16::try_from(rest.int()?).ok()?);
        let _rack = rest.text()?;
    }
    Some(ports)
}

/// What is left to read of an answer.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn int(&mut self) -> Option<u32> {
        let (int, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*int))
    }

    /// A text with its length before it, which is -1 for none.
    fn text(&mut self) -> Option<usize> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).unwrap_or(0);
        self.0 = rest.get(length..)?;
        Some(length)
    }
}
