//! What a blob is called, and in which form it is stored.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// BLAKE3 of the stored bytes: the identity of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest([u8; 32]);

/// The form in which a blob is stored. Blobs of one content in two encodings are two blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// As the client sees it.
    Identity,
    Gzip,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a blob's digest; expected 64 hex digits")]
pub struct BlobDigestError {
    text: String,
}

impl BlobDigest {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of bytes that are at hand.
    pub fn of(stored: &[u8]) -> Self {
        Self(*blake3::hash(stored).as_bytes())
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// As it is written, so that a failed assertion can be read.
impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobDigest {
    type Err = BlobDigestError;

    fn from_str(text: &str) -> Result<Self, BlobDigestError> {
        let hash = blake3::Hash::from_hex(text);
        hash.map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| BlobDigestError { text: text.to_owned() })
    }
}
