//! `volley serve` in a child process that can be killed at any moment.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture;
use crate::port::Port;

/// How often the test looks how far real work is.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Lines of a node's log that are shown when it ended otherwise than it should.
const END_LINES: usize = 40;

/// A node's folder and settings; it is started on them again and again.
#[derive(Clone, Debug)]
pub struct ChildSettings {
    /// The binary.
    pub program: PathBuf,
    /// Holds its settings, its data in `data`, and what it says in `log`.
    pub folder: PathBuf,
    /// No other test gets it while the node is down.
    port: Arc<Port>,
}

impl ChildSettings {
    /// Writes the settings: provider accounts 1 to `providers` of the sandbox at `rate`
    /// segments per second each, and a journal that is kept whole.
    pub fn write(
        program: &str,
        folder: &Path,
        partitions: u16,
        sandbox: SocketAddr,
        providers: usize,
        rate: f64,
    ) -> Self {
        let port = Port::reserve();
        let listen = port.address();
        let mut settings = format!(
            "[node]\npartitions = {partitions}\n[journal]\ntrim = false\n\
             [http]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n"
        );
        for index in 1..=providers {
            settings.push_str(&provider_section(sandbox, index, rate));
        }
        fs::write(folder.join("settings.toml"), settings).expect("a file can be written");
        Self {
            program: program.into(),
            folder: folder.to_owned(),
            port: Arc::new(port),
        }
    }

    /// Where it listens, and where receipts are sent.
    pub fn listen(&self) -> SocketAddr {
        self.port.address()
    }

    /// From the next start on the node has these provider accounts of the sandbox and no others,
    /// as somebody may have it who starts it with other settings.
    pub fn give_providers(&self, sandbox: SocketAddr, indexes: &[usize], rate: f64) {
        let sections = indexes
            .iter()
            .map(|index| provider_section(sandbox, *index, rate));
        self.change(|settings| {
            let rest = settings.split_once(PROVIDER_SECTION);
            let (rest, _) = rest.unwrap_or((settings, ""));
            rest.to_owned() + &sections.collect::<String>()
        });
    }

    /// Writes further sections.
    pub fn and(&self, sections: &str) {
        self.change(|settings| settings.to_owned() + sections);
    }

    fn change(&self, settings: impl FnOnce(&str) -> String) {
        let file = self.folder.join("settings.toml");
        let before = fs::read_to_string(&file).expect("the settings can be read");
        fs::write(file, settings(&before)).expect("a file can be written");
    }

    /// Another node with these settings, with a folder of its own within this one's, and an
    /// address of its own.
    pub fn twin(&self, name: &str) -> Self {
        let (folder, port) = (self.folder.join(name), Port::reserve());
        let listen = port.address();
        fs::create_dir_all(&folder).expect("a folder can be made");
        let settings = fs::read_to_string(self.folder.join("settings.toml"));
        let settings = settings.expect("a file can be read");
        let settings = settings.replace(&self.listen().to_string(), &listen.to_string());
        fs::write(folder.join("settings.toml"), settings).expect("a file can be written");
        Self {
            program: self.program.clone(),
            folder,
            port: Arc::new(port),
        }
    }

    /// From the next start on receipts are sent to where another node listens.
    pub fn have_receipts_sent_to(&self, other: &Self) {
        let url = |listen| format!("public_url = \"http://{listen}\"");
        self.change(|settings| settings.replace(&url(self.listen()), &url(other.listen())));
    }

