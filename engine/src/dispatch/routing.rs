//! Which provider accounts may carry a message, and from which sender.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::campaign::Campaign;
use schemas::{Envelope, ProviderId};

use crate::pacing::Limited;
use crate::provider::ProviderAccount;

/// The most provider accounts of one node: routes are bits of one number.
pub const MAX_PROVIDERS: usize = 128;

/// Which provider accounts may carry a message, and from which sender as far as limits tell
/// them apart: what waits in one line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Routes {
    providers: u128,
    from: FromSender,
}

/// From which sender.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
enum FromSender {
    /// The default one of who carries it.
    #[default]
    Default,
    /// One that has no limit anywhere.
    Unlimited,
    /// The one with this number among those that have a limit somewhere.
    Limited(u16),
}

impl Routes {
    /// The accounts whose bits are set, from their default senders.
    #[cfg(test)]
    pub const fn of_bits(providers: u128) -> Self {
        let from = FromSender::Default;
        Self { providers, from }
    }

    /// Whether nobody may carry the message.
    pub const fn is_empty(self) -> bool {
        self.providers == 0
    }

    /// Whether all who may carry the message are among these. True of what nobody may carry:
    /// an account may be gone from the settings, by mistake too.
    pub const fn is_within(self, others: Self) -> bool {
        self.providers & !others.providers == 0
    }

    /// Whether one of them is among these.
    pub const fn meets(self, others: Self) -> bool {
        self.providers & others.providers != 0
    }

    /// Those of them that are among these, from the same sender.
    pub const fn among(self, others: Self) -> Self {
        let (providers, from) = (self.providers & others.providers, self.from);
        Self { providers, from }
    }

    /// Those of them that are not among these, from the same sender.
    pub const fn without(self, others: Self) -> Self {
        let (providers, from) = (self.providers & !others.providers, self.from);
        Self { providers, from }
    }

    /// Whether the account with this number is among them.
    pub const fn contains(self, index: usize) -> bool {
        self.providers & (1 << index) != 0
    }
}

impl FromIterator<usize> for Routes {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let bits = numbers.into_iter().map(|number| 1 << number);
        Self {
            providers: bits.fold(0, |routes, bit: u128| routes | bit),
            from: FromSender::Default,
        }
    }
}

/// What routing knows of the provider accounts.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    accounts: Vec<Account>,
    /// The senders that have a limit at some account, in alphabetical order: their numbers.
    limited: Vec<String>,
}

#[derive(Clone, Debug)]
struct Account {
    id: ProviderId,
    senders: Vec<String>,
    default_sender: String,
    /// Limits in segments per second, by the numbers of the senders.
    rates: BTreeMap<u16, f64>,
    /// The number of the default sender, if that has a limit.
    default_limited: Option<u16>,
}

impl Routing {
    /// Routing over these accounts; those past [`MAX_PROVIDERS`] are not used.
    pub fn new(accounts: &[Arc<ProviderAccount>]) -> Self {
        let accounts = accounts.iter().take(MAX_PROVIDERS);
        let limited: BTreeSet<_> = accounts
            .clone()
            .flat_map(|account| account.sender_rates.keys())
            .collect();
        let limited: Vec<String> = limited.into_iter().cloned().collect();
        let accounts = accounts.map(|account| {
            let rates = account.sender_rates.iter();
            let rates = rates.filter_map(|(name, rate)| Some((number_of(name, &limited)?, *rate)));
            let rates: BTreeMap<_, _> = rates.collect();
            let default = number_of(&account.default_sender, &limited);
            Account {
                id: account.id,
                senders: account.senders.clone(),
                default_sender: account.default_sender.clone(),
                default_limited: default.filter(|number| rates.contains_key(number)),
                rates,
            }
        });
        Self {
            accounts: accounts.collect(),
            limited,
        }
    }

    /// The number of an account.
    pub fn index(&self, provider: ProviderId) -> Option<usize> {
        self.accounts
            .iter()
            .position(|account| account.id == provider)
    }

    /// The accounts of a set, in the order of their ids.
    pub fn accounts(&self, routes: Routes) -> Vec<ProviderId> {
        let accounts = self.accounts.iter().enumerate();
        let among = accounts.filter(|(index, _)| routes.contains(*index));
        let mut accounts: Vec<_> = among.map(|(_, account)| account.id).collect();
        accounts.sort_unstable();
        accounts
    }

    /// Who may carry a message from this sender: of these provider accounts, where some are
    /// named.
    pub fn routes(&self, from: Option<&str>, providers: &[ProviderId]) -> Routes {
        let mut bits = 0;
        for (index, account) in self.accounts.iter().enumerate() {
            let wanted = providers.is_empty() || providers.contains(&account.id);
            let owns = from.is_none_or(|from| account.senders.iter().any(|own| own == from));
            if wanted && owns {
                bits |= 1 << index;
            }
        }
        let number = from.map(|from| number_of(from, &self.limited));
        Routes {
            providers: bits,
            from: number.map_or(FromSender::Default, |number| {
                number.map_or(FromSender::Unlimited, FromSender::Limited)
            }),
        }
    }

    /// Who may carry this message, which was asked for singly.
    pub fn routes_of(&self, envelope: &Envelope) -> Routes {
        self.routes(envelope.from.as_deref(), envelope.provider.as_slice())
    }

    /// Who may carry the messages of this campaign now.
    pub fn routes_of_campaign(&self, campaign: &Campaign) -> Routes {
        self.routes(campaign.from.as_deref(), &campaign.providers)
    }

    /// The sender that the account with this number uses for a message.
    pub fn sender<'a>(&'a self, index: usize, from: Option<&'a str>) -> &'a str {
        from.unwrap_or(&self.accounts[index].default_sender)
    }

    /// The limited sender that a text with these routes leaves from, if the account with this
    /// number carries it.
    pub fn limited_sender(&self, index: usize, routes: Routes) -> Option<Limited> {
        let account = self.accounts.get(index)?;
        let number = match routes.from {
            FromSender::Default => account.default_limited,
            FromSender::Unlimited => None,
            FromSender::Limited(number) => account.rates.contains_key(&number).then_some(number),
        };
        number.map(|number| limited(index, number))
    }

    /// The senders of the account with this number that have a limit, in segments per second.
    pub fn sender_rates(&self, index: usize) -> impl Iterator<Item = (Limited, &str, f64)> {
        let rates = self.accounts.get(index).map(|account| &account.rates);
        let rates = rates.into_iter().flatten();
        rates.map(move |(number, rate)| {
            let name = &self.limited[usize::from(*number)];
            (limited(index, *number), name.as_str(), *rate)
        })
    }

    /// Under whose limits a text with these routes may come: those of the provider accounts that may
    /// carry it, and of the senders that it would leave from there.
    pub fn limits(&self, routes: Routes) -> impl Iterator<Item = Limited> {
        let accounts = (0..self.accounts.len()).filter(move |index| routes.contains(*index));
        accounts.flat_map(move |index| {
            let provider = Limited::provider(index);
            std::iter::once(provider).chain(self.limited_sender(index, routes))
        })
    }
}

fn limited(provider: usize, sender: u16) -> Limited {
    // There are no more than MAX_PROVIDERS.
    let provider = provider as u16;
    Limited::Sender { provider, sender }
}

fn number_of(name: &str, limited: &[String]) -> Option<u16> {
    let place = limited.binary_search_by(|other| other.as_str().cmp(name));
    place.ok().and_then(|place| u16::try_from(place).ok())
}
