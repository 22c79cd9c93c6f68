//! A node that can be killed, the provider that outlives it, and what is judged of both
//! when a campaign is over.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::journal::Difference;
use engine::runtime::Runtime;
use engine::storage::Storage;
use engine::verify::Verified;
use sandbox::book::Book;
use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::campaign::CampaignTally;
use schemas::{Message, PartitionCount};

#[cfg(feature = "cluster")]
use crate::backends::ground::Ground;
use crate::child::ChildSettings;
use crate::fixture;
use crate::judge::{self, Verdict, Witness};
use crate::rows;

/// The provider answers after this many milliseconds, so that attempts are open at any
/// moment: 60 of each account at 2,000 texts a second.
const LATENCY_MS: u64 = 30;

/// How far ahead of its permits a sender commits attempts, in seconds.
const COMMITTED_AHEAD: f64 = 0.020;

/// The same on servers at most, whose commits may take long.
#[cfg(feature = "cluster")]
const COMMITTED_AHEAD_ON_SERVERS: f64 = 0.420;

/// The text of every campaign; see [`expected`].
pub const TEMPLATE: &str = "Hi {{ first_name }}";

/// Where a node keeps what must not be lost.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// In its data folder.
    InFolder,
    /// In its data folder, until all of it is moved to servers.
    #[cfg(feature = "cluster")]
    UntilMoved,
    /// On servers. Its data folder is lost whenever the node is.
    #[cfg(feature = "cluster")]
    OnServers(Box<Ground>),
}

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program that serves.
    pub program: String,
    /// Holds everything; empty.
    pub folder: PathBuf,
    /// Partitions of the node.
    pub partitions: u16,
    /// Provider accounts.
    pub providers: usize,
    /// Each provider account's rate, segments per second.
    pub rate: f64,
    /// Draws what becomes of texts at the provider.
    pub seed: u64,
    /// Where the node keeps everything.
    pub keeping: Keeping,
}

impl Plan {
    /// Whether what a dead node leaves lies in its folder.
    pub fn is_in_folder(&self) -> bool {
        match self.keeping {
            Keeping::InFolder => true,
            #[cfg(feature = "cluster")]
            Keeping::UntilMoved => true,
            #[cfg(feature = "cluster")]
            Keeping::OnServers(_) => false,
        }
    }
}

/// A provider that runs, and a node's folder.
pub struct World {
    plan: Plan,
    /// The provider.
    pub sandbox: Sandbox,
    /// The node.
    pub settings: ChildSettings,
    /// Where users live.
    pub tasks: tokio::runtime::Runtime,
    /// Time, and tasks on [`World::tasks`].
    pub runtime: Runtime,
}

impl World {
    /// Starts the provider and writes the node's settings.
    pub fn start(plan: Plan) -> Self {
        let sandbox = start_sandbox(&plan);
        let settings = ChildSettings::write(
            &plan.program,
            &plan.folder,
            plan.partitions,
            sandbox.address(),
            plan.providers,
            plan.rate,
        );
        match &plan.keeping {
            Keeping::InFolder => {}
            #[cfg(feature = "cluster")]
            Keeping::UntilMoved => {}
            #[cfg(feature = "cluster")]
            Keeping::OnServers(ground) => settings.and(&ground.sections()),
        }
        let tasks = fixture::tasks();
        let runtime = Runtime::of_machine(tasks.handle().clone());
        Self {
            plan,
            sandbox,
            settings,
            tasks,
            runtime,
        }
    }

    /// The node's messages are on servers from its next start on, and its folder is gone.
    #[cfg(feature = "cluster")]
    pub fn move_to(&mut self, ground: &Ground) {
        self.settings.and(&ground.sections());
        self.plan.keeping = Keeping::OnServers(Box::new(ground.clone()));
        self.settings.lose_data();
        std::fs::create_dir(self.settings.data()).expect("a folder can be made");
    }

    /// What the node has left of its campaign, wherever it is kept.
    pub fn stored(&self) -> Stored {
        stored(&self.plan, &self.settings)
    }

    /// How long each sender of single texts waits after an answer: together they ask for about
    /// a hundred a second. On servers, whose commits are slower and which share two cores with
    /// the node, for ten: they go first, and would leave little to a campaign.
    pub fn pause_of_singles(&self) -> Duration {
        match self.plan.keeping {
            Keeping::InFolder => Duration::from_millis(35),
            #[cfg(feature = "cluster")]
            Keeping::UntilMoved | Keeping::OnServers(_) => Duration::from_millis(350),
        }
    }

