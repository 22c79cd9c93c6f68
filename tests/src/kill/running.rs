//! A campaign that runs, with single texts beside it, on a node that dies and comes
//! back; and how it is judged in the end.

use std::sync::Arc;

use engine::verify::Verified;
use schemas::{CampaignId, MessageStatus};
use tokio::sync::watch;

use super::figures::{Figures, Kind};
use super::singles::{self, Single, Singles};
use crate::child::ChildNode;
use crate::fixture;
use crate::user::User;
use crate::world::{Plan, Remains, TEMPLATE, World, say};

/// A wait that takes longer has failed: no disturbance takes that long to get over.
const STANDSTILL_MICROS: u64 = 180_000_000;

/// How often a settled state is looked for, 50 ms apart: at least 130 seconds. Receipts
/// that a dead node missed are asked for after 60 seconds, unknown texts are searched
/// for after 3, 15 and 60.
const SETTLED_LOOKS: u32 = 2_600;

/// How far a campaign is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// The user has signed up.
    SignedUp,
    /// The contacts are on their way.
    Importing,
    /// The start is on its way.
    Starting,
    /// It has started.
    Started(CampaignId),
    /// Nothing of it is pending.
    Finished(CampaignId),
}

/// A campaign on its way.
pub struct Running {
    /// Provider and folder.
    pub world: World,
    /// Who asks.
    pub user: Arc<User>,
    /// The texts beside it.
    pub singles: Singles,
    recipients: u32,
    node: Option<ChildNode>,
    stage: watch::Receiver<Stage>,
    /// Texts taken when the node was started last.
    taken_before: u64,
    /// Those after which attempts may be without an outcome.
    disturbances: u64,
}

impl Running {
    /// Starts a node, and a user who imports so many contacts and starts a campaign.
    pub fn start(plan: Plan, recipients: u32) -> Self {
        let mut running = Self::begin(plan);
        let (told, stage) = watch::channel(Stage::SignedUp);
        running.stage = stage;
        running.recipients = recipients;
        let Self { world, user, .. } = &running;
        let launching = launch(Arc::clone(user), recipients, told);
        world.runtime.spawn(launching);
        running.singles = Singles::start(&world.runtime, user, world.pause_of_singles());
        running
    }

    /// Starts a node, and a user who does nothing yet.
    pub fn begin(plan: Plan) -> Self {
        let world = World::start(plan);
        let node = ChildNode::start(&world.settings);
        let data = world.settings.data();
        let user = Arc::new(world.tasks.block_on(User::sign_up(&data)));
        let (_, stage) = watch::channel(Stage::SignedUp);
        Self {
            world,
            user,
            singles: Singles::none(),
            recipients: 0,
            node: Some(node),
            stage,
            taken_before: 0,
            disturbances: 0,
        }
    }

    /// Whether the campaign is so far.
    pub fn is_at(&self, stage: Stage) -> bool {
        let now = *self.stage.borrow();
        let is_alive = self.stage.has_changed().is_ok() || matches!(now, Stage::Finished(_));
        assert!(is_alive, "the user has failed");
        now >= stage
    }

    /// Whether nothing of the campaign is pending.
    pub fn is_finished(&self) -> bool {
        self.is_at(Stage::Finished(CampaignId::from_bytes([0; 16])))
    }

    /// Waits until something is true; the node must not end.
    pub fn wait(&mut self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let mut node = self.node.take().expect("a node runs");
        let until = self.world.runtime.boot() + STANDSTILL_MICROS;
        node.run_until(|| {
            let stands_still = self.world.runtime.boot() > until;
            assert!(!stands_still, "{what}: waited for too long");
            is_true(self)
        });
        self.node = Some(node);
    }

    /// As [`Running::wait`], with another node in the place of one that ends by itself. Tells
    /// how many did.
    pub fn outlast(&mut self, what: &str, mut is_true: impl FnMut(&Self) -> bool) -> u64 {
        let until = self.world.runtime.boot() + STANDSTILL_MICROS;
        let mut ended = 0;
        loop {
            let mut node = self.node.take().expect("a node runs");
            let end = node.ended_before(|| {
                let stands_still = self.world.runtime.boot() > until;
                assert!(!stands_still, "{what}: waited for too long");
                is_true(self)
            });
            let Some(status) = end else {
                self.node = Some(node);
                return ended;
            };
            let words = self.world.settings.last_words();
            say(&format!("a node ended by itself, {status}: {words}"));
            ended += 1;
            self.disturbances += 1;
            self.restart();
        }
    }

    /// Those after which attempts may be without an outcome, so far.
    pub fn disturbances(&self) -> u64 {
        self.disturbances
    }

    /// Waits until texts leave since the node was started; false when the campaign has
    /// finished first.
    pub fn wait_for_texts(&mut self) -> bool {
        self.wait("the next text", |running| {
            running.world.taken() > running.taken_before || running.is_finished()
        });
        !self.is_finished()
    }

    /// The node.
    pub fn node(&mut self) -> &mut ChildNode {
        self.node.as_mut().expect("a node runs")
    }

    /// One more that may leave attempts without an outcome.
    pub fn disturbed(&mut self, kind: Kind, figures: &mut Figures) {
        self.disturbances += 1;
        figures.count(kind);
    }

    /// Kills the node.
    pub fn kill(&mut self, kind: Kind, figures: &mut Figures) {
        self.node.take().expect("a node runs").kill();
        self.disturbed(kind, figures);
        self.verify(figures);
    }

    /// The node has ended by itself.
    pub fn has_ended(&mut self) {
        self.node = None;
    }

