//! Days of the proleptic Gregorian calendar, in UTC.

use crate::UnixSeconds;

const SECONDS_PER_DAY: u64 = 86_400;

/// The day of `time` as `YYYYMMDD`; `None` after the year 9999.
pub(crate) fn day_of(time: UnixSeconds) -> Option<String> {
    // Counting from 1 March of year 0 puts the leap day last, so that one formula fits every month.
    let z = time.0 / SECONDS_PER_DAY + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year <= 9999).then(|| format!("{year:04}{month:02}{day:02}"))
}

/// The number of days since 1970-01-01 of a `YYYYMMDD` text; `None` unless it is a real day.
pub(crate) fn parse_day(text: &str) -> Option<u64> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: u64 = text[..4].parse().ok()?;
    let month: u64 = text[4..6].parse().ok()?;
    let day: u64 = text[6..].parse().ok()?;
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y / 400;
    let year_of_era = y % 400;
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year)
        .checked_sub(719_468)?;
    // A day that does not exist (30 February) comes back as another one.
    (day_of(UnixSeconds(days * SECONDS_PER_DAY)).as_deref() == Some(text)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_go_there_and_back() {
        for days in (0..40_000).step_by(13) {
            let text = day_of(UnixSeconds(days * SECONDS_PER_DAY)).unwrap();
            assert_eq!(parse_day(&text), Some(days));
        }
        assert_eq!(day_of(UnixSeconds(1_514_862_245)).as_deref(), Some("20180102"));
        for bad in ["20180230", "20181301", "2018010", "1969123a", "00000000"] {
            assert_eq!(parse_day(bad), None);
        }
    }
}
