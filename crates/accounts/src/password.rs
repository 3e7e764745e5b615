//! Passwords as they are kept: argon2id, in the text form of the password hashing competition.
//!
//! Parameters are OWASP's of 2024: 19 MiB, two passes, one lane. They stand in each stored hash, so
//! changing them here leaves old ones readable.

use argon2::{
    Argon2,
    password_hash::{
        PasswordHash as Phc, PasswordHashString, PasswordHasher as _, PasswordVerifier as _, Salt,
        SaltString,
    },
};
use settle_model::time::Entropy;
use thiserror::Error;

use crate::limits::PASSWORD_BYTES_MAX;

/// The hash of a password, with its salt and parameters.
#[derive(Clone)]
pub struct PasswordHash(PasswordHashString);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PasswordError {
    #[error("a password must not be empty")]
    Empty,
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("the stored password is not an argon2id hash in PHC form: {reason}")]
    NotAHash { reason: String },
}

impl PasswordHash {
    /// Takes tens of milliseconds; not for request threads.
    pub fn of(password: &str, entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong { bytes: password.len() });
        }
        let mut salt = [0; Salt::RECOMMENDED_LENGTH];
        entropy.fill(&mut salt);
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        Ok(Self(hash.expect("the parameters are valid and the password is short").serialize()))
    }

    /// Reads back what [`as_str`](Self::as_str) gave.
    pub fn from_stored(text: &str) -> Result<Self, PasswordError> {
        let not_a_hash = |reason: String| PasswordError::NotAHash { reason };
        let hash = PasswordHashString::new(text).map_err(|error| not_a_hash(error.to_string()))?;
        if hash.algorithm() != argon2::ARGON2ID_IDENT {
            return Err(not_a_hash(format!("the algorithm is {}", hash.algorithm())));
        }
        if hash.salt().is_none() || hash.hash().is_none() {
            return Err(not_a_hash("salt or hash is missing".to_owned()));
        }
        argon2::Params::try_from(&hash.password_hash())
            .map_err(|error| not_a_hash(error.to_string()))?;
        Ok(Self(hash))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Another one with every change of the password; sessions are sealed with it.
    pub(crate) fn salt(&self) -> &[u8] {
        self.0.salt().expect("checked in of and from_stored").as_str().as_bytes()
    }

    /// Takes tens of milliseconds. Compares in constant time.
    pub(crate) fn matches(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let hash: Phc<'_> = self.0.password_hash();
        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
