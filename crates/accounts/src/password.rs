//! Passwords as they are kept: argon2id, in the text form of the password hashing competition.
//!
//! Parameters are OWASP's of 2024: 19 MiB, two passes, one lane. They stand in each stored hash, so
//! changing them here leaves old ones readable.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        Output, PasswordHash as Phc, PasswordHashString, PasswordHasher as _, Salt, SaltString,
    },
};
use settle_model::time::Entropy;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::limits::PASSWORD_BYTES_MAX;

/// The hash of a password, with its salt and parameters.
#[derive(Clone, PartialEq, Eq)]
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
        Params::try_from(&hash.password_hash()).map_err(|error| not_a_hash(error.to_string()))?;
        Ok(Self(hash))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Another one with every change of the password; sessions are sealed with it.
    pub(crate) fn salt(&self) -> &[u8] {
        self.0.salt().expect("checked in of and from_stored").as_str().as_bytes()
    }

    /// Takes tens of milliseconds, and `memory`, which is made as large as the hash needs. Compares
    /// in constant time.
    pub(crate) fn matches(&self, password: &str, memory: &mut Memory) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let stored: Phc<'_> = self.0.password_hash();
        let (Some(hash), Some(salt)) = (stored.hash, stored.salt) else { return false };
        let Ok(params) = Params::try_from(&stored) else { return false };
        let mut salt_bytes = [0; Salt::MAX_LENGTH];
        let Ok(salt) = salt.decode_b64(&mut salt_bytes) else { return false };
        let blocks = params.block_count();
        if memory.0.len() < blocks {
            memory.0.resize(blocks, Block::default());
        }
        let mut found = [0; Output::MAX_LENGTH];
        let found = &mut found[..hash.len()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let memory = &mut memory.0[..blocks];
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, found, memory).is_ok()
            && bool::from(found.ct_eq(hash.as_bytes()))
    }
}

/// What one check of a password works in. Kept from one check to the next: an allocator that is
/// asked for this much on one thread after the other keeps it once for each.
#[derive(Default)]
pub(crate) struct Memory(Vec<Block>);

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory(..)")
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
