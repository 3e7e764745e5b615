//! Names of revisions, and paths of them.
//!
//! A revision is written `generation-digest`. The generation counts edits from 1; the digest tells
//! apart what was written at that generation. Digests that servers and PouchDB make are md5 sums,
//! written as 32 hex digits and kept as 16 bytes; a client that makes its own revisions may choose
//! another text.
//!
//! Source: `couch_doc:parse_rev/1` and `revid_to_str/2`. Different here: a digest of another text is
//! limited to what an `ETag` and a JSON string carry as it is, while CouchDB takes any text; a text
//! of 16 bytes stays that text, while CouchDB shows it in hex from then on; and generation 0 belongs
//! to local documents alone, which do not use these types.

mod digest;
mod path;

use std::{fmt, num::NonZeroU32, str::FromStr};

use thiserror::Error;

pub use self::{digest::Digest, path::RevPath};

/// Names one revision. The derived order is part of the meaning: generation first, then digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevId {
    generation: NonZeroU32,
    digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RevisionError {
    /// CouchDB's words, the same for every mistake.
    #[error("Invalid rev format")]
    NotARevision,
    #[error("{len} digests do not fit between generations 1 and {start}")]
    PathLength { start: u32, len: usize },
}

impl RevId {
    /// `None` for generation 0.
    pub fn new(generation: u32, digest: Digest) -> Option<Self> {
        Some(Self { generation: NonZeroU32::new(generation)?, digest })
    }

    pub fn generation(&self) -> u32 {
        self.generation.get()
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub fn into_digest(self) -> Digest {
        self.digest
    }

    /// Appends `generation-digest`, without the machinery of `Display`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut decimal = [0; 10];
        let mut at = decimal.len();
        let mut rest = self.generation.get();
        while rest > 0 {
            at -= 1;
            decimal[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        out.extend_from_slice(&decimal[at..]);
        out.push(b'-');
        self.digest.write_to(out);
    }
}

impl FromStr for RevId {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let (generation, digest) = text.split_once('-').ok_or(RevisionError::NotARevision)?;
        if !generation.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RevisionError::NotARevision);
        }
        let generation = generation.parse().map_err(|_| RevisionError::NotARevision)?;
        Ok(Self { generation, digest: digest.parse()? })
    }
}

impl fmt::Display for RevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.digest)
    }
}

/// As it is written, so that a failed assertion can be read.
impl fmt::Debug for RevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