    /// What `volley` says to these words with these settings.
    pub fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .args(words)
            .arg("--config")
            .arg(self.folder.join("settings.toml"))
            .arg("--data")
            .arg(self.data());
        command.output().expect("the binary starts")
    }

    /// What it gives to these words, which it must take.
    pub fn given(&self, words: &[&str]) -> String {
        let output = self.command(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Keeps the node's address while no node has it, so that whoever asks there waits, and does
    /// not come to somebody else's.
    pub fn keep_address(&self) -> TcpListener {
        TcpListener::bind(self.listen()).expect("nobody has the node's address")
    }

    /// Removes the data folder, as of a machine that is gone with all it had.
    pub fn lose_data(&self) {
        fs::remove_dir_all(self.data()).expect("a folder can be removed");
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the last node that had to end said.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let words = log
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("volley: "));
        words.unwrap_or("nothing").to_owned()
    }

    /// What a node wrote last.
    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(END_LINES)..].join("\n")
    }

    /// All attempts that were open when a node stopped, as its successors told.
    pub fn attempts_cut_off(&self) -> u64 {
        let log = fs::read_to_string(self.log()).expect("the log can be read");
        let told = log.lines().filter_map(|line| {
            let (_, attempts) = line.split_once("attempts were open when the node stopped")?;
            attempts
                .trim()
                .strip_prefix("attempts=")?
                .parse::<u64>()
                .ok()
        });
        told.sum()
    }
}

/// What begins a provider account in the settings.
const PROVIDER_SECTION: &str = "[[providers]]\n";

fn provider_section(sandbox: SocketAddr, index: usize, rate: f64) -> String {
    PROVIDER_SECTION.to_owned() + &fixture::provider_settings(sandbox, index, rate)
}

/// A node's process. Dropping it kills it.
pub struct ChildNode {
    process: Child,
    settings: ChildSettings,
    /// How many nodes of this folder had said that they serve before it was started.
    served_before: usize,
}

impl ChildNode {
    /// Starts it and waits until it serves.
    pub fn start(settings: &ChildSettings) -> Self {
        let mut node = Self::spawn(settings);
        node.run_until_it_serves();
        node
    }

    /// Starts it and waits for nothing.
    pub fn spawn(settings: &ChildSettings) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(settings.log());
        let log = log.expect("the log can be written");
        let served_before = times_served(settings);
        let process = Command::new(&settings.program)
            // Nothing that is set on this machine may change the node.
            .env_clear()
            .arg("serve")
            .arg("--config")
            .arg(settings.folder.join("settings.toml"))
            .arg("--data")
            .arg(settings.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self {
            process,
            settings: settings.clone(),
            served_before,
        }
    }

    /// Whether it has said that it serves.
    pub fn serves(&self) -> bool {
        times_served(&self.settings) > self.served_before
    }

    /// Waits until it serves.
    pub fn run_until_it_serves(&mut self) {
        while !self.serves() {
            self.must_run();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until something is true, while the node runs.
    pub fn run_until(&mut self, mut is_true: impl FnMut() -> bool) {
        while !is_true() {
            self.must_run();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the node has ended by itself, or something else is true first.
    pub fn ended_before(&mut self, mut is_true: impl FnMut() -> bool) -> Option<ExitStatus> {
        loop {
            let ended = self.process.try_wait().expect("a child can be asked");
            if ended.is_some() || is_true() {
                return ended;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Shows the end of its log, and panics, when it has ended by itself.
    pub fn must_run(&mut self) {
        let ended = self.process.try_wait().expect("a child can be asked");
        assert!(
            ended.is_none(),
            "the node ended by itself, {ended:?}:\n{}",
            self.settings.end_of_log()
        );
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.must_run();
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Freezes it with SIGSTOP.
    pub fn freeze(&mut self) {
        self.must_run();
        self.signal(Signal::STOP);
    }

    /// Lets it go on with SIGCONT.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop with SIGTERM and waits until it has ended well.
    pub fn stop(self) {
        let settings = self.settings.clone();
        let status = self.end();
        assert!(
            status.success(),
            "the node ended with {status}:\n{}",
            settings.end_of_log()
        );
    }

    /// Asks it to stop with SIGTERM and waits until it has ended, whatever with.
    pub fn end(mut self) -> ExitStatus {
        self.must_run();
        self.signal(Signal::TERM);
        self.process.wait().expect("a child can be waited for")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }
}

/// How many nodes have said that they serve.
fn times_served(settings: &ChildSettings) -> usize {
    let log = fs::read_to_string(settings.log()).unwrap_or_default();
    // Not by lines: one that is killed as it says so may leave its line without an end.
    log.matches("volley serves").count()
}

impl Drop for ChildNode {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
