//! Watching the campaign until there is nothing more to wait for.

use std::io;

use engine::runtime::Runtime;
use schemas::CampaignId;
use schemas::http::campaigns::CampaignNumbers;

use super::campaign::{POLL, StepError, User};
use super::providers::DemoAccount;
use super::tail::BookTail;
use crate::progress::{Progress, outcomes};

const MICROS_PER_SECOND: u64 = 1_000_000;
/// For how long receipts may come in after the last text was submitted.
const RECEIPTS: u64 = 30 * MICROS_PER_SECOND;
/// How many seconds' worth of a provider's rate may pass without a text: a large text
/// at a rate below one segment a second takes as long.
const LARGEST_TEXT: f64 = 24.0;

/// How a campaign went, as far as it was watched.
pub(super) struct Watched {
    /// Texts that were taken meanwhile.
    pub(super) texts: u64,
    /// Seconds from the beginning to the last of them.
    pub(super) seconds: f64,
}

/// Watches until every message is final, or nothing was submitted for half a minute.
pub(super) async fn follow(
    user: &User,
    campaign: CampaignId,
    mut tail: BookTail,
    accounts: &[DemoAccount],
    runtime: &Runtime,
) -> Result<Watched, StepError> {
    let began = wall(runtime);
    let names = accounts.iter().map(|account| account.name);
    let mut progress = Progress::new(names.collect(), runtime.boot());
    let rates = accounts.iter().map(|account| account.rate);
    let lowest_rate = rates.fold(f64::MAX, f64::min);
    let patience = RECEIPTS + (LARGEST_TEXT / lowest_rate * MICROS_PER_SECOND as f64) as u64;
    let mut changed = (began, u64::MAX);
    loop {
        let numbers = user.numbers(campaign).await?;
        let (read, looked) = runtime
            .blocking(move || {
                let looked = tail.look();
                (tail, looked)
            })
            .await?;
        tail = read;
        looked.map_err(book_error)?;
        let now = wall(runtime);
        if numbers.pending != changed.1 {
            changed = (now, numbers.pending);
        }
        let segments = |account: &DemoAccount| {
            let sum = tail.sums.get(&account.sid);
            sum.map_or(0, |sum| sum.segments)
        };
        let sums = accounts.iter().map(segments).collect();
        progress.show(runtime.boot(), &numbers, sums);
        let submitted = tail.last_submit.unwrap_or(began);
        let waits = if numbers.pending > 0 || numbers.still_counting {
            now.saturating_sub(submitted.max(changed.0)) < patience
        } else {
            now.saturating_sub(submitted) < RECEIPTS
        };
        if all_final(&numbers) || !waits {
            break;
        }
        runtime.sleep(POLL).await;
    }
    progress.end();
    let until = tail.last_submit.unwrap_or(began).saturating_sub(began);
    Ok(Watched {
        texts: tail.texts(),
        seconds: until as f64 / MICROS_PER_SECOND as f64,
    })
}

fn all_final(numbers: &CampaignNumbers) -> bool {
    let open = numbers.pending + numbers.accepted + numbers.sent + numbers.unknown;
    let counted: u64 = outcomes(numbers).iter().map(|(_, count)| count).sum();
    !numbers.still_counting && open == 0 && counted == numbers.total_recipients
}

fn book_error(cause: io::Error) -> StepError {
    StepError::File {
        file: "the sandbox's book".to_owned(),
        cause,
    }
}

/// The wall clock in microseconds since 1970, as the book has it.
pub(super) fn wall(runtime: &Runtime) -> u64 {
    u64::try_from(runtime.now().0).unwrap_or(0)
}
