//! Dates as HTTP headers, cookies and documents write them.
//!
//! Source: RFC 9110 §5.6.7; for cookies the older form with hyphens, as mochiweb writes it.
//! The calendar is Howard Hinnant's `civil_from_days`.

use crate::time::Timestamp;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 21 Nov 2027 03:05:46 GMT`
pub fn header(time: Timestamp) -> String {
    written(time, ' ')
}

/// `Sun, 21-Nov-2027 03:05:46 GMT`
pub fn cookie(time: Timestamp) -> String {
    written(time, '-')
}

/// `2027-11-21T03:05:46.000000Z`
pub fn rfc3339(time: Timestamp) -> String {
    let (year, month, day) = civil(time.seconds() / 86_400);
    let month = 1 + MONTHS.iter().position(|it| *it == month).expect("one of twelve");
    let second_of_day = time.seconds() % 86_400;
    let (hour, minute, second) =
        (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let micros = time.micros() % 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// `2027-11-21T03:05:46.123Z`, as JavaScript's `toISOString` writes it.
pub fn iso(time: Timestamp) -> String {
    let (days, second_of_day) = (time.seconds() / 86_400, time.seconds() % 86_400);
    let (year, month, day) = civil(days);
    let month = MONTHS.iter().position(|it| *it == month).unwrap_or(0) + 1;
    let (hour, minute, second) =
        (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let milli = time.micros() / 1_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// `2027-11-21T03:05:46Z`, as replications show times.
pub fn iso_seconds(time: Timestamp) -> String {
    let rest = iso(time);
    format!("{}Z", rest.split('.').next().unwrap_or_default())
}

fn written(time: Timestamp, separator: char) -> String {
    let (days, second_of_day) = (time.seconds() / 86_400, time.seconds() % 86_400);
    let weekday = WEEKDAYS[usize::try_from(days % 7).expect("below seven")];
    let (year, month, day) = civil(days);
    let (hour, minute, second) =
        (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let s = separator;
    format!("{weekday}, {day:02}{s}{month}{s}{year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn civil(days_since_1970: u64) -> (u64, &'static str, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 };
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, MONTHS[usize::try_from(month).expect("below twelve")], day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let header = |seconds| header(Timestamp::from_seconds(seconds));
        assert_eq!(header(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(header(951_782_399), "Mon, 28 Feb 2000 23:59:59 GMT");
        assert_eq!(header(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(header(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        let stored = Timestamp::from_micros(951_782_400_000_001);
        assert_eq!(rfc3339(stored), "2000-02-29T00:00:00.000001Z");
        assert_eq!(iso(Timestamp::from_micros(951_782_399_042_999)), "2000-02-28T23:59:59.042Z");
        assert_eq!(cookie(Timestamp::from_seconds(1_826_766_346)), "Sun, 21-Nov-2027 03:05:46 GMT");
    }
}
