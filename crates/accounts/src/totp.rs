//! The second factor of a user: six digits that change every half minute.
//!
//! `"totp": {"key": "<base32>", "algorithm": "sha" | "sha256" | "sha512", "length": 6 | 7 | 8}`; all but the
//! key can be left out. Who has one signs in with `POST /_session` alone, where `token` brings the digits:
//! a password that goes with every request cannot bring new ones.
//!
//! Source: RFC 6238, RFC 4226, `couch_totp.erl`, `couch_httpd_auth:verify_totp/2`. Different here: what
//! cannot be a second factor keeps its user out instead of letting everybody in who knows the password.

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use crate::fields::{member, number, text};

const STEP_SECONDS: u64 = 30;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Totp {
    algorithm: Algorithm,
    key: Vec<u8>,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// What a user document says of a second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecondFactor {
    None,
    Digits(Totp),
    /// Something that nobody can fulfil.
    Unusable,
}

impl SecondFactor {
    pub(crate) fn of(body: &[u8]) -> Self {
        match member(body, "totp") {
            None | Some(b"null" | b"{}") => Self::None,
            Some(totp) => Totp::of(totp).map_or(Self::Unusable, Self::Digits),
        }
    }

    /// Whether these digits, if any, are what is needed now or half a minute earlier or later.
    pub(crate) fn is_met(&self, digits: Option<&str>, now_seconds: u64) -> bool {
        match self {
            Self::None => true,
            Self::Digits(totp) => digits.is_some_and(|digits| totp.matches(digits, now_seconds)),
            Self::Unusable => false,
        }
    }
}

impl Totp {
    fn of(totp: &[u8]) -> Option<Self> {
        let algorithm = match text(totp, "algorithm").as_deref() {
            None | Some("sha" | "sha1") => Algorithm::Sha1,
            Some("sha256") => Algorithm::Sha256,
            Some("sha512") => Algorithm::Sha512,
            Some(_) => return None,
        };
        let length = match member(totp, "length") {
            None => 6,
            Some(_) => usize::try_from(number(totp, "length")?).ok()?,
        };
        let key = base32(&text(totp, "key")?)?;
        (!key.is_empty() && (6..=8).contains(&length)).then_some(Self { algorithm, key, length })
    }

    fn matches(&self, digits: &str, now_seconds: u64) -> bool {
        let step = now_seconds / STEP_SECONDS;
        let steps = [step.saturating_sub(1), step, step + 1];
        let all = steps.map(|step| self.digits(step).as_bytes().ct_eq(digits.as_bytes()));
        bool::from(all.into_iter().fold(Choice::from(0), |any, one| any | one))
    }

    fn digits(&self, step: u64) -> String {
        macro_rules! mac {
            ($hash:ty) => {{
                let mac = Hmac::<$hash>::new_from_slice(&self.key).expect("any length is a key");
                mac.chain_update(step.to_be_bytes()).finalize().into_bytes().to_vec()
            }};
        }
        let mac = match self.algorithm {
            Algorithm::Sha1 => mac!(Sha1),
            Algorithm::Sha256 => mac!(Sha256),
            Algorithm::Sha512 => mac!(Sha512),
        };
        let at = usize::from(mac[mac.len() - 1] & 15);
        let part = mac[at..].first_chunk().expect("each hash has 20 bytes or more");
        let number = u64::from(u32::from_be_bytes(*part) & 0x7fff_ffff);
        let length = self.length;
        format!("{:0length$}", number % [1_000_000, 10_000_000, 100_000_000][length - 6])
    }
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Totp(..)")
    }
}

/// RFC 4648, in either case, with or without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u64;
    let mut count = 0;
    let mut out = Vec::with_capacity(text.len());
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u64::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("eight bits"));
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secrets of RFC 6238, appendix B: digits over and over, as long as the hash.
    fn factor(algorithm: &str, bytes: usize) -> SecondFactor {
        let secret: Vec<u8> =
            (0..bytes).map(|n| b'0' + u8::try_from((n + 1) % 10).unwrap()).collect();
        let key = encoded(&secret);
        SecondFactor::of(
            format!(r#"{{"totp":{{"key":"{key}","algorithm":"{algorithm}","length":8}}}}"#)
                .as_bytes(),
        )
    }

    fn encoded(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bits: Vec<u8> =
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).collect();
        let letter = |bits: &[u8]| {
            let value = (0..5).fold(0, |value, n| value << 1 | bits.get(n).copied().unwrap_or(0));
            char::from(LETTERS[usize::from(value)])
        };
        bits.chunks(5).map(letter).collect()
    }

    #[test]
    fn digits_are_those_of_the_standard() {
        for (seconds, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            for (algorithm, bytes, digits) in
                [("sha", 20, sha1), ("sha256", 32, sha256), ("sha512", 64, sha512)]
            {
                let factor = factor(algorithm, bytes);
                assert!(factor.is_met(Some(digits), seconds), "{algorithm} at {seconds}");
                assert!(factor.is_met(Some(digits), seconds + 30), "a clock may be late");
                assert!(!factor.is_met(Some(digits), seconds + 90), "{algorithm} at {seconds}");
                assert!(!factor.is_met(None, seconds));
            }
        }
    }

    #[test]
    fn what_is_no_second_factor_keeps_everybody_out() {
        for totp in [
            "{\"key\":\"!\"}",
            "{\"key\":\"\"}",
            "{\"length\":6}",
            "1",
            "\"x\"",
            "{\"key\":\"MFRGGZDF\",\"length\":4}",
            "{\"key\":\"MFRGGZDF\",\"algorithm\":\"md5\"}",
        ] {
            let factor = SecondFactor::of(format!("{{\"totp\":{totp}}}").as_bytes());
            assert_eq!(factor, SecondFactor::Unusable, "{totp}");
            assert!(!factor.is_met(Some("000000"), 0), "{totp}");
        }
        for body in ["{}", "{\"totp\":null}", "{\"totp\":{}}"] {
            assert!(SecondFactor::of(body.as_bytes()).is_met(None, 0), "{body}");
        }
    }
}
