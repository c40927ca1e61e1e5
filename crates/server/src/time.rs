//! Times as text: `2014-06-04T13:41:58Z` (ISO 8601, UTC only).

use offhook_signaling::UnixSeconds;

const DAY: u64 = 86_400;
/// From 0000-03-01 to 1970-01-01, in days.
const BEFORE_1970: u64 = 719_468;
/// The Gregorian calendar repeats after 400 years.
const CYCLE: u64 = 146_097;

/// Reads a time of UTC, with or without a fraction of a second.
pub(crate) fn parse_iso8601(text: &str) -> Option<UnixSeconds> {
    // Some libraries write UTC as an offset.
    let whole = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (whole, fraction) = whole.split_once('.').unwrap_or((whole, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shape = whole.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if whole.len() != 19 || !shape || !is_number(fraction) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| whole.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since the beginning of 1970, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(BEFORE_1970)?;
    Some(UnixSeconds(days * DAY + hour * 3600 + minute * 60 + second))
}

/// Writes a time.
pub(crate) fn iso8601(time: UnixSeconds) -> String {
    let (days, second) = (time.0 / DAY + BEFORE_1970, time.0 % DAY);
    let (cycle, day_of_cycle) = (days / CYCLE, days % CYCLE);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / (CYCLE - 1)) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The fuzz body: what is read as a time can be written and read again.
///
/// # Panics
/// When it cannot.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(time) = parse_iso8601(text) {
        assert_eq!(parse_iso8601(&iso8601(time)), Some(time), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_other_texts_are_not() {
        let seconds = |text| parse_iso8601(text).map(|time| time.0);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2014-06-04T13:41:58Z"), Some(1_401_889_318));
        assert_eq!(seconds("2018-01-02T03:04:05.678Z"), Some(1_514_862_245));
        assert_eq!(seconds("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        assert_eq!(seconds("2024-02-29T00:00:00.123456+00:00"), Some(1_709_164_800));
        for wrong in [
            "",
            "Z",
            "2014-06-04T13:41:58",
            "2014-06-04T13:41:58+01:00",
            "2014-06-04T13:41:58+00:00Z",
            "2014-06-04 13:41:58Z",
            "2014-13-04T13:41:58Z",
            "2014-06-04T13:41:58.Z",
            "é014-06-04T13:41:5Z",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(iso8601(UnixSeconds(1_401_889_318)), "2014-06-04T13:41:58Z");
        assert_eq!(iso8601(UnixSeconds(1_709_164_800)), "2024-02-29T00:00:00Z");
        for day in 0..60_000 {
            let time = UnixSeconds(day * DAY + day % DAY);
            assert_eq!(parse_iso8601(&iso8601(time)), Some(time));
        }
    }
}
