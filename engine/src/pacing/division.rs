//! A limit that several owners of ranges of partitions use. How it is divided stands in a row that
//! all of them read: whoever is to have less obeys at once, and gives the rest back when nothing
//! counts any more that it sent with it; whoever is to have more takes what is free, by condition.
//! So all of them together never have more than the limit, in whatever order they hear of a change,
//! and nobody's clock matters.
//!
//! A limit of [`LARGEST_TEXT`](super::share::LARGEST_TEXT) for each owner or more is divided into
//! whole [`share`]s. A smaller one is had by one owner at a time. Texts come under several limits,
//! and whoever has one of them waits for the next, so one turn goes round besides, for
//! [`TURN_MICROS`] at each owner: whose turn it is, is given every limit that it waits for. Whoever
//! has one keeps it until its turn has come and gone, so each text once finds all of its limits.

use schemas::PartitionRange;
use schemas::limit::{LimitDivision, LimitPart};

use super::pace::{Pace, RATE_STEPS, millionths};
use super::share::share;

/// How long the turn stays with an owner while others wait: 10 s, some ten times what it takes to
/// hand limits on.
pub const TURN_MICROS: u64 = 10_000_000;

/// How long an owner goes without reading what it has no use for: a minute. An owner of its range
/// before it, that froze, may have written something there when it woke.
const FORGETS_MICROS: u64 = 60_000_000;

/// What the owner of a range knows of one limit's division, and does about it. Instants are
/// microseconds on the boot-time clock.
#[derive(Clone, Debug)]
pub struct Division {
    range: PartitionRange,
    /// Which of the owners of this range it is.
    owner: u64,
    /// What the limit is, in millionths of a segment per second.
    limit: u64,
    /// The row as it was last read or written; `None` before that.
    row: Option<LimitDivision>,
    /// When that was.
    read_at: u64,
    waits: bool,
    /// Since when it has something.
    since: u64,
    ends: Ends,
    /// Since when it obeys less than it has, and how much that is.
    lowered: Option<(u64, u64)>,
}

/// When an owner gives back what others wait for, though it has use for it.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// After [`TURN_MICROS`].
    InTime,
    /// When it is the turn of another that waits, and it has had its own since it has the limit.
    InTurn { turn: Option<u16>, had: bool },
}

impl Division {
    /// The turn, which was not read yet.
    pub fn turn(range: PartitionRange, owner: u64) -> Self {
        Self {
            ends: Ends::InTime,
            ..Self::new(range, owner, 1.0)
        }
    }

    /// A division that was not read yet, for one of the owners of a range. Nothing may be used of it.
    pub fn new(range: PartitionRange, owner: u64, limit: f64) -> Self {
        Self {
            ends: Ends::InTurn {
                turn: None,
                had: false,
            },
            range,
            owner,
            limit: millionths(limit),
            row: None,
            read_at: 0,
            waits: false,
            since: 0,
            lowered: None,
        }
    }

    /// The limit is this from now on, in segments per second.
    pub fn hear(&mut self, limit: f64, now: u64) {
        self.limit = millionths(limit);
        self.obey(now);
    }