    /// Texts that the provider has taken so far.
    pub fn taken(&self) -> u64 {
        let accounts = self.sandbox.statistics().accounts;
        let taken = accounts.iter().map(|account| account.counts.texts_taken);
        taken.sum()
    }

    /// What the provider's book says by now.
    pub fn witness(&self) -> Witness {
        self.sandbox.flush_book();
        Witness::read(&book(&self.plan.folder))
    }

    /// Whether what a dead node leaves lies in its folder.
    pub fn is_in_folder(&self) -> bool {
        self.plan.is_in_folder()
    }

    /// Whether what a dead node left in its folder agrees with itself.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn verify(&self) -> Result<Verified, String> {
        engine::verify::folder(&self.settings.data()).map_err(|error| error.to_string())
    }

    /// Ends the provider. The node is dead.
    pub fn close(self) -> Remains {
        self.sandbox.shutdown().expect("the book is closed");
        Remains {
            plan: self.plan,
            settings: self.settings,
        }
    }
}

fn start_sandbox(plan: &Plan) -> Sandbox {
    let accounts = (1..=plan.providers).map(|index| {
        let mut account = fixture::sandbox_account(index, plan.rate);
        account.latency_ms = LATENCY_MS;
        account
    });
    Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: accounts.collect(),
        book_folder: book(&plan.folder),
        seed: plan.seed,
        faults: FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts")
}

fn book(folder: &Path) -> PathBuf {
    folder.join("book")
}

/// The text that each of the contacts with these places is to get.
pub fn expected(places: Range<u32>) -> BTreeMap<String, String> {
    let (_, names) = fixture::contacts_of(places);
    let body = |(phone, name): (String, String)| (phone, format!("Hi {name}"));
    names.into_iter().map(body).collect()
}

/// What is left when node and provider have ended.
pub struct Remains {
    plan: Plan,
    /// The node.
    pub settings: ChildSettings,
}

/// What a stopped node leaves.
pub struct Stored {
    /// The campaign's numbers.
    pub tally: CampaignTally,
    /// Its messages, and single ones.
    pub messages: Vec<Message>,
    /// Whether the projections made again from the journal are the stored ones; `None` on
    /// servers, where that cannot be looked at as it was at one moment.
    pub rebuilt: Option<Result<u64, Difference>>,
}

impl Remains {
    /// The provider's book.
    pub fn witness(&self) -> Witness {
        Witness::read(&book(&self.plan.folder))
    }

    /// Tells the most that one account was sent in any second, and that it had more to do than
    /// it may.
    ///
    /// # Panics
    /// When that was more than its rate, or less than half of it: then nothing was shown.
    pub fn keep_pace(&self) {
        let (witness, stored, rate) = (self.witness(), self.stored(), self.plan.rate);
        let most_sent = judge::most_sent(&stored.messages);
        let (sent, arrived) = (most_sent.values().max(), witness.most_arrived());
        say(&format!(
            "most in any second of {rate}: sent {sent:?}, arrived {arrived:?}"
        ));
        let sent = *sent.expect("texts were sent") as f64;
        assert!(sent <= rate, "{sent} in a second");
        assert!(sent >= rate / 2.0, "the limit was never near: {sent}");
    }

    /// What the node left of the one campaign.
    pub fn stored(&self) -> Stored {
        stored(&self.plan, &self.settings)
    }

