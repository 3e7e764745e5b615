//! How settings are written: byte counts as `8 MB`, durations as `10 s`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    time::Duration,
};

use hyper::Uri;
use settle_script::ReduceLimit;
use tracing_subscriber::filter::Targets;

/// A type that a setting can have. Used by the table only, once for each setting and start.
pub trait Value: Sized {
    /// What values look like, for people.
    const KIND: &'static str;
    const SECRET: bool = false;

    /// The error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A number of bytes. Written with a unit: kB, MB, GB, TB are powers of 1,000, KiB, MiB, GiB, TiB
/// of 1,024; B, or none, is bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

/// Greatest first, so that printing takes the greatest that divides.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

const TIME_UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = BYTE_UNITS
            .into_iter()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size))
            .unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / size)
    }
}

impl Value for ByteCount {
    const KIND: &'static str = "bytes, as `8 MB` or `1 GiB`";

    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected bytes, as in 8 MB or 1 GiB".to_owned();
        let (number, unit) = split_unit(text).ok_or_else(expected)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, size) = BYTE_UNITS
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(expected)?;
        number.checked_mul(size).map(Self).ok_or_else(|| "more bytes than can be counted".into())
    }
}

impl Value for Duration {
    const KIND: &'static str = "time, as `250 ms`, `10 s`, `5 min`, `1 h` or `7 d`";

    fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || "expected a time with its unit, as in 250 ms, 10 s, 5 min, 1 h".to_owned();
        let (number, unit) = split_unit(text).ok_or_else(expected)?;
        let (_, size_ms) =
            TIME_UNITS_MS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        let time_ms = number.checked_mul(size_ms).ok_or_else(expected)?;
        Ok(Self::from_millis(time_ms))
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "address and port, as `127.0.0.1:5984` or `[::1]:5984`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "expected an IP address and a port, as in 127.0.0.1:5984 or [::1]:5984".into()
        })
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path".into()) } else { Ok(Self::from(text)) }
    }
}

/// Empty is none.
impl Value for Option<PathBuf> {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

/// Empty is none. What is read there is believed, so it comes over TLS, or from this machine.
impl Value for Option<Uri> {
    const KIND: &'static str = "URL, as `https://example.org/keys.json`";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let expected = || {
            "expected a URL such as https://example.org/keys.json, without a name or a password; \
             http:// is good for an address of this machine alone"
                .to_owned()
        };
        let url: Uri = text.parse().map_err(|_| expected())?;
        let host = url.host().ok_or_else(expected)?.trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse().is_ok_and(|it: IpAddr| it.is_loopback());
        let is_safe = match url.scheme_str() {
            Some("https") => true,
            Some("http") => is_here,
            Some(_) | None => false,
        };
        if !is_safe || text.contains('@') {
            return Err(expected());
        }
        Ok(Some(url))
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected some text".into()) } else { Ok(text.into()) }
    }
}

impl Value for bool {
    const KIND: &'static str = "`on` or `off`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            _ => Err("expected on or off".into()),
        }
    }
}

/// A number of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// As many as there are cores, but two at least.
    Auto,
    Exactly(NonZeroU16),
}

impl Value for WorkerCount {
    const KIND: &'static str = "number, or `auto`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => {
                let count = text.parse().map(Self::Exactly);
                count.map_err(|_| "expected a number from 1 to 65535, or auto".into())
            }
        }
    }
}

impl Value for NonZeroU16 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected a number from 1 to 65535".into())
    }
}

impl Value for ReduceLimit {
    const KIND: &'static str = "`refuse`, `log` or `off`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "log" => Ok(Self::Log),
            "off" => Ok(Self::Off),
            _ => Err("expected refuse, log or off".into()),
        }
    }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Callers hash it, or send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Empty is none: compose files pass on variables that nobody set.
impl Value for Option<Secret> {
    const KIND: &'static str = "secret text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const KIND: &'static str = "`text` or `json`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".into()),
        }
    }
}

impl Value for Targets {
    const KIND: &'static str = "a level, or `part=level` with commas between";

    fn parse(text: &str) -> Result<Self, String> {
        let expected =
            "expected error, warn, info, debug, trace or off, as in info,settle_http=debug";
        text.parse().map_err(|_| expected.into())
    }
}

/// `8 MB` and `8MB` as 8 and `MB`. Underscores may group the digits.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.replace('_', "").parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_byte_count_reads_back_as_it_was_written(bytes: u64) {
            let count = ByteCount(bytes);
            prop_assert_eq!(ByteCount::parse(&count.to_string()), Ok(count));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            drop(ByteCount::parse(&text));
            drop(Duration::parse(&text));
        }
    }

    #[test]
    fn what_is_believed_comes_over_tls_or_from_this_machine() {
        let is_good = |text| Option::<Uri>::parse(text).is_ok_and(|url| url.is_some());
        for good in [
            "https://example.org/keys",
            "https://example.org:8443/a?b=c",
            "http://127.0.0.1:9/keys",
            "http://[::1]/keys",
            "http://localhost/keys",
        ] {
            assert!(is_good(good), "{good}");
        }
        for bad in [
            "http://example.org/keys",
            "http://127.0.0.1.example.org/",
            "ftp://localhost/keys",
            "/keys",
            "example.org",
            "https://name:password@example.org/keys",
            "https://",
        ] {
            assert!(!is_good(bad), "{bad}");
        }
        assert_eq!(Option::<Uri>::parse(""), Ok(None));
    }

    #[test]
    fn units_are_what_they_say() {
        assert_eq!(ByteCount::parse("8 MB"), Ok(ByteCount(8_000_000)));
        assert_eq!(ByteCount::parse("8MiB"), Ok(ByteCount(8 << 20)));
        assert_eq!(ByteCount::parse("1_024"), Ok(ByteCount(1_024)));
        assert_eq!(Duration::parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(Duration::parse("5 min"), Ok(Duration::from_secs(300)));
        assert!(Duration::parse("5").is_err(), "a time without a unit is a guess");
    }

    #[test]
    fn a_number_of_things_is_at_least_one() {
        assert_eq!(NonZeroU16::parse("65535"), Ok(NonZeroU16::MAX));
        for bad in ["0", "-1", "65536", "1.5", "many", ""] {
            assert!(NonZeroU16::parse(bad).is_err(), "{bad}");
        }
    }
}
