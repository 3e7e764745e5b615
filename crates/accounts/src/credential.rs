//! What a user document keeps of a password.
//!
//! | `password_scheme` | other members |
//! |---|---|
//! | `argon2id` | `password_hash`, in the text form of the password hashing competition |
//! | `pbkdf2` | `pbkdf2_prf` (`sha` where it is missing), `iterations`, `derived_key` |
//! | `simple`, or missing | `password_sha` |
//!
//! All have `salt`, which sessions are sealed with. The first is what this server writes; the others
//! are CouchDB's, and are replaced by the first when their user signs in next. Their salt stays, so that
//! sessions go on.
//!
//! Source: `couch_passwords.erl`, `couch_auth_cache:validate_user_creds/1`,
//! `couch_httpd_auth:authenticate/2`. CouchDB itself knows no argon2id: replicate users from it, not to it.

use pbkdf2::pbkdf2_hmac;
use sha1::{Digest as _, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::{
    PasswordHash,
    fields::{number, text},
    limits::{ITERATIONS_MAX, PASSWORD_BYTES_MAX},
    password::Memory,
};

/// A hash that a password can be checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Argon2id(PasswordHash),
    Pbkdf2 { prf: Prf, salt: String, iterations: u32, key: Vec<u8> },
    Simple { salt: String, sha: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prf {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Credential {
    /// Of a user document; `None` if it keeps no password, or none that could be checked.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let scheme = text(body, "password_scheme");
        match scheme.as_deref() {
            Some("argon2id") => {
                let hash = PasswordHash::from_stored(&text(body, "password_hash")?).ok()?;
                Some(Self::Argon2id(hash))
            }
            Some("pbkdf2") => {
                let prf = match text(body, "pbkdf2_prf").as_deref() {
                    None | Some("sha") => Prf::Sha1,
                    Some("sha224") => Prf::Sha224,
                    Some("sha256") => Prf::Sha256,
                    Some("sha384") => Prf::Sha384,
                    Some("sha512") => Prf::Sha512,
                    Some(_) => return None,
                };
                let iterations = u32::try_from(number(body, "iterations")?).ok()?;
                let key = hex::decode(&*text(body, "derived_key")?).ok()?;
                let possible =
                    (1..=ITERATIONS_MAX).contains(&iterations) && key.len() == prf.bytes();
                let salt = text(body, "salt")?.into_owned();
                possible.then_some(Self::Pbkdf2 { prf, salt, iterations, key })
            }
            None | Some("simple") => {
                let sha = hex::decode(&*text(body, "password_sha")?).ok()?;
                if sha.len() != Prf::Sha1.bytes() {
                    return None;
                }
                let salt = text(body, "salt").unwrap_or_default().into_owned();
                Some(Self::Simple { salt, sha })
            }
            Some(_) => None,
        }
    }

    /// Whether it should be replaced by what this server writes.
    pub(crate) fn is_old(&self) -> bool {
        match self {
            Self::Argon2id(_) => false,
            Self::Pbkdf2 { .. } | Self::Simple { .. } => true,
        }
    }

    /// Takes up to some hundred milliseconds. Compares in constant time.
    pub(crate) fn matches(&self, password: &str, memory: &mut Memory) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let (found, expected) = match self {
            Self::Argon2id(hash) => return hash.matches(password, memory),
            Self::Pbkdf2 { prf, salt, iterations, key } => {
                (prf.derive(password, salt, *iterations), key)
            }
            Self::Simple { salt, sha } => {
                let found = Sha1::new().chain_update(password).chain_update(salt).finalize();
                (found.to_vec(), sha)
            }
        };
        found.ct_eq(expected).into()
    }
}

impl Prf {
    /// As many bytes as one hash has.
    fn derive(self, password: &str, salt: &str, iterations: u32) -> Vec<u8> {
        let mut key = vec![0; self.bytes()];
        let derive = match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>,
            Self::Sha224 => pbkdf2_hmac::<Sha224>,
            Self::Sha256 => pbkdf2_hmac::<Sha256>,
            Self::Sha384 => pbkdf2_hmac::<Sha384>,
            Self::Sha512 => pbkdf2_hmac::<Sha512>,
        };
        derive(password.as_bytes(), salt.as_bytes(), iterations, &mut key);
        key
    }

    fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by CouchDB 3.5.2, with the password of each.
    const RECORDED: &str = include_str!("../tests/recorded/users.jsonl");

    #[test]
    fn passwords_that_couchdb_hashed_are_found_right_and_others_wrong() {
        for line in RECORDED.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let body = line["document"].to_string();
            let credential = Credential::of(body.as_bytes()).unwrap();
            let password = line["password"].as_str().unwrap();
            assert!(credential.is_old());
            assert!(credential.matches(password, &mut Memory::default()), "{}", line["note"]);
            assert!(!credential.matches("another", &mut Memory::default()), "{}", line["note"]);
        }
    }

    #[test]
    fn what_cannot_be_checked_or_would_take_for_ever_is_no_credential() {
        for body in [
            r#"{}"#,
            r#"{"password_scheme":"md5","salt":"a"}"#,
            r#"{"password_scheme":"argon2id","password_hash":"x"}"#,
            r#"{"password_scheme":"pbkdf2","salt":"a","iterations":0,"derived_key":"00"}"#,
            r#"{"password_scheme":"pbkdf2","salt":"a","iterations":4000000000,"derived_key":"00"}"#,
            r#"{"password_scheme":"pbkdf2","salt":"a","iterations":1,"derived_key":"00"}"#,
            r#"{"password_scheme":"pbkdf2","pbkdf2_prf":"md5","salt":"a","iterations":1,"derived_key":"00"}"#,
        ] {
            assert_eq!(Credential::of(body.as_bytes()), None, "{body}");
        }
    }
}
