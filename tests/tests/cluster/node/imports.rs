//! An import whose node dies, and its disk with it.

use schemas::job::JobState;
use tests::backends::servers;
use tests::child::ChildNode;
use tests::fixture;
use tests::user::User;
use tests::world::World;

use super::{machine, plan};

/// Four batches of an import.
const RECIPIENTS: u32 = 4_000;

/// The node that took a file dies while it reads it. Another goes on, without its disk, and reads
/// it to its end: nobody is missing, and nobody counts twice.
#[test]
fn an_import_goes_on_without_the_disk_that_its_file_was_on() {
    let _machine = machine();
    let Some((cassandra, kafka)) = servers() else {
        return;
    };
    let (plan, _, _) = plan(cassandra, kafka, "imports");
    let world = World::start(plan);
    let mut owner = ChildNode::start(&world.settings);
    let twin = world.settings.twin("twin");
    let mut waiting = ChildNode::spawn(&twin);
    let (csv, _) = fixture::contacts(RECIPIENTS);
    let (user, job) = world.tasks.block_on(async {
        let user = User::sign_up(&world.settings.data()).await;
        let (_, job) = user.upload(csv).await;
        (user, job)
    });
    let told = || world.tasks.block_on(user.job(job));
    owner.run_until(|| told().total >= u64::from(RECIPIENTS / 4));
    assert_eq!(
        told().state,
        JobState::Running,
        "it is killed in the middle"
    );
    owner.kill();
    world.settings.lose_data();
    waiting.run_until_it_serves();
    let user = user.at(twin.listen());
    let told = || world.tasks.block_on(user.job(job));
    waiting.run_until(|| told().state != JobState::Running);
    let body = told();
    assert_eq!(body.state, JobState::Completed);
    assert_eq!(
        (body.total, body.contacts),
        (RECIPIENTS.into(), RECIPIENTS.into())
    );
    waiting.stop();
}
