//! How the sends of a run lie in time, by the send stamps in the messages' rows.

use engine::store::{Order, Store};
use schemas::message::shard_key;
use schemas::{Message, Slice, UnixMicros};
use serde::{Deserialize, Serialize};

use crate::failure::{BenchError, refused};
use crate::node::ACCOUNT;

/// Rows read at a time.
const PAGE: usize = 5_000;

const SECOND: i64 = 1_000_000;

/// The rhythm of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rhythm {
    /// Segments that were sent.
    pub segments: u64,
    /// The most segments in any second, wherever it begins.
    pub most_in_any_second: u64,
    /// Segments in the first so many seconds after the first stamp, as asked for.
    pub in_span: u64,
}

/// Reads the stamps of all messages of today and yesterday (a run may pass midnight).
///
/// # Errors
/// When the store cannot be read.
pub async fn read(store: &Store, now: UnixMicros, seconds: u32) -> Result<Rhythm, BenchError> {
    let today = i32::try_from(now.0.div_euclid(86_400 * SECOND)).unwrap_or(i32::MAX);
    let mut stamps = Vec::new();
    for day in [today - 1, today] {
        for shard in 0..=Slice::from_low_bits(u16::MAX).shard() {
            let (prefix, mut after) = (shard_key(ACCOUNT, day, shard), None);
            loop {
                let page = store
                    .list::<Message>(&prefix, after.as_ref(), Order::Ascending, PAGE)
                    .await
                    .map_err(refused("the messages"))?;
                let sent = page.rows.iter().filter_map(|message| {
                    Some((message.last_sent_at?.0, message.envelope.segments.max(1)))
                });
                stamps.extend(sent);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
    }
    stamps.sort_unstable();
    Ok(rhythm(&stamps, i64::from(seconds) * SECOND))
}

/// Of stamps in order; a second holds its first instant and not its last.
fn rhythm(stamps: &[(i64, u32)], span: i64) -> Rhythm {
    let (mut first, mut inside, mut most) = (0, 0, 0);
    for &(at, segments) in stamps {
        inside += u64::from(segments);
        while stamps[first].0 + SECOND <= at {
            inside -= u64::from(stamps[first].1);
            first += 1;
        }
        most = most.max(inside);
    }
    let begin = stamps.first().map_or(0, |(at, _)| *at);
    let early = stamps.iter().take_while(|(at, _)| *at < begin + span);
    Rhythm {
        segments: stamps
            .iter()
            .map(|(_, segments)| u64::from(*segments))
            .sum(),
        most_in_any_second: most,
        in_span: early.map(|(_, segments)| u64::from(*segments)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SECOND, rhythm};

    #[test]
    fn a_second_is_half_open_and_may_begin_anywhere() {
        let stamps = [
            (10, 1),
            (500_000, 2),
            (1_000_009, 3),
            (1_000_010, 4),
            (1_500_001, 1),
        ];
        let found = rhythm(&stamps, SECOND);
        assert_eq!(found.segments, 11);
        // From 500,000 to just before 1,500,000.
        assert_eq!(found.most_in_any_second, 9);
        assert_eq!(found.in_span, 6);
        assert_eq!(rhythm(&[], SECOND).most_in_any_second, 0);
    }
}
