//! What is judged when all campaigns are over: the book against what was commanded, and
//! against what the node says.

use std::collections::{BTreeMap, BTreeSet};

use engine::runtime::Runtime;
use sandbox::book::{Book, Record};
use schemas::account::Account;
use schemas::campaign::CampaignState;
use schemas::http::campaigns::CampaignBody;
use schemas::{CampaignId, Message, MessageStatus, ProviderId};

use super::List;
use super::history::{HOLDS_AFTER, History};
use crate::fixture;
use crate::judge::{self, Witness};
use crate::kill::figures::Figures;
use crate::rows;
use crate::user::sum;
use crate::world::{Remains, expected, say};

/// A text may arrive so much later than a rest holds, in microseconds. What had begun goes on to
/// its end: in a node that has just started one text for each account waits until a second after
/// the start, and a pause may have been answered at once. The rest is for a busy machine.
const ON_THE_WIRE: u64 = 250_000;

/// What left may arrive so much later, in microseconds. Attempts are committed at most 20 ms
/// ahead of their permits, at the rate of that moment: 200 ms where it was cut to a tenth
/// meanwhile. The rest is for a busy machine.
const IN_FLIGHT: u64 = 500_000;

/// What a second of the book may hold beyond the rate: texts that left in an earlier one and
/// were late by a quarter of a second. Our own send stamps get nothing on top.
const JITTER: f64 = 0.25;

/// A run that is over.
pub struct Over<'a> {
    /// Who is on the lists.
    pub lists: &'a [List],
    /// Their campaigns, as they were in the end: the long one, then those canceled.
    pub campaigns: &'a [CampaignBody],
    /// The provider accounts.
    pub providers: &'a [ProviderId],
    /// What was commanded.
    pub history: History,
    /// Those after which attempts may be without an outcome.
    pub disturbances: u64,
}

