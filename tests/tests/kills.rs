//! `kill -9` in the middle of a campaign, again and again, while the provider goes on:
//! afterwards nobody has two texts, nobody is lost, and the numbers agree.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use engine::journal::Difference;
use engine::provider::ProviderAccount;
use engine::runtime::Runtime;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sandbox::{FaultPlan, Sandbox, SandboxConfig};
use schemas::Message;
use schemas::campaign::CampaignTally;
use tests::child::{ChildNode, ChildSettings};
use tests::fixture;
use tests::judge::{self, Witness};
use tests::user::User;

/// Kills of one campaign.
const KILLS: u32 = 25;

/// Provider accounts.
const PROVIDERS: usize = 3;

/// Recipients: between two kills some hundred texts leave.
const RECIPIENTS: u32 = 15_000;

/// Each provider account's rate, segments per second.
const RATE: f64 = 2_000.0;

/// The rate of an account that is to be busy all the time, and its recipients: a run of
/// some seconds between two kills.
const SLOW_RATE: f64 = 200.0;
/// See [`SLOW_RATE`].
const SLOW_RECIPIENTS: u32 = 1_600;

/// The provider answers after this many milliseconds, so that attempts are open at any
/// moment: 60 of each account at its full rate.
const LATENCY_MS: u64 = 30;

/// Attempts that the kills of one campaign must have cut off, all together.
const LEAST_OPEN: u64 = 500;

/// How far ahead of its permits a sender commits attempts, in seconds.
const COMMITTED_AHEAD: f64 = 0.020;

/// How often a settled state is looked for, 50 ms apart: at least 130 seconds. Receipts
/// that a dead node missed are asked for after 60 seconds, unknown texts are searched
/// for after 3, 15 and 60.
const SETTLED_LOOKS: u32 = 2_600;

/// One at a time: each of them uses the whole machine.
static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn kills_with_one_partition() {
    a_campaign_survives_kills(1, false);
}

#[test]
fn kills_with_eight_partitions() {
    a_campaign_survives_kills(8, true);
}

#[test]
fn kills_with_sixty_four_partitions() {
    a_campaign_survives_kills(64, false);
}

/// One account that has more to do than it may: its limit is reached in every second
/// that is not a restart's.
#[test]
fn the_pace_holds_over_restarts() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), "kills-pace");
    let sandbox = start_sandbox(&folder.join("book"), 1, 1, SLOW_RATE);
    let program = env!("CARGO_BIN_EXE_node");
    let settings = ChildSettings::write(program, &folder, 8, sandbox.address(), 1, SLOW_RATE);
    let tasks = fixture::tasks();
    let mut node = ChildNode::start(&settings);
    let (csv, _) = fixture::contacts(SLOW_RECIPIENTS);
    let (user, campaign) = tasks.block_on(async {
        let user = User::sign_up(&settings.data()).await;
        let campaign = user.launch(csv, "Hi {{ first_name }}").await;
        (user, campaign)
    });
    for quarter in 1..=3 {
        let at = u64::from(quarter * SLOW_RECIPIENTS / 4);
        node.run_until(|| taken(&sandbox) >= at);
        node.kill();
        node = ChildNode::start(&settings);
    }
    tasks.block_on(user.finished(campaign));
    node.stop();
    sandbox.shutdown().expect("the book is closed");
    let (_, messages, _) = what_is_stored(&settings, 8);
    let witness = Witness::read(&folder.join("book"));
    let most_sent = judge::most_sent(&messages);
    let (sent, arrived) = (most_sent.values().max(), witness.most_arrived());
    say(&format!(
        "most in any second of {SLOW_RATE}: sent {sent:?}, arrived {arrived:?}"
    ));
    let sent = *sent.expect("texts were sent") as f64;
    assert!(sent <= SLOW_RATE, "{sent} in a second");
    assert!(sent >= SLOW_RATE / 2.0, "the limit was never near: {sent}");
}

fn a_campaign_survives_kills(partitions: u16, settles: bool) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = seed();
    say(&format!(
        "P = {partitions}: seed {seed} (VOLLEY_SEED repeats it)"
    ));
    let folder = fixture::folder(env!("CARGO_TARGET_TMPDIR"), &format!("kills-{partitions}"));
    let sandbox = start_sandbox(&folder.join("book"), seed, PROVIDERS, RATE);
    let settings = ChildSettings::write(
        env!("CARGO_BIN_EXE_node"),
        &folder,
        partitions,
        sandbox.address(),
        PROVIDERS,
        RATE,
    );
    let open = kill_again_and_again(&settings, &sandbox, seed, settles);
    sandbox.shutdown().expect("the book is closed");
    say(&format!(
        "P = {partitions}: {KILLS} kills cut off {open} attempts"
    ));
    assert!(open >= LEAST_OPEN, "{open} attempts were open at the kills");
    judge_campaign(&settings, partitions);
}

