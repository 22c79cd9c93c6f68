//! One server process, and the folder that it shares with others of its kind: both end
//! with the test process, however that ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::time::{ClockId, clock_gettime};

/// How often a server is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Seconds until a test gives up.
const ASK_FOR: i64 = 60;

/// Waits until its input ends, which only this process holds and which the system closes
/// for whoever was killed. Then it kills what runs in the folder, and removes it.
const GUARD: &str = r#"
read -r _
for server in "$1"/*.pid; do
    [ -e "$server" ] && kill -KILL "$(cat "$server")" 2>/dev/null
done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// Writes down its process id, then becomes the server. In a folder that is gone it cannot.
const START: &str = r#"echo $$ > "$1" || exit 1; shift; exec "$@""#;

/// Asks until the answer is yes. After a minute it is no.
pub fn ask_until(mut is_true: impl FnMut() -> bool) -> bool {
    // By the clock: one answer may take as long as many others.
    let until = clock_gettime(ClockId::Boottime).tv_sec + ASK_FOR;
    while clock_gettime(ClockId::Boottime).tv_sec < until {
        if is_true() {
            return true;
        }
        std::thread::sleep(ASK_EVERY);
    }
    false
}

/// A folder on a real disk for one set of servers.
#[derive(Debug)]
pub(super) struct Home {
    pub folder: PathBuf,
    guard: Child,
    input: Option<ChildStdin>,
}

impl Home {
    /// A new, empty folder below the target folder.
    pub fn new(kind: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{kind}-{}-{count}", std::process::id());
        let folder = super::target_folder().join("backends").join(name);
        // What is left of a process that had the same id, and whose guard was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Whoever stops the tests with Ctrl-C does not stop the guard before its work.
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let input = guard.stdin.take();
        Self {
            folder,
            guard,
            input,
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.guard.wait();
    }
}

/// One server that runs.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Server {
    /// Starts a Java program in a home. What it says is in `<name>.log` there.
    pub fn start(home: &Home, name: &str, arguments: &[String]) -> Self {
        let pid_file = home.folder.join(format!("{name}.pid"));
        let log_path = home.folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.expect("a log can be written");
        let process = Command::new("sh")
            .args(["-c", START, name])
            .arg(&pid_file)
            .arg("java")
            .args(arguments)
            .current_dir(&home.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Self {
            process,
            log: log_path,
            pid_file,
        }
    }

    /// Asks until the answer is yes.
    ///
    /// # Panics
    /// When the server has ended, or after a minute, with what the server said last.
    pub fn run_until(&mut self, mut is_ready: impl FnMut() -> bool) {
        let is_over = ask_until(|| {
            let ended = self.process.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended: {}", last_words(&self.log));
            is_ready()
        });
        assert!(is_over, "it does not answer: {}", last_words(&self.log));
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGSTOP. Threads that run on other processors go on for a moment: it stands still when the
    /// kernel says so.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let process = WaitId::Pid(Pid::from_child(&self.process));
        let stopped = retry_on_intr(|| waitid(process.clone(), WaitIdOptions::STOPPED));
        stopped.expect("it stands still");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    fn end(&mut self) {
        // It fails only when it has ended already.
        let _ = self.process.kill();
        self.wait();
    }

    /// Waits until it is gone. From then on its process id may be another's.
    fn wait(&mut self) {
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.pid_file);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let said = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