impl Over<'_> {
    /// Judges everything.
    pub fn judge(mut self, remains: &Remains, figures: &mut Figures) {
        self.show_texts(remains.book());
        self.rests(figures);
        let (mut witness, messages) = (remains.witness(), self.messages(remains));
        let accounts = (1..=self.providers.len()).map(fixture::account_sid);
        let arrived = accounts.map(|sid| witness.arrivals.remove(&sid).unwrap_or_default());
        self.pace("arrived", arrived, IN_FLIGHT, JITTER, figures);
        let mut sent = judge::stamps(&messages);
        let ids = self.providers.iter();
        let sent = ids.map(|id| sent.remove(id).unwrap_or_default());
        self.pace("sent", sent, 0, 0.0, figures);
        let mut by_campaign: BTreeMap<Option<CampaignId>, Vec<Message>> = BTreeMap::new();
        for message in messages {
            let of_campaign = by_campaign.entry(message.envelope.campaign).or_default();
            of_campaign.push(message);
        }
        let mut never_taken = 0;
        for number in 0..self.campaigns.len() {
            let is_its = |to: &str| self.campaign_of(to) == Some(number);
            let its = witness.split_off(is_its);
            let messages = by_campaign.remove(&Some(self.campaigns[number].id));
            let messages = messages.unwrap_or_default();
            never_taken += self.campaign(number, &its, &messages, figures);
        }
        let strangers = (witness.recipients.len(), by_campaign.len());
        let told = format!("{strangers:?}");
        must(
            strangers == (0, 0),
            "nobody else got a text",
            &told,
            figures,
        );
        let bound = remains.most_never_taken(self.disturbances);
        let told = format!("{never_taken} of at most {bound} unknown and never taken");
        say(&format!("  {told}"));
        must(never_taken <= bound, "these are few", &told, figures);
        figures.campaigns += self.campaigns.len() as u64;
        figures.cut_off += remains.settings.attempts_cut_off();
        figures.unknown_never_taken += never_taken;
        figures.bound += bound;
    }

    /// The number of the campaign whose list this recipient is on.
    fn campaign_of(&self, to: &str) -> Option<usize> {
        let place = fixture::place_of(to)?;
        self.lists.iter().position(|list| list.contains(&place))
    }

    /// Shows all texts of the book to the history.
    fn show_texts(&mut self, book: Book) {
        for record in book {
            let Record::Text(text) = record.expect("the book is whole") else {
                continue;
            };
            if let Some(campaign) = self.campaign_of(&text.to) {
                self.history.arrived(campaign, text.at);
            }
        }
    }

    /// Nothing of what rested arrived, but for what had begun.
    fn rests(&self, figures: &mut Figures) {
        for rest in &self.history.rests {
            let (campaign, texts, latest) = (rest.campaign, rest.texts, rest.latest / 1_000);
            let told = format!(
                "campaign {campaign} rests: {texts} texts after the answer, the last {latest} ms"
            );
            say(&format!("  {told}"));
            let is_right = rest.latest <= HOLDS_AFTER + ON_THE_WIRE;
            must(is_right, "what rests, rests", &told, figures);
            let is_long = rest.until - rest.answered > HOLDS_AFTER + ON_THE_WIRE;
            must(is_long, "it rested for long enough", &told, figures);
        }
    }

    /// No sliding second holds more than the rate in force.
    fn pace(
        &self,
        name: &str,
        stamps: impl Iterator<Item = Vec<(u64, u32)>>,
        late: u64,
        more: f64,
        figures: &mut Figures,
    ) {
        for ((place, stamps), rates) in stamps.enumerate().zip(&self.history.rates) {
            must(!stamps.is_empty(), "every provider was used", name, figures);
            let fullest = rates.fullest(stamps, late, more);
            let told = format!("account {place}, {name}: {fullest:?}");
            say(&format!("  {told}"));
            must(fullest.excess() <= 0, "rates were kept", &told, figures);
        }
    }

    /// All messages that the node left.
    fn messages(&self, remains: &Remains) -> Vec<Message> {
        let tasks = fixture::tasks();
        let runtime = Runtime::of_machine(tasks.handle().clone());
        tasks.block_on(async {
            let store = remains.storage(&runtime).store;
            let accounts = rows::all::<Account>(&store, &Account::partition_key()).await;
            let account = accounts.first().expect("the account is there").id;
            rows::messages(&store, account, self.campaigns[0].id).await
        })
    }

    /// One campaign, by its messages and its last numbers: everything was sent, or the rest
    /// canceled. Tells how many are unknown and were never taken.
    fn campaign(
        &self,
        number: usize,
        witness: &Witness,
        messages: &[Message],
        figures: &mut Figures,
    ) -> u64 {
        let (body, list) = (&self.campaigns[number], self.lists[number].clone());
        let (all, mut expected) = (list.len() as u64, expected(list));
        if number > 0 {
            // Who was canceled has no message, or a canceled one, and got nothing.
            let messages = messages.iter();
            let others = messages.filter(|message| message.status != MessageStatus::Canceled);
            let others: BTreeSet<_> = others.map(|message| message.envelope.to.as_str()).collect();
            expected.retain(|to, _| others.contains(to.as_str()));
        }
        let verdict = judge::judge(witness, messages, &expected, true);
        let never_taken = verdict.unknown_never_taken as u64;
        let recipients = witness.recipients.values();
        let taken = recipients.filter(|recipient| !recipient.taken.is_empty());
        let taken = taken.count() as u64;
        let (state, numbers) = (body.state, &body.numbers);
        let told = format!("campaign {number}: {taken} taken, {state:?}, {numbers:?}, {verdict:?}");
        say(&format!("  {told}"));
        let rest = all.saturating_sub(taken + never_taken);
        let is_over = match number {
            0 => state == CampaignState::Finished && rest == 0,
            _ => state == CampaignState::Canceled && rest > 0,
        };
        let is_whole = numbers.total_recipients == all && sum(numbers) == all;
        for (holds, what) in [
            (verdict.balances(), "lost, twice and unexplained are 0"),
            (is_whole, "everybody is counted once"),
            (numbers.pending == 0, "nobody waits"),
            (is_over, "all was sent, or canceled"),
            (numbers.canceled == rest, "only the rest is canceled"),
        ] {
            must(holds, what, &told, figures);
        }
        figures.recipients += all;
        figures.lost += verdict.missing as u64;
        figures.twice += verdict.duplicates as u64;
        never_taken
    }
}

fn must(holds: bool, what: &str, told: &str, figures: &mut Figures) {
    if !holds {
        figures.wrong(&format!("it does not hold that {what}: {told}"));
    }
}
