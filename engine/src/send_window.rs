//! Send windows: whether texts may begin at an instant, and when that changes. Time zones are
//! those of the database in the binary, so that a machine without one, or with an older one,
//! tells the same.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemas::UnixMicros;
use schemas::campaign::SendWindow;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Whether there is a time zone of this name.
pub fn is_time_zone(name: &str) -> bool {
    ZONES.get(name).is_ok()
}

/// The door takes no name that is not known.
fn zone_of(window: &SendWindow) -> TimeZone {
    ZONES.get(&window.time_zone).unwrap_or(TimeZone::UTC)
}

/// Beyond the years that time zones are known for, time stands still.
fn timestamp(at: UnixMicros) -> Timestamp {
    Timestamp::from_microsecond(at.0).unwrap_or(Timestamp::MAX)
}

/// Whether texts may begin. An hour that clocks show twice is what they show both times.
pub fn is_open(window: &SendWindow, at: UnixMicros) -> bool {
    let local = timestamp(at).to_zoned(zone_of(window)).time();
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let (from, until) = (i32::from(window.from), i32::from(window.until));
    if from < until {
        (from..until).contains(&minute)
    } else {
        minute >= from || minute < until
    }
}

/// When the window opens or closes next. Where clocks are put forward over that minute, it may
/// have happened by then.
pub fn changes_at(window: &SendWindow, at: UnixMicros) -> UnixMicros {
    let local = timestamp(at).to_zoned(zone_of(window));
    let days = [
        local.date(),
        local.date().tomorrow().unwrap_or(local.date()),
    ];
    let minutes = [window.from, window.until].map(time_of);
    let changes = days
        .iter()
        .flat_map(|day| minutes.map(|minute| day.to_datetime(minute)));
    let changes = changes.filter_map(|change| change.to_zoned(zone_of(window)).ok());
    let next = changes.filter(|change| *change > local).min();
    next.map_or(UnixMicros(i64::MAX), |next| {
        UnixMicros(next.timestamp().as_microsecond())
    })
}

/// A minute of a day, from midnight.
fn time_of(minute: u16) -> Time {
    let (hour, minute) = (minute / 60 % 24, minute % 60);
    Time::constant(hour as i8, minute as i8, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: u16, until: u16, time_zone: &str) -> SendWindow {
        SendWindow {
            from: from * 60,
            until: until * 60,
            time_zone: time_zone.to_owned(),
        }
    }

    fn at(text: &str) -> UnixMicros {
        UnixMicros::from_rfc3339(text).expect("a time")
    }

    #[test]
    fn it_is_open_by_the_clocks_of_its_place() {
        let berlin = window(9, 20, "Europe/Berlin");
        for (instant, open) in [
            ("2026-01-05T07:59:59.999999Z", false),
            ("2026-01-05T08:00:00Z", true),
            ("2026-01-05T18:59:59.999999Z", true),
            ("2026-01-05T19:00:00Z", false),
            // In summer an hour earlier.
            ("2026-07-06T06:59:59Z", false),
            ("2026-07-06T07:00:00Z", true),
        ] {
            assert_eq!(is_open(&berlin, at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn one_over_midnight_is_open_on_both_sides_of_it() {
        let night = window(20, 6, "Asia/Tokyo");
        for (instant, open) in [
            ("2026-01-05T10:59:59Z", false),
            ("2026-01-05T11:00:00Z", true),
            ("2026-01-05T15:00:00Z", true),
            ("2026-01-05T20:59:59Z", true),
            ("2026-01-05T21:00:00Z", false),
        ] {
            assert_eq!(is_open(&night, at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn it_changes_at_its_ends() {
        let berlin = window(9, 20, "Europe/Berlin");
        for (instant, next) in [
            ("2026-01-05T07:59:59Z", "2026-01-05T08:00:00Z"),
            ("2026-01-05T08:00:00Z", "2026-01-05T19:00:00Z"),
            ("2026-01-05T19:00:00Z", "2026-01-06T08:00:00Z"),
            // The night in which clocks are put forward.
            ("2026-03-28T22:00:00Z", "2026-03-29T07:00:00Z"),
        ] {
            assert_eq!(changes_at(&berlin, at(instant)), at(next), "{instant}");
        }
    }

    #[test]
    fn a_change_is_where_it_opens_or_closes() {
        let berlin = window(9, 20, "Europe/Berlin");
        let mut now = at("2026-01-05T00:00:00Z");
        for _ in 0..730 {
            let change = changes_at(&berlin, now);
            assert_ne!(
                is_open(&berlin, change.plus_micros(-1)),
                is_open(&berlin, change),
                "{change:?}"
            );
            now = change;
        }
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        assert!(is_time_zone("America/New_York"));
        assert!(!is_time_zone("Mars/Olympus"));
    }
}
