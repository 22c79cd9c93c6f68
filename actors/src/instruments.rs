//! What operators see of the actors on `/metrics`. Labels are few: names of provider accounts
//! from the settings, classes, states and outcomes; never an id.

use engine::journal::NO_PROVIDER;
use engine::runtime::BootMicros;
use metrics::{Counter, Gauge, Histogram, Label, Unit};
use schemas::provider::SubmitOutcome;
use schemas::{MessageClass, PartitionRange, UnixMicros};

const SEGMENTS: &str = "volley_provider_segments_total";
const LIMIT: &str = "volley_provider_limit_segments_per_second";
const RATE: &str = "volley_provider_rate_segments_per_second";
const IN_FLIGHT: &str = "volley_provider_requests_in_flight";
const SECONDS: &str = "volley_provider_request_seconds";
const ANSWERS: &str = "volley_provider_answers_total";
const RESTING: &str = "volley_provider_resting";
const WAITING: &str = "volley_dispatch_waiting_messages";
const OLDEST: &str = "volley_dispatch_oldest_waiting_timestamp_seconds";
const HELD: &str = "volley_held_messages";
const CAMPAIGNS: &str = "volley_campaigns_under_way";
const ATTEMPTS: &str = "volley_attempts_total";
pub(crate) const RESTARTS: &str = "volley_actor_restarts_total";
pub(crate) const PUT_ASIDE: &str = "volley_actors_put_aside_total";
pub(crate) const UNMATCHED: &str = "volley_receipts_unmatched_total";

/// Says what the numbers mean, once for each process.
pub fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(SEGMENTS, "Segments that left for a provider account.");
    describe_gauge!(
        LIMIT,
        "Segments per second that a provider account is sent at most: its settings', or what an \
         operator ordered."
    );
    describe_gauge!(
        RATE,
        "Segments per second that a provider account is sent at most just now: its limit, or less \
         while it throttles, fails or is slow to answer, and for a while afterwards."
    );
    describe_gauge!(
        IN_FLIGHT,
        "Requests to a provider account without an answer."
    );
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "From the send stamp of a text to its answer, or to giving up on one."
    );
    describe_counter!(
        ANSWERS,
        "What became of requests, by provider account and outcome."
    );
    describe_gauge!(
        RESTING,
        "Whether a provider account is disabled, or seems dead and gets nothing but probes (1), \
         or not (0)."
    );
    describe_gauge!(
        WAITING,
        "Messages that were read and wait for a provider account that may carry them, by class."
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "When the first of them was accepted, its campaign started or its time came, in seconds \
         since 1970, by class; NaN when none waits."
    );
    describe_gauge!(
        HELD,
        "Messages that were put aside, by cause: none of the provider accounts works that may \
         carry them, or their campaign is held."
    );
    describe_gauge!(
        CAMPAIGNS,
        "Campaigns that are not over, by what they do now."
    );
    describe_counter!(
        ATTEMPTS,
        "Attempts that ended, by outcome, as given to the journal."
    );
    describe_counter!(
        RESTARTS,
        "Actors that failed and were built again, by actor."
    );
    describe_counter!(
        PUT_ASIDE,
        "Actors of one campaign or import that failed three times in five minutes and are tried again after five, by actor."
    );
    describe_counter!(
        UNMATCHED,
        "Receipts of which nobody found the message within the time that they are kept."
    );
}

/// What is measured of one provider account. The handles are looked up once.
pub struct ProviderInstruments {
    segments: Counter,
    limit: Gauge,
    rate: Gauge,
    in_flight: Gauge,
    seconds: Histogram,
    resting: Gauge,
    /// By [`place_of`] an outcome.
    answers: [Counter; OUTCOMES.len()],
}

impl ProviderInstruments {
    /// Those of the account with this name in the settings.
    pub fn of(name: &str, range: PartitionRange) -> Self {
        let label = || name.to_owned();
        let ranged = || ranged(range, Label::new("provider", label()));
        Self {
            segments: metrics::counter!(SEGMENTS, "provider" => label()),
            limit: metrics::gauge!(LIMIT, ranged()),
            rate: metrics::gauge!(RATE, ranged()),
            in_flight: metrics::gauge!(IN_FLIGHT, "provider" => label()),
            seconds: metrics::histogram!(SECONDS, "provider" => label()),
            resting: metrics::gauge!(RESTING, ranged()),
            answers: OUTCOMES.map(
                |outcome| metrics::counter!(ANSWERS, "provider" => label(), "outcome" => outcome),
            ),
        }
    }

