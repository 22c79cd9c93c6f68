//! The doors of nodes that share servers: open whoever owns, and while nobody does.

use schemas::MessageStatus;
use tests::backends::servers;
use tests::child::ChildNode;
use tests::user::User;
use tests::world::World;

use super::{machine, plan};

/// Texts that are asked for while nobody owns.
const TEXTS: u32 = 20;

/// The owner is killed. Before another one's turn has come, which is after a session, people ask at
/// that one for texts and for what became of them, and are answered. All of it is sent, once.
#[test]
fn texts_are_taken_in_while_nobody_owns() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, _) = plan(cassandra, kafka, "doors");
    let world = World::start(plan);
    let mut owner = ChildNode::start(&world.settings);
    let twin = world.settings.twin("twin");
    let mut waiting = ChildNode::spawn(&twin);
    let user = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        user.at(twin.listen)
    });
    // It is answered as soon as the twin's doors are open.
    world.tasks.block_on(user.send("+14155560000", "Code 0"));
    owner.run_until(|| world.taken() == 1);
    owner.kill();
    let asked = world.tasks.block_on(async {
        let mut asked = Vec::new();
        for number in 1..=TEXTS {
            let (to, body) = (format!("+1415556{number:04}"), format!("Code {number}"));
            let id = user.send(&to, &body).await;
            assert_eq!(user.message(id).await.status, MessageStatus::Queued);
            asked.push(id);
        }
        asked
    });
    assert!(!waiting.serves(), "nobody owns");
    assert_eq!(world.taken(), 1, "nobody sends");
    waiting.run_until_it_serves();
    for id in asked {
        let told = || world.tasks.block_on(user.message(id));
        waiting.run_until(|| told().status == MessageStatus::Delivered);
    }
    assert_eq!(world.taken(), u64::from(TEXTS) + 1);
    waiting.stop();
}
