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

/// A time as RFC 3339 has it: `2027-11-21T03:05:46Z`, maybe with parts of a second, or with an offset in the place
/// of the `Z`. `None` for everything else, and for what was before 1970.
pub fn parse(text: &str) -> Option<Timestamp> {
    let (day, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(day.get(0..4)?)?, two(day, 5, "-")?, two(day, 8, "-")?);
    let (hour, minute, second) = (two(rest, 1, "T")?, two(rest, 4, ":")?, two(rest, 7, ":")?);
    let (micros, offset) = fraction(rest.get(9..)?)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let in_range = (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !in_range {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = i64::try_from(seconds).ok()?.checked_sub(offset)?;
    let micros = u64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
    Some(Timestamp::from_micros(micros))
}

/// The two digits behind this separator.
fn two(text: &str, at: usize, separator: &str) -> Option<u64> {
    (text.get(at - 1..at)? == separator).then_some(())?;
    number(text.get(at..at + 2)?)
}

fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Microseconds, and seconds east of Greenwich.
fn fraction(text: &str) -> Option<(u64, i64)> {
    let (micros, zone) = match text.strip_prefix('.') {
        None => (0, text),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, zone) = rest.split_at(digits);
            let six = format!("{:0<6}", digits.get(..6).unwrap_or(digits));
            ((!digits.is_empty()).then(|| number(&six))??, zone)
        }
    };
    if zone == "Z" {
        return Some((micros, 0));
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(zone.get(1..3)?)?, two(zone, 4, ":")?);
    let fits = zone.len() == 6 && hours < 24 && minutes < 60;
    let seconds = fits.then_some(hours * 3_600 + minutes * 60)?;
    Some((micros, sign * i64::try_from(seconds).ok()?))
}

/// The other way round than [`civil`]: Hinnant's `days_from_civil`.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
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

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for micros in [0, 1, 951_782_399_999_999, 951_782_400_000_001, 4_107_542_400_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(parse(&rfc3339(time)), Some(time));
        }
        let seconds = |text| parse(text).map(Timestamp::seconds);
        assert_eq!(seconds("2000-02-29T01:00:00+01:00"), Some(951_782_400));
        assert_eq!(seconds("2000-02-28T23:30:00.5-00:30"), Some(951_782_400));
        for text in [
            "2001-02-29T00:00:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29 00:00:00Z",
            "2000-02-29T00:00:00",
            "2000-02-29T00:00:00.Z",
            "2000-02-29",
            "1969-12-31T23:59:59Z",
            "2000-00-01T00:00:00Z",
            "ä000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