    /// Whether texts wait that are under this limit.
    pub fn wait(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Whose turn it is, as far as this is known: of the division that is the turn.
    pub fn whose(&self) -> Option<u16> {
        self.row.as_ref().map(|row| row.turn)
    }

    /// It is this one's turn.
    pub fn is_turn_of(&mut self, place: Option<u16>, now: u64) {
        if let Ends::InTurn { turn, had } = &mut self.ends {
            *turn = place;
            *had |= place == Some(self.range.place());
        }
        self.obey(now);
    }

    /// Whether texts wait here for a limit that is too small to be divided.
    pub fn wants_turn(&self) -> bool {
        self.waits && self.row.as_ref().is_some_and(|row| self.turns(row))
    }

    /// The row as it is; `None` where there is none.
    pub fn know(&mut self, row: Option<LimitDivision>, name: &str, now: u64) {
        let owners = self.range.ranges();
        let none = || LimitDivision::none(name.to_owned(), owners);
        let mut row = row.unwrap_or_else(none);
        if row.parts.len() != usize::from(owners) {
            // Of another number of owners, who are all gone.
            row = LimitDivision {
                version: row.version,
                ..none()
            };
        }
        let had = self.has();
        (self.row, self.read_at) = (Some(row), now);
        if had == 0 && self.has() > 0 {
            self.since = now;
            if let Ends::InTurn { turn, had } = &mut self.ends {
                *had = *turn == Some(self.range.place());
            }
        }
        self.obey(now);
    }

    /// What may be used, in segments per second; 0 for nothing.
    pub fn allowed(&self, now: u64) -> f64 {
        let target = self.row.as_ref().map_or(0, |row| self.target(row, now));
        self.has().min(target) as f64 / RATE_STEPS
    }

    /// Whether the row is to be read: it is not known, there is something to take or to give back,
    /// or others may wait.
    pub fn looks(&self, now: u64) -> bool {
        let Some(row) = &self.row else { return true };
        let (has, mine) = (self.has(), self.mine(row));
        let is_heard = mine.limit_millionths == self.limit && self.limit_of(row) == self.limit;
        let has_use = match has {
            _ if mine.owner != self.owner => self.takes_part(mine),
            0 => self.waits || mine.waits,
            _ => !is_heard || has != self.target(row, now) || self.turns(row),
        };
        has_use || now >= self.read_at + FORGETS_MICROS
    }

    /// The row as it is to be, if it is to be another: what left counts until `settled_at`. Where it
    /// [`Self::is_anothers`], whoever writes it shows first that it owns the range.
    pub fn next(&self, settled_at: u64, now: u64) -> Option<LimitDivision> {
        let known = self.row.as_ref()?;
        let mut mine = self.mine(known);
        if !self.takes_part(mine) {
            return None;
        }
        let mut row = known.clone();
        (mine.owner, mine.limit_millionths) = (self.owner, self.limit);
        let target = self.target(known, now);
        if target < mine.rate_millionths && self.is_settled(target, settled_at, now) {
            mine.rate_millionths = target;
            if target == 0 {
                self.pass_on(&mut row);
            }
        }
        self.put(&mut row, mine);
        self.seize(&mut row);
        let target = self.target(&row, now);
        if target.saturating_sub(mine.rate_millionths) <= self.free(&row) {
            mine.rate_millionths = mine.rate_millionths.max(target);
        }
        mine.waits = self.waits && self.turns(&row) && mine.rate_millionths == 0;
        self.put(&mut row, mine);
        (row != *known).then_some(row)
    }

    /// Whether the row names another owner of this range.
    pub fn is_anothers(&self) -> bool {
        let mine = self.row.as_ref().map(|row| self.mine(row));
        mine.is_some_and(|mine| mine.owner != 0 && mine.owner != self.owner)
    }

    /// What it may have at most, by the row.
    fn has(&self) -> u64 {
        let mine = self.row.as_ref().map(|row| self.mine(row));
        mine.filter(|mine| mine.owner == self.owner)
            .map_or(0, |mine| mine.rate_millionths)
    }

    /// What it is to have.
    fn target(&self, row: &LimitDivision, now: u64) -> u64 {
        let limit = self.limit_of(row);
        match share(limit as f64 / RATE_STEPS, self.range) {
            Ok(share) => millionths(share),
            Err(_) if row.turn != self.range.place() || self.leaves(row, now) => 0,
            Err(_) if self.waits || self.mine(row).rate_millionths > 0 => limit,
            Err(_) => 0,
        }
    }

    /// Whether it gives back a limit that others wait for.
    fn leaves(&self, row: &LimitDivision, now: u64) -> bool {
        let is_over = match self.ends {
            Ends::InTime => now >= self.since + TURN_MICROS,
            Ends::InTurn { turn, had } => {
                let other = turn.filter(|turn| *turn != self.range.place());
                had && other.is_some_and(|other| waits(row, other))
            }
        };
        self.has() > 0 && (is_over || !self.waits) && self.next_waiting(row).is_some()
    }

    /// Whether a limit is too small to be divided.
    fn turns(&self, row: &LimitDivision) -> bool {
        share(self.limit_of(row) as f64 / RATE_STEPS, self.range).is_err()
    }

    /// The least limit that an owner has heard of.
    fn limit_of(&self, row: &LimitDivision) -> u64 {
        let others = row.parts.iter().enumerate();
        let others = others.filter(|(place, _)| *place != usize::from(self.range.place()));
        let heard = others.map(|(_, part)| part.limit_millionths);
        heard.filter(|limit| *limit > 0).fold(self.limit, u64::min)
    }

    fn free(&self, row: &LimitDivision) -> u64 {
        let used: u64 = row.parts.iter().map(|part| part.rate_millionths).sum();
        self.limit_of(row).saturating_sub(used)
    }

    /// A range whose owners never wanted anything leaves the row as it is. Else each of them writes
    /// its name there first of all, and one before it that froze cannot write any more.
    fn takes_part(&self, mine: LimitPart) -> bool {
        self.waits || mine.owner != 0
    }

    /// Obeys less from now on, if it is to have less.
    fn obey(&mut self, now: u64) {
        let target = self.row.as_ref().map_or(0, |row| self.target(row, now));
        if target >= self.has() {
            self.lowered = None;
        } else if self.lowered.is_none_or(|(to, _)| target < to) {
            self.lowered = Some((target, now));
        }
    }

    /// Whether nothing counts any more that left while it had more than this.
    fn is_settled(&self, target: u64, settled_at: u64, now: u64) -> bool {
        let window =
            |rate: u64| Pace::new(rate as f64 / RATE_STEPS, None).map(|pace| pace.window_micros());
        match (target, self.lowered) {
            (0, _) => settled_at <= now,
            (_, Some((_, since))) => {
                let windows = [self.has(), target].map(|rate| window(rate).unwrap_or(0));
                since + windows[0].max(windows[1]) <= now
            }
            (_, None) => false,
        }
    }

    /// Lets the next who waits have its turn.
    fn pass_on(&self, row: &mut LimitDivision) {
        if row.turn == self.range.place()
            && let Some(next) = self.next_waiting(row)
        {
            row.turn = next;
        }
    }

    /// Takes the turn of somebody who does not want it.
    fn seize(&self, row: &mut LimitDivision) {
        let is_unused = row.parts.iter().all(|part| part.rate_millionths == 0);
        if self.waits && !waits(row, row.turn) && is_unused && self.turns(row) {
            row.turn = self.range.place();
        }
    }

    /// Of the others that wait, whose turn it is, or who comes next.
    fn next_waiting(&self, row: &LimitDivision) -> Option<u16> {
        let (place, owners) = (self.range.place(), self.range.ranges());
        let turn = match self.ends {
            Ends::InTime => None,
            Ends::InTurn { turn, .. } => turn.filter(|turn| *turn != place),
        };
        let after = (1..owners).map(|step| (place + step) % owners);
        let mut next = turn.into_iter().chain(after);
        next.find(|other| waits(row, *other))
    }

    fn mine(&self, row: &LimitDivision) -> LimitPart {
        let place = usize::from(self.range.place());
        row.parts.get(place).copied().unwrap_or_default()
    }

    fn put(&self, row: &mut LimitDivision, mine: LimitPart) {
        if let Some(part) = row.parts.get_mut(usize::from(self.range.place())) {
            *part = mine;
        }
    }
}

/// Whether the owner of the range at this place waits for its turn.
fn waits(row: &LimitDivision, place: u16) -> bool {
    let part = row.parts.get(usize::from(place));
    part.is_some_and(|part| part.waits)
}
