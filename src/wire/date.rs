//! Dates as ISO 8601 writes them, in UTC: `2026-11-21T08:20:00.0000000Z`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Appends a moment, to a ten-millionth of a second.
pub fn put_iso(moment: SystemTime, out: &mut Vec<u8>) {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    for (number, digits, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3_600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (u64::from(since.subsec_nanos() / 100), 7, b'Z'),
    ] {
        for place in (0..digits).rev() {
            out.push(b'0' + (number / 10_u64.pow(place) % 10) as u8);
        }
        out.push(after);
    }
}

/// Year, month and day of a day after 1970-01-01, by the calendar that begins its years in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.0000000Z"),
            (951_782_400, 100, "2000-02-29T00:00:00.0000001Z"),
            (1_795_249_199, 999_999_999, "2026-11-21T08:19:59.9999999Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.0000000Z"),
        ] {
            let mut out = Vec::new();
            put_iso(UNIX_EPOCH + Duration::new(seconds, nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