    /// Judges the campaign to so many recipients, whose node was disturbed so many times.
    pub fn judge(
        &self,
        witness: &Witness,
        stored: &Stored,
        recipients: u32,
        disturbances: u64,
    ) -> Judged {
        let verdict = judge::judge(witness, &stored.messages, &expected(0..recipients), true);
        let most_sent = judge::most_sent(&stored.messages);
        let most_sent: Vec<u64> = most_sent.into_values().collect();
        let bound = self.most_never_taken(disturbances);
        let mut judged = Judged {
            bound,
            wrongs: Vec::new(),
            told: format!(
                "{verdict:?}, {:?}; most in any second of {}: sent {most_sent:?}, arrived {:?}",
                stored.tally.by_status,
                self.plan.rate,
                witness.most_arrived().values().collect::<Vec<_>>(),
            ),
            verdict,
        };
        let Stored { tally, rebuilt, .. } = stored;
        let verdict = &judged.verdict;
        let all = u64::from(recipients);
        let never_taken = verdict.unknown_never_taken as u64;
        let is_paced = most_sent.iter().all(|most| *most as f64 <= self.plan.rate);
        let is_rebuilt = rebuilt.as_ref().is_none_or(|rebuilt| {
            let rows = rebuilt.as_ref().copied().unwrap_or(0);
            rows > 3 * all
        });
        let must_be = [
            (verdict.balances(), "lost, twice and unexplained are 0"),
            (tally.is_exact() && tally.frozen, "the identity is exact"),
            (tally.total_recipients == all, "everybody is in it"),
            (tally.pending() == 0, "nobody is pending"),
            (never_taken <= bound, "few were unknown and never taken"),
            (
                most_sent.len() == self.plan.providers,
                "every provider was used",
            ),
            (is_paced, "the pace was kept"),
            (is_rebuilt, "the rebuilt projections are the stored ones"),
        ];
        let broken = must_be.iter().filter(|(holds, _)| !holds);
        judged.wrongs = broken
            .map(|(_, what)| format!("it does not hold that {what}: {}, {rebuilt:?}", judged.told))
            .collect();
        judged
    }

    /// The most messages that so many disturbances may have left unknown, and not taken.
    pub fn most_never_taken(&self, disturbances: u64) -> u64 {
        disturbances * self.committed_and_unsent()
    }

    /// The book, to be read record by record.
    pub fn book(&self) -> Book {
        Book::read(&book(&self.plan.folder)).expect("the book can be read")
    }

    /// Opens what the node left in its folder.
    pub fn storage(&self, runtime: &Runtime) -> Storage {
        fixture::open_storage(&self.settings.folder, self.plan.partitions, runtime)
    }

    /// Attempts of all provider accounts that may be committed and not at the provider:
    /// in flight, and ahead of their permits.
    fn committed_and_unsent(&self) -> u64 {
        let account = fixture::provider(self.settings.listen(), 1, self.plan.rate);
        let ahead = match self.plan.keeping {
            Keeping::InFolder => COMMITTED_AHEAD,
            #[cfg(feature = "cluster")]
            Keeping::UntilMoved | Keeping::OnServers(_) => COMMITTED_AHEAD_ON_SERVERS,
        };
        let ahead = (ahead * account.rate).ceil() as u64;
        self.plan.providers as u64 * (u64::from(account.max_in_flight) + ahead)
    }
}

/// What a dead node left of its one campaign.
fn stored(plan: &Plan, settings: &ChildSettings) -> Stored {
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    tasks.block_on(async {
        let in_folder = || {
            let storage = fixture::open_storage(&settings.folder, plan.partitions, &runtime);
            let rebuilt = storage.compare_with_rebuilt();
            let rebuilt = rebuilt.expect("the journal can be read");
            (storage.store, Some(rebuilt))
        };
        let (store, rebuilt) = match &plan.keeping {
            Keeping::InFolder => in_folder(),
            #[cfg(feature = "cluster")]
            Keeping::UntilMoved => in_folder(),
            #[cfg(feature = "cluster")]
            Keeping::OnServers(ground) => (ground.store(&runtime).await, None),
        };
        let campaign = rows::only_campaign(&store).await;
        let (account, campaign) = campaign.expect("the campaign is there");
        let partitions = PartitionCount::new(plan.partitions);
        let partitions = partitions.expect("a power of two");
        Stored {
            tally: rows::tally(&store, partitions, campaign).await,
            messages: rows::messages(&store, account, campaign).await,
            rebuilt,
        }
    })
}

/// How a campaign ended.
pub struct Judged {
    /// Node against book.
    pub verdict: Verdict,
    /// The most that may be unknown and never taken.
    pub bound: u64,
    /// What does not hold; must be empty.
    pub wrongs: Vec<String>,
    /// All figures, for people.
    pub told: String,
}

/// The seed of a run: one that was given to repeat it, or a new one.
pub fn seed(given: Option<&str>) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    given.map_or_else(
        || std::hash::RandomState::new().build_hasher().finish(),
        |seed| seed.parse().expect("a seed is a number"),
    )
}

/// Figures that belong to the result.
#[allow(clippy::print_stdout)]
pub fn say(line: &str) {
    println!("{line}");
}
