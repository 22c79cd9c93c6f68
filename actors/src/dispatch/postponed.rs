//! Further attempts for which there is no budget are due again later, so that what is due of
//! others is read on behind them.

use actix::prelude::*;
use engine::dispatch::routing::Routes;
use engine::runtime::BootMicros;
use schemas::change::Change;

use super::dispatcher::Dispatcher;

impl Dispatcher {
    /// Lets further attempts be due again later that may go by no provider account which may be
    /// sent any now.
    pub(super) fn postpone_retries(&mut self, context: &Context<Self>) {
        let now = self.parts.readers.runtime.boot();
        let accounts = self.parts.pacings.iter().enumerate();
        let spent = accounts.filter(|(_, pacing)| pacing.retries().room(now) == 0);
        let spent: Routes = spent.map(|(index, _)| index).collect();
        if spent.is_empty() {
            return;
        }
        let at = self.parts.readers.runtime.now();
        let retries = self.ready.remove_retries_within(spent);
        let postponed = retries.into_iter().map(|ready| {
            let wait = self.booked(ready.routes, now) - now;
            let later = at.plus_micros(i64::try_from(wait).unwrap_or(i64::MAX));
            let envelope = &ready.envelope;
            let change = Change::Postponed {
                account: envelope.account,
                message: envelope.id,
                // When its validity ends first, that is told then.
                due: later.min(envelope.valid_until),
                at,
            };
            (ready.origin, change)
        });
        self.settle(postponed.collect(), context);
    }

    /// The instant that one of these provider accounts gives a further attempt: of the one that
    /// may be sent the first of them.
    fn booked(&self, routes: Routes, now: BootMicros) -> BootMicros {
        let accounts = self.parts.pacings.iter().enumerate();
        let may = accounts.filter(|(index, _)| routes.contains(*index));
        let first = may.min_by_key(|(_, pacing)| pacing.retries().next(now));
        first.map_or(now, |(_, pacing)| pacing.retries().book(now))
    }
}
