//! Random lives: whatever is handed to the journal in whatever order, and wherever it
//! is cut off, these laws hold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::due::DueKind;

use super::model::{Step, step};
use super::world::{SINGLE, World};
use super::{PARTITION, Request, at, campaign};

/// What is done in turn.
#[derive(Clone, Debug)]
enum Act {
    /// One durable commit.
    Commit(usize, Step),
    /// A commit that a crash takes back: nobody was told of it.
    Lose(usize, Step),
    /// A crash between commits.
    Crash,
    /// A checkpoint.
    Checkpoint,
}

/// A step about one of the messages. Only a single message can have a `send_at`.
fn about() -> impl Strategy<Value = (usize, Step)> {
    (0_usize..4, step()).prop_map(|(message, step)| {
        if matches!(step, Step::Schedule) {
            (SINGLE, step)
        } else {
            (message, step)
        }
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => about().prop_map(|(message, step)| Act::Commit(message, step)),
        2 => about().prop_map(|(message, step)| Act::Lose(message, step)),
        1 => Just(Act::Crash),
        1 => Just(Act::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Against the model: what may be done is done and nothing else, final states are
    /// final, the numbers are exact and those of the rows, timelines have no gap, and a
    /// crash takes back what nobody was told of and nothing else.
    #[test]
    fn lives_obey_the_model(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        let mut ended = BTreeMap::new();
        for act in acts {
            match act {
                Act::Commit(index, step) => world.commit(index, &step),
                Act::Lose(index, step) => {
                    let (rows, open): (Vec<_>, _) =
                        ((0..4).map(|index| world.row(index)).collect(), world.owner.open_attempts());
                    let change = world.change(index, &step);
                    let _ = world.owner.write(Request::Commit(vec![(PARTITION, change)]));
                    world.owner.crash();
                    prop_assert_eq!(world.owner.open_attempts(), open);
                    prop_assert_eq!((0..4).map(|index| world.row(index)).collect::<Vec<_>>(), rows);
                }
                Act::Crash => world.crash(),
                Act::Checkpoint => {
                    let _ = world.owner.write(Request::Checkpoint);
                    world.owner.memory_synced();
                }
            }
            world.check(&mut ended);
        }
        prop_assert!(world.owner.rebuilds());
    }

    /// Groups of several changes, marks raised between them, crashes and checkpoints
    /// anywhere: the projections made again from the journal are the stored ones.
    #[test]
    fn replaying_gives_equal_rows(
        groups in prop::collection::vec(
            (prop::collection::vec(about(), 1..6), any::<bool>(), 0_u8..10),
            1..20,
        ),
    ) {
        let mut world = World::new();
        for (steps, raises, end) in groups {
            let mut changes = Vec::new();
            for (index, step) in &steps {
                let row = world.row(*index);
                let open = world.owner.open_attempts();
                let model = &mut world.messages[*index].1;
                model.made = row.map_or(0, |row| row.attempts);
                let id = world.messages[*index].0.id;
                let open = open.iter().find(|open| open.attempt.message == id);
                world.messages[*index].1.open = open.map(|open| open.attempt.attempt);
                changes.push(world.change(*index, step));
            }
            if raises {
                let to = at(world.now + 30);
                for kind in DueKind::ALL {
                    let _ = world.owner.write(Request::RaiseDueMark { partition: PARTITION, kind, to });
                }
            }
            let _ = world.owner.commit_all(changes);
            match end {
                0 => {
                    let open = world.owner.open_attempts();
                    world.owner.crash();
                    prop_assert_eq!(world.owner.open_attempts(), open);
                }
                1 => {
                    let _ = world.owner.write(Request::Checkpoint);
                    world.owner.memory_synced();
                }
                _ => {}
            }
            for number in [1, 2] {
                let tally = world.owner.tally(campaign(number));
                prop_assert!(tally.is_exact(), "{:?}", tally);
            }
        }
        prop_assert!(world.owner.rebuilds());
    }
}
