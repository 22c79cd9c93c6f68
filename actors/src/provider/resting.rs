//! Which provider accounts rest, for whoever decides what may wait for them: those that are
//! disabled, or dead for longer than a moment.

use std::sync::Arc;

use engine::dispatch::routing::Routes;
use engine::runtime::BootMicros;

use super::pacing::Pacing;

/// The provider accounts by their numbers in the routes. It is asked and not told, so that
/// nobody has to be told again who was built anew. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Resting(Arc<[Pacing]>);

impl Resting {
    /// Of accounts with these paces.
    pub fn of(pacings: &[Pacing]) -> Self {
        Self(pacings.into())
    }

    /// Those that rest.
    pub fn routes(&self) -> Routes {
        self.those(Pacing::rests)
    }

    /// Those of them that would get a probe now.
    pub fn to_be_probed(&self, now: BootMicros) -> Routes {
        self.those(|pacing| pacing.rests() && pacing.wants_probe(now))
    }

    fn those(&self, are: impl Fn(&Pacing) -> bool) -> Routes {
        let accounts = self.0.iter().enumerate();
        let those = accounts.filter(|(_, pacing)| are(pacing));
        those.map(|(index, _)| index).collect()
    }
}