    /// What it may be sent, and what of that it is sent at most just now, in segments per
    /// second.
    pub fn rates(&self, limit: f64, rate: f64) {
        self.limit.set(limit);
        self.rate.set(rate);
    }

    /// Whether it rests.
    pub fn resting(&self, is_resting: bool) {
        self.resting.set(f64::from(u8::from(is_resting)));
    }

    /// A text of so many segments leaves. What comes back lives as long as its request.
    pub fn leaves(&self, segments: u32) -> Open<'_> {
        self.segments.increment(u64::from(segments));
        self.in_flight.increment(1.0);
        Open(self)
    }

    /// A request ended after so many microseconds.
    pub fn ended(&self, outcome: &SubmitOutcome, micros: BootMicros) {
        self.seconds.record(micros as f64 / 1e6);
        self.answers[place_of(outcome)].increment(1);
    }
}

/// A request that is in flight.
pub struct Open<'a>(&'a ProviderInstruments);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.in_flight.decrement(1.0);
    }
}

/// What waits of a class: how many, and since when the first of them could have left.
pub(crate) fn waiting(
    range: PartitionRange,
    class: MessageClass,
    (messages, since): (usize, Option<UnixMicros>),
) {
    let ranged = || ranged(range, Label::new("class", class.as_str()));
    let since = since.map_or(f64::NAN, |since| since.0 as f64 / 1e6);
    metrics::gauge!(WAITING, ranged()).set(messages as f64);
    metrics::gauge!(OLDEST, ranged()).set(since);
}

/// Single messages that were put aside: none of the provider accounts works that may carry
/// them.
pub(crate) fn held(range: PartitionRange, messages: u64) {
    // Campaigns' come on top of that, each by its coordinator.
    let mut labels = ranged(range, Label::new("cause", NO_PROVIDER));
    labels.push(Label::new("kind", "single"));
    metrics::gauge!(HELD, labels).set(messages as f64);
}

/// A label, and where there are several owners which of them it is.
fn ranged(range: PartitionRange, label: Label) -> Vec<Label> {
    let of_several = range.ranges() > 1;
    let which = of_several.then(|| Label::new("range", range.place().to_string()));
    std::iter::once(label).chain(which).collect()
}

/// A campaign among those that are not over, for as long as this lives.
#[derive(Default)]
pub struct CampaignInstrument {
    state: Option<&'static str>,
    held: Option<(&'static str, u64)>,
}

impl CampaignInstrument {
    /// What it does now.
    pub fn is(&mut self, state: &'static str) {
        if self.state != Some(state) {
            self.forget_state();
            metrics::gauge!(CAMPAIGNS, "state" => state).increment(1.0);
            self.state = Some(state);
        }
    }

    /// So many messages of it are put aside, for this cause.
    pub fn holds(&mut self, cause: &'static str, messages: u64) {
        if self.held != Some((cause, messages)) {
            self.forget_held();
            held_of_campaigns(cause).increment(messages as f64);
            self.held = Some((cause, messages));
        }
    }

    fn forget_state(&mut self) {
        if let Some(state) = self.state.take() {
            metrics::gauge!(CAMPAIGNS, "state" => state).decrement(1.0);
        }
    }

    fn forget_held(&mut self) {
        if let Some((cause, messages)) = self.held.take() {
            held_of_campaigns(cause).decrement(messages as f64);
        }
    }
}

impl Drop for CampaignInstrument {
    fn drop(&mut self) {
        self.forget_state();
        self.forget_held();
    }
}

fn held_of_campaigns(cause: &'static str) -> Gauge {
    metrics::gauge!(HELD, "cause" => cause, "kind" => "campaign")
}

/// The stable words of outcomes.
const OUTCOMES: [&str; 5] = ["accepted", "rejected", "throttled", "not_sent", "unknown"];

const fn place_of(outcome: &SubmitOutcome) -> usize {
    match outcome {
        SubmitOutcome::Accepted { .. } => 0,
        SubmitOutcome::Rejected { .. } => 1,
        SubmitOutcome::Throttled { .. } => 2,
        SubmitOutcome::NotSent { .. } => 3,
        SubmitOutcome::Unknown { .. } => 4,
    }
}

/// Counts an attempt whose end goes into the journal.
pub(crate) fn attempt_ended(outcome: &SubmitOutcome) {
    metrics::counter!(ATTEMPTS, "outcome" => OUTCOMES[place_of(outcome)]).increment(1);
}