    /// Asks the node to stop, and waits until it has. Nothing may be left open.
    pub fn stop(&mut self, figures: &mut Figures) {
        self.node.take().expect("a node runs").stop();
        let open = self.verify(figures).map_or(0, |left| left.open_attempts);
        if open > 0 {
            figures.wrong(&format!("a graceful stop left {open} attempts open"));
        }
    }

    /// Verifies what the dead node left in its folder.
    pub fn verify(&self, figures: &mut Figures) -> Option<Verified> {
        if !self.world.is_in_folder() {
            return None;
        }
        match self.world.verify() {
            Ok(verified) => {
                figures.verified += 1;
                Some(verified)
            }
            Err(difference) => {
                figures.wrong(&difference);
                None
            }
        }
    }

    /// Starts the next node and waits for nothing. Where everything is on servers, it is on
    /// another machine.
    pub fn spawn(&mut self) {
        if !self.world.is_in_folder() {
            self.world.settings.lose_data();
        }
        self.taken_before = self.world.taken();
        self.node = Some(ChildNode::spawn(&self.world.settings));
    }

    /// Starts the next node.
    pub fn restart(&mut self) {
        self.spawn();
        self.node().run_until_it_serves();
    }

    /// Lets the campaign go to its end, and judges it against the provider's book.
    pub fn finish(mut self, settles: bool, figures: &mut Figures) {
        self.wait("the end of the campaign", Self::is_finished);
        let singles = self.end_singles();
        if settles && !self.settle(&singles) {
            figures.wrong("not every text that was taken is found, or its receipt");
        }
        self.stop(figures);
        let (recipients, disturbances) = (self.recipients, self.disturbances);
        let refusals = self.user.refusals();
        let remains = self.world.close();
        let told = judge(&remains, &singles, recipients, disturbances, figures);
        say(&format!("{told}; asked again after {refusals:?}"));
    }

    /// Ends the provider. The node has stopped, and nobody was judged.
    pub fn close(self) -> Remains {
        self.world.close()
    }

    /// Ends the single texts, and waits until none of them waits to be sent.
    fn end_singles(&mut self) -> Vec<Single> {
        let none = Singles::none();
        let singles = std::mem::replace(&mut self.singles, none);
        self.world.tasks.block_on(async {
            let singles = singles.stop().await;
            for single in &singles {
                let waits = [MessageStatus::Queued, MessageStatus::Submitting];
                self.until(single, |status| !waits.contains(&status)).await;
            }
            singles
        })
    }

    /// Waits until nothing more can be learnt; false when that is never so.
    fn settle(&mut self, singles: &[Single]) -> bool {
        let Stage::Finished(campaign) = *self.stage.borrow() else {
            return false;
        };
        let witness = self.world.witness();
        let of_campaign = witness
            .recipients
            .keys()
            .filter(|to| !singles::is_single(to));
        let never_taken = u64::from(self.recipients) - of_campaign.count() as u64;
        self.world.tasks.block_on(async {
            let settled = self
                .user
                .settled(campaign, never_taken, SETTLED_LOOKS)
                .await;
            for single in singles {
                // Found, or sent again and then known.
                let is_known =
                    |status| status > MessageStatus::Submitting && status < MessageStatus::Unknown;
                self.until(single, is_known).await;
            }
            settled
        })
    }

    async fn until(&self, single: &Single, is_there: impl Fn(MessageStatus) -> bool) {
        for _ in 0..SETTLED_LOOKS {
            if is_there(self.user.message(single.id).await.status) {
                return;
            }
            self.world.runtime.sleep(LOOK_AGAIN).await;
        }
        panic!("{} does not come to rest", single.id);
    }
}

/// How soon a message is looked at again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

async fn launch(user: Arc<User>, recipients: u32, stage: watch::Sender<Stage>) {
    let (csv, _) = fixture::contacts(recipients);
    stage.send_replace(Stage::Importing);
    let list = user.import(csv).await;
    let campaign = user.draft(list, TEMPLATE).await;
    stage.send_replace(Stage::Starting);
    user.begin(campaign).await;
    stage.send_replace(Stage::Started(campaign));
    user.finished(campaign).await;
    stage.send_replace(Stage::Finished(campaign));
}

fn judge(
    remains: &Remains,
    sent: &[Single],
    recipients: u32,
    disturbances: u64,
    figures: &mut Figures,
) -> String {
    let (mut witness, stored) = (remains.witness(), remains.stored());
    let of_singles = witness.split_off(singles::is_single);
    let judged = remains.judge(&witness, &stored, recipients, disturbances);
    let messages = stored.messages.iter();
    let messages = messages.filter(|message| message.envelope.campaign.is_none());
    let verdict = singles::judge(sent, &of_singles, &messages.collect::<Vec<_>>());
    judged.wrongs.iter().for_each(|wrong| figures.wrong(wrong));
    if verdict.lost + verdict.twice + verdict.unexpected > 0 {
        figures.wrong(&format!("transactional texts: {verdict:?}"));
    }
    figures.campaigns += 1;
    figures.recipients += u64::from(recipients);
    figures.singles += verdict.messages;
    figures.resends += verdict.resends;
    figures.cut_off += remains.settings.attempts_cut_off();
    figures.unknown_never_taken += judged.verdict.unknown_never_taken as u64;
    figures.bound += judged.bound;
    figures.lost += judged.verdict.missing as u64 + verdict.lost;
    figures.twice += judged.verdict.duplicates as u64 + verdict.twice;
    format!("  {}; singles {verdict:?}", judged.told)
}
