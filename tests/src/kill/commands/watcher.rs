//! Looks at campaigns again and again, through every kill: their numbers add up at each
//! look, and nothing that has ended is taken back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::runtime::Runtime;
use schemas::CampaignId;
use schemas::campaign::CampaignState;
use schemas::http::campaigns::{CampaignBody, CampaignNumbers};

use crate::kill::figures::Figures;
use crate::user::{User, sum};
use crate::world::say;

/// How soon the next look follows.
const EVERY: Duration = Duration::from_millis(50);

/// Somebody who looks.
#[derive(Default)]
pub struct Watcher(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    campaigns: Vec<(CampaignId, Option<CampaignBody>)>,
    looks: u64,
    wrongs: Vec<String>,
    is_over: bool,
}

/// What one look is judged by.
type Look<'a> = (CampaignState, &'a CampaignNumbers);

impl Watcher {
    /// Begins to look.
    pub fn start(runtime: &Runtime, user: Arc<User>) -> Arc<Self> {
        let watcher = Arc::new(Self::default());
        runtime.spawn(Arc::clone(&watcher).look(runtime.clone(), user));
        watcher
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more campaign to look at.
    pub fn add(&self, campaign: CampaignId) {
        self.seen().campaigns.push((campaign, None));
    }

    /// Looks no more.
    pub fn stop(&self) {
        self.seen().is_over = true;
    }

    /// Tells what was seen that must not be.
    pub fn tell(&self, figures: &mut Figures) {
        let seen = self.seen();
        say(&format!("  {} looks at the campaigns", seen.looks));
        seen.wrongs.iter().for_each(|wrong| figures.wrong(wrong));
    }

    /// How many of a campaign do not wait any more.
    pub fn reached(&self, campaign: CampaignId) -> u64 {
        let numbers = self.last(campaign).map(|body| body.numbers);
        numbers.map_or(0, |numbers| {
            numbers.total_recipients.saturating_sub(numbers.pending)
        })
    }

    /// Whether nothing of a campaign waits, and nothing will.
    pub fn is_over(&self, campaign: CampaignId) -> bool {
        let body = self.last(campaign);
        body.is_some_and(|body| body.finished_at.is_some())
    }

    fn last(&self, campaign: CampaignId) -> Option<CampaignBody> {
        let seen = self.seen();
        let mut campaigns = seen.campaigns.iter();
        let found = campaigns.find(|(id, _)| *id == campaign);
        found.and_then(|(_, body)| body.clone())
    }

    async fn look(self: Arc<Self>, runtime: Runtime, user: Arc<User>) {
        while !self.seen().is_over {
            let ids: Vec<CampaignId> = self.seen().campaigns.iter().map(|seen| seen.0).collect();
            for (place, id) in ids.into_iter().enumerate() {
                let body = user.campaign(id).await;
                let mut seen = self.seen();
                seen.looks += 1;
                let before = seen.campaigns[place].1.replace(body.clone());
                let before = before.as_ref().map(|body| (body.state, &body.numbers));
                if let Some(wrong) = wrong(before, (body.state, &body.numbers)) {
                    seen.wrongs.push(format!("{id}: {wrong}"));
                }
            }
            runtime.sleep(EVERY).await;
        }
    }
}

/// What cannot be of a campaign, or cannot follow.
fn wrong(before: Option<Look<'_>>, (state, now): Look<'_>) -> Option<String> {
    if sum(now) != now.total_recipients {
        return Some(format!("the numbers do not add up: {now:?}"));
    }
    if state == CampaignState::Finished && now.pending > 0 {
        return Some(format!("finished, and somebody waits: {now:?}"));
    }
    let (state_before, before) = before?;
    let was_over = matches!(
        state_before,
        CampaignState::Finished | CampaignState::Canceled
    );
    if was_over && state != state_before {
        return Some(format!("{state:?} after {state_before:?}"));
    }
    let was_counted = !before.still_counting && before.total_recipients > 0;
    let is_counted = !now.still_counting && now.total_recipients == before.total_recipients;
    if now.total_recipients < before.total_recipients || (was_counted && !is_counted) {
        return Some(format!("the total has changed: {before:?}, {now:?}"));
    }
    let mut ends = ends(before).into_iter().zip(ends(now));
    let is_taken_back = ends.any(|(before, now)| now < before);
    is_taken_back.then(|| format!("an end was taken back: {before:?}, {now:?}"))
}

/// Numbers that never become less.
fn ends(numbers: &CampaignNumbers) -> [u64; 6] {
    [
        numbers.delivered,
        numbers.undelivered,
        numbers.failed,
        numbers.expired,
        numbers.canceled,
        numbers.skipped.values().sum(),
    ]
}

#[cfg(test)]
mod tests {
    use schemas::campaign::CampaignState::{Canceled, Finished, Running};
    use schemas::http::campaigns::CampaignNumbers;

    use super::wrong;

    fn numbers(total_recipients: u64, pending: u64, delivered: u64) -> CampaignNumbers {
        CampaignNumbers {
            total_recipients,
            pending,
            delivered,
            ..CampaignNumbers::default()
        }
    }

    #[test]
    fn each_wrong_is_seen() {
        let then = numbers(3, 2, 1);
        assert_eq!(wrong(None, (Running, &then)), None);
        let later = numbers(3, 1, 2);
        assert_eq!(wrong(Some((Running, &then)), (Running, &later)), None);
        for (before, state, now) in [
            (None, Running, numbers(3, 1, 1)),
            (None, Finished, numbers(3, 1, 2)),
            (Some(Running), Running, numbers(3, 3, 0)),
            (Some(Running), Running, numbers(4, 2, 2)),
            (Some(Running), Running, numbers(2, 1, 1)),
            (Some(Canceled), Running, then.clone()),
        ] {
            let before = before.map(|state| (state, &then));
            assert!(wrong(before, (state, &now)).is_some(), "{now:?}");
        }
    }
}
