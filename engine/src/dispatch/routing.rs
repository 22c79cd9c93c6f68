//! Which provider accounts may carry a message, and from which sender.

use std::sync::Arc;

use schemas::campaign::Campaign;
use schemas::{Envelope, ProviderId};

use crate::provider::ProviderAccount;

/// The most provider accounts of one node: routes are bits of one number.
pub const MAX_PROVIDERS: usize = 128;

/// A set of provider accounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Routes(u128);

impl Routes {
    /// The accounts whose bits are set.
    #[cfg(test)]
    pub const fn of_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Whether nobody may carry the message.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether somebody may carry the message, and all who may are among these.
    pub const fn is_within(self, others: Self) -> bool {
        self.0 != 0 && self.0 & !others.0 == 0
    }

    /// Whether one of them is among these.
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Those of them that are among these.
    pub const fn among(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those of them that are not among these.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether the account with this number is among them.
    pub const fn contains(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

impl FromIterator<usize> for Routes {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let bits = numbers.into_iter().map(|number| 1 << number);
        Self(bits.fold(0, |routes, bit: u128| routes | bit))
    }
}

/// What routing knows of the provider accounts.
#[derive(Clone, Debug)]
pub struct Routing {
    accounts: Vec<Account>,
}

#[derive(Clone, Debug)]
struct Account {
    id: ProviderId,
    senders: Vec<String>,
    default_sender: String,
}

impl Routing {
    /// Routing over these accounts; those past [`MAX_PROVIDERS`] are not used.
    pub fn new(accounts: &[Arc<ProviderAccount>]) -> Self {
        let accounts = accounts.iter().take(MAX_PROVIDERS).map(|account| Account {
            id: account.id,
            senders: account.senders.clone(),
            default_sender: account.default_sender.clone(),
        });
        Self {
            accounts: accounts.collect(),
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
        let mut routes = 0;
        for (index, account) in self.accounts.iter().enumerate() {
            let wanted = providers.is_empty() || providers.contains(&account.id);
            let owns = from.is_none_or(|from| account.senders.iter().any(|own| own == from));
            if wanted && owns {
                routes |= 1 << index;
            }
        }
        Routes(routes)
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
}
