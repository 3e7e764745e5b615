//! What is known of a blob.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 16 | md5 of the stored bytes |
//! | 16 | 16 | the upload that brought it: part of the file's name |
//! | 32 | 1 | encoding: 0 identity, 1 gzip |
//! | 33 | 1 | place: 0 in the engine, 1 a file |
//! | 34 | 1 | 1 when condemned, else 0 |
//! | 35 | … | number: bytes before compression |
//! | … | … | number: stored bytes |
//! | … | … | number: how often this record has changed |
//! | … | … | number: when it was condemned, in microseconds; only of a condemned one |
//!
//! Numbers are those of [`crate::codec`]. The count of changes makes each state of a record another
//! value, so that a precondition on the value cannot hold by accident.

use std::fmt;

use settle_engine::value;
use settle_model::time::Timestamp;

use super::{digest::Encoding, keys};
use crate::{
    blobs::BlobDigest,
    codec::{Reader, RecordError, put_number},
};

const VERSION: u8 = 1;

/// One upload: the session of the store in the upper half, a count in the lower. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(u128);

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Inline,
    File,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRecord {
    pub md5: [u8; 16],
    pub upload: UploadId,
    pub encoding: Encoding,
    pub place: Place,
    /// Bytes before compression.
    pub length: u64,
    pub stored_length: u64,
    pub(super) changes: u64,
    /// Since when the collector means to delete it.
    pub condemned_at: Option<Timestamp>,
}

impl UploadId {
    pub(super) fn new(session: u64, count: u64) -> Self {
        Self(u128::from(session) << 64 | u128::from(count))
    }

    /// Whether a store of this session made it.
    pub(super) fn is_of(self, session: u64) -> bool {
        self.0 >> 64 == u128::from(session)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The inverse of `Display`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_canonical =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok()?;
        is_canonical.then_some(Self(number))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// As it is written, so that a failed assertion can be read.
impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BlobRecord {
    /// Reads the value that the engine has for `digest`.
    pub fn decode(digest: BlobDigest, stored: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("blob", &keys::blob(digest), stored)?;
        let md5 = from.array()?;
        let upload = UploadId::from_bytes(from.array()?);
        let encoding = match from.byte()? {
            0 => Encoding::Identity,
            1 => Encoding::Gzip,
            _ => return Err(from.malformed("unknown encoding")),
        };
        let place = match from.byte()? {
            0 => Place::Inline,
            1 => Place::File,
            _ => return Err(from.malformed("unknown place")),
        };
        let is_condemned = match from.byte()? {
            0 => false,
            1 => true,
            _ => return Err(from.malformed("neither condemned nor not")),
        };
        let length = from.number()?;
        let stored_length = from.number()?;
        let changes = from.number()?;
        let condemned_at =
            if is_condemned { Some(Timestamp::from_micros(from.number()?)) } else { None };
        from.end()?;
        Ok(Self { md5, upload, encoding, place, length, stored_length, changes, condemned_at })
    }

    /// The key and the value to put there.
    pub(super) fn encode(&self, digest: BlobDigest) -> (Vec<u8>, Vec<u8>) {
        let mut out = value::begin(VERSION);
        out.extend_from_slice(&self.md5);
        out.extend_from_slice(&self.upload.bytes());
        out.push(match self.encoding {
            Encoding::Identity => 0,
            Encoding::Gzip => 1,
        });
        out.push(match self.place {
            Place::Inline => 0,
            Place::File => 1,
        });
        out.push(u8::from(self.condemned_at.is_some()));
        put_number(&mut out, self.length);
        put_number(&mut out, self.stored_length);
        put_number(&mut out, self.changes);
        if let Some(at) = self.condemned_at {
            put_number(&mut out, at.micros());
        }
        let key = keys::blob(digest);
        let sealed = value::seal(&key, out);
        (key, sealed)
    }

    pub(super) fn condemned(&self, at: Timestamp) -> Self {
        Self { condemned_at: Some(at), changes: self.changes + 1, ..self.clone() }
    }

    pub(super) fn reprieved(&self) -> Self {
        Self { condemned_at: None, changes: self.changes + 1, ..self.clone() }
    }
}

/// A value that says only that its key is there.
pub(super) fn mark(key: &[u8]) -> Vec<u8> {
    value::seal(key, value::begin(VERSION))
}

/// The stored bytes of a blob without a file, in their envelope.
pub(super) fn encode_data(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = value::begin(VERSION);
    out.reserve_exact(bytes.len());
    out.extend_from_slice(bytes);
    value::seal(key, out)
}

pub(super) fn decode_data<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], RecordError> {
    Ok(Reader::open("blob data", key, stored)?.remaining())
}
