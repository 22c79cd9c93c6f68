//! What a run counts, and the table at its end.

use std::collections::BTreeMap;

use crate::world::say;

/// What is done to a node. Their order is that of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `kill -9` while contacts are imported.
    KillImporting,
    /// `kill -9` right after the start of a campaign, while its audience is frozen.
    KillFreezing,
    /// `kill -9` while texts leave.
    KillSending,
    /// `kill -9` before a node that was started again served.
    KillRecovering,
    /// `kill -9` just after it served.
    KillServing,
    /// `kill -9` of a node that had been frozen.
    KillThawed,
    /// `kill -9` while a command is on its way.
    KillCommanding,
    /// `kill -9` right after a command's answer.
    KillAnswered,
    /// A campaign is paused.
    Pause,
    /// It goes on.
    Resume,
    /// A campaign is canceled in mid-course.
    Cancel,
    /// A provider account is slowed down or disabled, or that is taken back.
    Order,
    /// SIGSTOP, and SIGCONT 1 to 20 s later.
    Freeze,
    /// SIGTERM while texts leave.
    Terminate,
    /// Less than the reserve is free on the disk.
    DiskLow,
    /// Nothing is free.
    DiskFull,
    /// The node ended by itself on a full disk.
    DiskEnded,
    /// A flipped byte or a cut tail.
    Damage,
}

impl Kind {
    const ALL: [(Self, &'static str); 18] = [
        (Self::KillImporting, "kill -9 during an import"),
        (Self::KillFreezing, "kill -9 while an audience is frozen"),
        (Self::KillSending, "kill -9 while texts leave"),
        (
            Self::KillRecovering,
            "kill -9 in recovery, before it serves",
        ),
        (Self::KillServing, "kill -9 just after it serves"),
        (Self::KillThawed, "kill -9 after a SIGSTOP"),
        (Self::KillCommanding, "kill -9 with a command on its way"),
        (Self::KillAnswered, "kill -9 right after a command's answer"),
        (Self::Pause, "campaigns paused"),
        (Self::Resume, "campaigns resumed"),
        (Self::Cancel, "campaigns canceled in mid-course"),
        (Self::Order, "orders to provider accounts"),
        (Self::Freeze, "SIGSTOP for 1-20 s, SIGCONT"),
        (Self::Terminate, "SIGTERM while texts leave"),
        (Self::DiskLow, "disk nearly full: 507, then space"),
        (Self::DiskFull, "disk full to the last byte"),
        (Self::DiskEnded, "  nodes that ended by it"),
        (Self::Damage, "bytes flipped, tails cut"),
    ];

    fn is_kill(self) -> bool {
        matches!(
            self,
            Self::KillImporting
                | Self::KillFreezing
                | Self::KillSending
                | Self::KillRecovering
                | Self::KillServing
                | Self::KillThawed
                | Self::KillCommanding
                | Self::KillAnswered
        )
    }
}

/// Sums over a run.
#[derive(Debug, Default)]
pub struct Figures {
    /// Disturbances.
    counts: BTreeMap<Kind, u64>,
    /// Folders of dead nodes that agreed with themselves.
    pub verified: u64,
    /// Campaigns, and their recipients.
    pub campaigns: u64,
    /// See `campaigns`.
    pub recipients: u64,
    /// Single texts, and those of them that were sent again.
    pub singles: u64,
    /// See `singles`.
    pub resends: u64,
    /// Texts that left while texts left, and for how long, in microseconds.
    pub texts: u64,
    /// See `texts`.
    pub sending: u64,
    /// Attempts that were open when nodes died.
    pub cut_off: u64,
    /// Unknown messages that the provider never took, and the most that there may be.
    pub unknown_never_taken: u64,
    /// See `unknown_never_taken`.
    pub bound: u64,
    /// People who got nothing though the node says otherwise, or has no message.
    pub lost: u64,
    /// Texts too many.
    pub twice: u64,
    /// How damage showed.
    pub damage: BTreeMap<&'static str, u64>,
    /// Seconds of each part.
    pub seconds: BTreeMap<&'static str, f64>,
    /// What was not done, and why.
    pub skipped: Vec<String>,
    /// What must not be.
    pub wrongs: Vec<String>,
}

/// While texts leave, at least so many must, in a second.
const LEAST_TEXTS: f64 = 3_000.0;

impl Figures {
    /// One more disturbance.
    pub fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Kills so far.
    pub fn kills(&self) -> u64 {
        let kills = self.counts.iter().filter(|(kind, _)| kind.is_kill());
        kills.map(|(_, count)| count).sum()
    }

    /// Something is wrong.
    pub fn wrong(&mut self, what: &str) {
        say(&format!("WRONG: {what}"));
        self.wrongs.push(what.to_owned());
    }

    /// Prints the table, and judges what only the sums tell.
    pub fn print(&mut self) {
        let rate = self.texts as f64 * 1e6 / self.sending.max(1) as f64;
        if self.sending > 0 && rate < LEAST_TEXTS {
            self.wrong(&format!("only {rate:.0} texts/s while texts left"));
        }
        say("");
        for (kind, name) in Kind::ALL {
            let count = self.counts.get(&kind).copied().unwrap_or(0);
            say(&format!("{name:<42}{count:>8}"));
        }
        for (how, count) in &self.damage {
            say(&format!("  {how:<40}{count:>8}"));
        }
        let kills = self.kills();
        let lines = [
            ("kills, all together", kills),
            ("dead nodes' folders that verify", self.verified),
            ("campaigns", self.campaigns),
            ("recipients", self.recipients),
            ("transactional texts beside them", self.singles),
            ("  sent again, as their timelines say", self.resends),
            ("texts/s while texts left", rate as u64),
            ("attempts cut off", self.cut_off),
            ("unknown and never taken", self.unknown_never_taken),
            ("  of at most", self.bound),
            ("lost", self.lost),
            ("twice", self.twice),
            ("violations", self.wrongs.len() as u64),
        ];
        for (name, value) in lines {
            say(&format!("{name:<42}{value:>8}"));
        }
        for (name, seconds) in &self.seconds {
            say(&format!("seconds, {name:<33}{seconds:>8.0}"));
        }
        let told = self.skipped.iter().chain(&self.wrongs);
        told.for_each(|line| say(line));
    }
}