/// Lets the campaign run to its end with kills on the way, and where wanted on until
/// everything about it is known; gives the sum of attempts that were open at the kills.
fn kill_again_and_again(
    settings: &ChildSettings,
    sandbox: &Sandbox,
    seed: u64,
    settles: bool,
) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tasks = fixture::tasks();
    let mut node = ChildNode::start(settings);
    let (user, campaign) = tasks.block_on(async {
        let user = User::sign_up(&settings.data()).await;
        let (csv, _) = fixture::contacts(RECIPIENTS);
        let campaign = user.launch(csv, "Hi {{ first_name }}").await;
        (user, campaign)
    });
    for kill in 0..KILLS {
        // Somewhere in this kill's share of the campaign between 5 and 95 %.
        let part = (f64::from(kill) + random.random::<f64>()) / f64::from(KILLS);
        let at = (0.05 + 0.90 * part) * f64::from(RECIPIENTS);
        // What the kills before cut off is over for the campaign, taken or not.
        let cut_off = settings.attempts_cut_off();
        node.run_until(|| (taken(sandbox) + cut_off) as f64 >= at);
        node.kill();
        verify(settings);
        node = ChildNode::start(settings);
    }
    tasks.block_on(user.finished(campaign));
    if settles {
        let taken = witness(settings, sandbox).recipients.len() as u64;
        let never_taken = u64::from(RECIPIENTS) - taken;
        let settled = tasks.block_on(user.settled(campaign, never_taken, SETTLED_LOOKS));
        assert!(
            settled,
            "every text that was taken is found, and its receipt"
        );
    }
    node.stop();
    verify(settings);
    settings.attempts_cut_off()
}

/// What is on the disk agrees with itself at any moment.
fn verify(settings: &ChildSettings) {
    if let Err(error) = engine::verify::folder(&settings.data()) {
        panic!("{error}");
    }
}

fn judge_campaign(settings: &ChildSettings, partitions: u16) {
    let (_, names) = fixture::contacts(RECIPIENTS);
    let body = |(phone, name): (String, String)| (phone, format!("Hi {name}"));
    let expected: BTreeMap<_, _> = names.into_iter().map(body).collect();
    let witness = Witness::read(&settings.folder.join("book"));
    let (tally, messages, rebuilt) = what_is_stored(settings, partitions);
    let verdict = judge::judge(&witness, &messages, &expected, true);
    let most_sent = judge::most_sent(&messages);
    say(&format!(
        "P = {partitions}: {verdict:?}, {:?}; most in any second of {RATE}: sent {:?}, arrived {:?}",
        tally.by_status,
        most_sent.values().collect::<Vec<_>>(),
        witness.most_arrived().values().collect::<Vec<_>>(),
    ));
    assert!(tally.is_exact() && tally.frozen, "{tally:?}");
    assert_eq!(tally.total_recipients, u64::from(RECIPIENTS));
    assert_eq!(tally.pending(), 0);
    assert!(verdict.balances(), "{verdict:?}");
    let account = fixture::provider(settings.listen, 1, RATE);
    let bound = KILLS as usize * PROVIDERS * committed_and_unsent(&account);
    assert!(
        verdict.unknown_never_taken <= bound,
        "{verdict:?}, at most {bound}"
    );
    assert_eq!(most_sent.len(), PROVIDERS, "every provider was used");
    for (provider, most) in most_sent {
        assert!(most as f64 <= RATE, "{provider}: {most} in a second");
    }
    let rows = rebuilt.expect("the rebuilt projections are the stored ones");
    assert!(
        rows > u64::from(3 * RECIPIENTS),
        "contacts, members, messages: {rows}"
    );
}

/// What a stopped node leaves: the campaign's numbers, its messages, and whether the
/// projections made again from the journal are these.
fn what_is_stored(
    settings: &ChildSettings,
    partitions: u16,
) -> (CampaignTally, Vec<Message>, Result<u64, Difference>) {
    let tasks = fixture::tasks();
    let runtime = Runtime::of_machine(tasks.handle().clone());
    tasks.block_on(async {
        let storage = fixture::open_storage(&settings.folder, partitions, &runtime);
        let campaign = fixture::only_campaign(&storage).await;
        let (account, campaign) = campaign.expect("the campaign is there");
        let tally = fixture::tally(&storage, campaign).await;
        let messages = fixture::messages(&storage, account, campaign).await;
        let rebuilt = storage.compare_with_rebuilt();
        (tally, messages, rebuilt.expect("the journal can be read"))
    })
}

/// Attempts of one provider account that may be committed and not at the provider: in
/// flight, and ahead of their permits.
fn committed_and_unsent(account: &ProviderAccount) -> usize {
    account.max_in_flight as usize + (COMMITTED_AHEAD * account.rate).ceil() as usize
}

fn start_sandbox(book: &Path, seed: u64, providers: usize, rate: f64) -> Sandbox {
    let accounts = (1..=providers).map(|index| {
        let mut account = fixture::sandbox_account(index, rate);
        account.latency_ms = LATENCY_MS;
        account
    });
    Sandbox::start(SandboxConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        accounts: accounts.collect(),
        book_folder: book.to_owned(),
        seed,
        faults: FaultPlan::none(),
        threads: 1,
    })
    .expect("the sandbox starts")
}

/// What the book says by now.
fn witness(settings: &ChildSettings, sandbox: &Sandbox) -> Witness {
    sandbox.flush_book();
    Witness::read(&settings.folder.join("book"))
}

fn taken(sandbox: &Sandbox) -> u64 {
    let accounts = sandbox.statistics().accounts;
    accounts
        .iter()
        .map(|account| account.counts.texts_taken)
        .sum()
}

/// A new seed each time, unless one is given to repeat a run. The kills still fall
/// where the machine lets them.
fn seed() -> u64 {
    let given = std::env::var("VOLLEY_SEED").ok();
    given.map_or_else(
        || std::hash::RandomState::new().build_hasher().finish(),
        |seed| seed.parse().expect("VOLLEY_SEED is a number"),
    )
}

/// Figures that belong to the test's result.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
