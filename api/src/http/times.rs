//! Times that a request names: when something is to begin, for how long it may be sent, and
//! between which hours.

use engine::send_window::is_time_zone;
use schemas::UnixMicros;
use schemas::campaign::SendWindow;
use schemas::http::campaigns::SendWindowBody;

use super::fields::refused;
use crate::problem::{FieldProblems, ProblemCode};

/// The longest time for which a message may be sent, in seconds: ten hours, which is
/// also the longest that Twilio keeps a text in its queue, and its default.
pub const VALIDITY_SECONDS_MAX: u32 = 36_000;

/// The longest time for which the messages of a campaign may be sent, in seconds: two weeks.
/// It waits with us, for its turn and its window, and not at the provider.
const CAMPAIGN_VALIDITY_SECONDS_MAX: u32 = 14 * 86_400;

/// For how long the messages of a campaign with a window may be sent unless it says more, in
/// seconds: three days, so that whoever is not reached before it closes is on the next.
const WINDOW_VALIDITY_SECONDS: u32 = 3 * 86_400;

/// How far ahead `send_at` may lie, in days, as with Twilio's own scheduling.
const SEND_AT_DAYS_MAX: i64 = 35;
const MICROS_A_DAY: i64 = 86_400_000_000;

/// When something is to begin.
pub fn send_at(
    problems: &mut FieldProblems,
    given: Option<&str>,
    now: UnixMicros,
) -> Option<UnixMicros> {
    let given = given?;
    let Some(at) = UnixMicros::from_rfc3339(given) else {
        let detail = "is not a time as RFC 3339 has it, such as 2026-01-02T15:30:00Z";
        problems.field("/send_at", ProblemCode::InvalidValue, detail);
        return None;
    };
    if at < now {
        problems.field("/send_at", ProblemCode::SendAtInPast, "has passed");
    } else if at > now.plus_micros(SEND_AT_DAYS_MAX * MICROS_A_DAY) {
        let detail = format!("is more than {SEND_AT_DAYS_MAX} days ahead");
        problems.field("/send_at", ProblemCode::SendAtTooFar, detail);
    }
    Some(at)
}

/// For how long a message may be sent, in seconds.
pub fn validity_seconds(problems: &mut FieldProblems, given: Option<u64>) -> u32 {
    seconds(problems, given, VALIDITY_SECONDS_MAX, VALIDITY_SECONDS_MAX)
}

/// For how long each message of a campaign may be sent after its start, in seconds.
pub fn campaign_validity_seconds(
    problems: &mut FieldProblems,
    given: Option<u64>,
    has_window: bool,
) -> u32 {
    let default = if has_window {
        WINDOW_VALIDITY_SECONDS
    } else {
        VALIDITY_SECONDS_MAX
    };
    seconds(problems, given, default, CAMPAIGN_VALIDITY_SECONDS_MAX)
}

fn seconds(problems: &mut FieldProblems, given: Option<u64>, default: u32, most: u32) -> u32 {
    let Some(given) = given else {
        return default;
    };
    match u32::try_from(given) {
        Ok(seconds) if (1..=most).contains(&seconds) => seconds,
        Ok(_) | Err(_) => {
            let detail = format!("is not from 1 to {most} seconds");
            problems.field("/validity_period", ProblemCode::OutOfRange, detail);
            refused()
        }
    }
}

/// Between which hours texts may begin.
pub fn window(problems: &mut FieldProblems, given: &SendWindowBody) -> SendWindow {
    let mut minute = |name: &str, text: &str, last: u16| {
        let minute = minute_of(text).filter(|minute| *minute <= last);
        if minute.is_none() {
            let detail = "is not a time of day such as 09:00";
            problems.field(format!("/window/{name}"), ProblemCode::InvalidValue, detail);
        }
        minute
    };
    let from = minute("from", &given.from, MINUTES_A_DAY - 1);
    let until = minute("until", &given.until, MINUTES_A_DAY);
    if from.is_some() && from == until {
        let detail = "is when it opens; leave the window out to send always";
        problems.field("/window/until", ProblemCode::InvalidValue, detail);
    }
    if !is_time_zone(&given.time_zone) {
        let detail = "is not a time zone such as Europe/Berlin";
        problems.field("/window/time_zone", ProblemCode::InvalidValue, detail);
    }
    SendWindow {
        from: from.unwrap_or_else(refused),
        until: until.unwrap_or_else(refused),
        time_zone: given.time_zone.clone(),
    }
}

const MINUTES_A_DAY: u16 = 24 * 60;

/// Reads `09:00` as the minute of a day.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_two)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
}
