//! Dates as ISO 8601 writes them, in UTC: `2026-11-21T08:20:00.0000000Z`.

use std::iter::once;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes moments to a ten-millionth of a second. The text of the second is kept: the next moment
/// is most often in the same one.
#[derive(Debug, Default)]
pub struct IsoDates {
    /// Since 1970; none at first.
    second: Option<u64>,
    text: [u8; SECOND_BYTES],
}

/// Up to the dot behind the second.
const SECOND_BYTES: usize = 20;
/// Ten-millionths of a second in one, which is one digit more than a part of it has.
const PARTS: u32 = 10_000_000;

impl IsoDates {
    /// Appends a moment.
    pub fn put(&mut self, moment: SystemTime, out: &mut Vec<u8>) {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.turn_to(since.as_secs());
        }
        out.extend_from_slice(&self.text);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(PARTS + since.subsec_nanos() / 100);
        out.extend_from_slice(digits.as_bytes().get(1..).unwrap_or_default());
        out.push(b'Z');
    }

    #[cold]
    fn turn_to(&mut self, second: u64) {
        self.second = Some(second);
        let (days, of_day) = (second / 86_400, second % 86_400);
        let (year, month, day) = civil(days);
        let mut places = self.text.iter_mut();
        for (number, digits, after) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (of_day / 3_600, 2, b':'),
            (of_day / 60 % 60, 2, b':'),
            (of_day % 60, 2, b'.'),
        ] {
            let digits = (0..digits)
                .rev()
                .map(|place| number / 10_u64.pow(place) % 10);
            let bytes = digits.map(|digit| b'0' + digit as u8).chain(once(after));
            bytes
                .zip(places.by_ref())
                .for_each(|(byte, place)| *place = byte);
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, by the calendar that begins its years in
/// March.
pub fn civil(days: u64) -> (u64, u64, u64) {
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
        let mut dates = IsoDates::default();
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.0000000Z"),
            (951_782_400, 100, "2000-02-29T00:00:00.0000001Z"),
            (1_795_249_199, 999_999_999, "2026-11-21T08:19:59.9999999Z"),
            (1_795_249_199, 1_000, "2026-11-21T08:19:59.0000010Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.0000000Z"),
        ] {
            let mut out = Vec::new();
            dates.put(UNIX_EPOCH + Duration::new(seconds, nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
