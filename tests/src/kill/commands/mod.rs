//! A long campaign that is paused and goes on, short ones that are canceled in mid-course,
//! provider accounts that are slowed down and disabled, and nodes that are killed, also
//! while a command is on its way and when it has just been answered: in a drawn order, at
//! drawn moments. What was answered must be seen at the provider.
//!
//! - [`course`]: the run, and [`desk`]: how commands are asked for;
//! - [`watcher`]: who looks at the numbers all the time;
//! - [`history`]: what was commanded when; [`verdict`]: whether the provider saw that.

mod course;
mod desk;
mod history;
mod verdict;
mod watcher;

use std::ops::Range;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use self::course::Course;
use super::figures::Figures;
use crate::world::{Plan, say};

/// The long campaign takes so many seconds at least: the commands need them.
const SECONDS_OF_SENDING: f64 = 30.0;

/// A provider account's lowest and highest rate, whoever is there to be texted. Below 24 a second,
/// a tenth of the lowest, an account rests for longer than a second after a start, and what had
/// begun with it.
const RATES: (f64, f64) = (300.0, 2_000.0);

/// A short campaign has so many recipients, of the long one's.
const SHORT_SHARE: u32 = 10;

/// Who is on a list: contacts' places.
type List = Range<u32>;

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Card {
    /// The long campaign is paused; it goes on when it is.
    Hold,
    /// A provider account is slowed down or disabled; it is what it was when it is not.
    Order,
    /// A short campaign is started, and canceled in mid-course.
    Cancel,
    /// The node is killed while nothing was asked for.
    Kill,
}

/// What happens to the node around a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Crash {
    /// Nothing.
    None,
    /// It is killed while the command is on its way.
    OnTheWay,
    /// It is killed when the answer is there.
    AfterAnswer,
}

/// Cards are made of these, again and again: the first four are one of each.
const CARDS: [Card; 10] = {
    use Card::{Cancel, Hold, Kill, Order};
    [
        Hold, Order, Cancel, Kill, Hold, Order, Hold, Order, Order, Hold,
    ]
};

/// How the node fares around commands: nothing happens to half of them.
const CRASHES: [Crash; 4] = [
    Crash::OnTheWay,
    Crash::None,
    Crash::AfterAnswer,
    Crash::None,
];

/// Runs the campaigns, with so many commands and kills.
pub fn run(plan: Plan, recipients: u32, commands: usize, figures: &mut Figures) {
    let together = f64::from(recipients) / SECONDS_OF_SENDING;
    let rate = (together / plan.providers as f64).round();
    let rate = rate.clamp(RATES.0, RATES.1);
    let plan = Plan { rate, ..plan };
    let mut random = super::random(&plan);
    let cards = shuffled(&CARDS, commands, &mut random);
    let crashes = shuffled(&CRASHES, commands, &mut random);
    say(&format!(
        "commands: {commands} on {recipients} recipients, {} × {rate} segments/s, P = {}, seed {}",
        plan.providers, plan.partitions, plan.seed
    ));
    let short = (recipients / SHORT_SHARE).max(1);
    let cancels = cards.iter().filter(|card| **card == Card::Cancel).count();
    let short_list = |number| {
        let first = recipients + number * short;
        first..first + short
    };
    let lists = std::iter::once(0..recipients).chain((0..cancels as u32).map(short_list));
    let lists: Vec<List> = lists.collect();
    let mut course = Course::start(plan, lists, random, figures);
    course.play(&cards.into_iter().zip(crashes).collect::<Vec<_>>());
    course.finish();
}

/// So many, taking turns at first, then in a drawn order.
fn shuffled<T: Copy>(all: &[T], count: usize, random: &mut ChaCha8Rng) -> Vec<T> {
    let mut drawn: Vec<T> = all.iter().copied().cycle().take(count).collect();
    drawn.shuffle(random);
    drawn
}
