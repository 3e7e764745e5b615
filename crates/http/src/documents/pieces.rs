//! A reply made of text and of stored attachments, sent piece by piece with bounded memory.
//!
//! Its length is known before the first byte is read. Small pieces are gathered up to [`PIECE_BYTES`],
//! larger ones are passed on without a copy.

use std::{collections::VecDeque, sync::Arc};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use settle_database::{
    Attachment, Revision,
    blobs::{BlobDigest, BlobReader, BlobStore, Part},
};

use super::outgoing::{Attachments, Form};
use crate::{error::ApiError, feed::FeedBroken};

/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Pieces {
    blobs: Arc<BlobStore>,
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Blob {
        digest: BlobDigest,
        part: Part,
        length: u64,
    },
    /// The content as clients know it, of this length, in base64.
    Base64 {
        digest: BlobDigest,
        length: u64,
    },
}

impl Pieces {
    pub(crate) fn new(blobs: Arc<BlobStore>) -> Self {
        Self { blobs, pieces: VecDeque::new() }
    }

    /// The text at the end, to be written on.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        if !matches!(self.pieces.back(), Some(Piece::Text(_))) {
            self.pieces.push_back(Piece::Text(Vec::new()));
        }
        match self.pieces.back_mut() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Blob { .. } | Piece::Base64 { .. }) | None => {
                unreachable!("a text was put there above")
            }
        }
    }

    /// An attachment as it is stored, compressed or not.
    pub(crate) fn stored(&mut self, attachment: &Attachment) {
        let (digest, length) = (attachment.digest, attachment.stored_length);
        self.pieces.push_back(Piece::Blob { digest, part: Part::Stored, length });
    }

    /// Some bytes of an attachment as it is stored.
    pub(crate) fn stored_range(&mut self, attachment: &Attachment, range: std::ops::Range<u64>) {
        let length = range.end - range.start;
        let part = Part::StoredRange(range);
        self.pieces.push_back(Piece::Blob { digest: attachment.digest, part, length });
    }

    /// A document as JSON, its attachments inside where `form` says so.
    pub(crate) fn document(&mut self, form: &Form, revision: &Revision) {
        let sent: Vec<_> = match form.attachments {
            Attachments::Inline => {
                revision.attachments.iter().filter(|it| form.sends(it)).collect()
            }
            Attachments::Stubs | Attachments::Follow => Vec::new(),
        };
        if sent.is_empty() {
            form.write(self.text(), revision, &Vec::new());
            return;
        }
        // Written with empty contents, and then cut where they belong.
        let contents = revision.attachments.iter().map(|it| form.sends(it).then(Vec::new));
        let mut text = Vec::new();
        form.write(&mut text, revision, &contents.collect());
        let mut after = Vec::with_capacity(sent.len());
        for _ in &sent {
            let end = content_end(&text);
            after.push(text.split_off(end));
        }
        self.text().append(&mut text);
        for (attachment, text) in sent.into_iter().zip(after.into_iter().rev()) {
            let (digest, length) = (attachment.digest, attachment.length);
            self.pieces.push_back(Piece::Base64 { digest, length });
            self.pieces.push_back(Piece::Text(text));
        }
    }

    /// Bytes of the whole.
    pub(crate) fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Blob { length, .. } => *length,
            Piece::Base64 { length, .. } => length.div_ceil(3) * 4,
        };
        self.pieces.iter().map(length).sum()
    }

    pub(crate) fn into_body(self) -> Body {
        let sending = Sending { left: self, now: None, gathered: Vec::new() };
        Body::from_stream(futures_util::stream::unfold(sending, |mut sending| async move {
            let piece = match sending.next().await {
                Ok(piece) => Ok(piece?),
                Err(error) => {
                    sending.stop();
                    Err(FeedBroken::log(&error))
                }
            };
            Some((piece, sending))
        }))
    }
}

/// The place before the closing quote of the last empty content in a document. Attachments are its last
/// member, and no string holds a bare quote, so nothing else there looks like this.
fn content_end(text: &[u8]) -> usize {
    const EMPTY: &[u8] = b",\"data\":\"\"";
    let at = memchr::memmem::rfind(text, EMPTY).expect("every content was written empty");
    at + EMPTY.len() - 1
}

struct Sending {
    left: Pieces,
    now: Option<Reading>,
    gathered: Vec<u8>,
}

/// An attachment that is being sent.
struct Reading {
    reader: BlobReader,
    base64: Option<Base64>,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while self.gathered.len() < PIECE_BYTES {
            if let Some(reading) = &mut self.now {
                match (reading.reader.next().await.transpose()?, &mut reading.base64) {
                    (Some(bytes), None) if self.gathered.is_empty() => return Ok(Some(bytes)),
                    (Some(bytes), None) => self.gathered.extend_from_slice(&bytes),
                    (Some(bytes), Some(base64)) => base64.push(&bytes, &mut self.gathered),
                    (None, base64) => {
                        if let Some(base64) = base64 {
                            base64.finish(&mut self.gathered);
                        }
                        self.now = None;
                    }
                }
                continue;
            }
            match self.left.pieces.pop_front() {
                None if self.gathered.is_empty() => return Ok(None),
                None => break,
                Some(Piece::Text(text)) if self.gathered.is_empty() => self.gathered = text,
                Some(Piece::Text(text)) => self.gathered.extend_from_slice(&text),
                Some(Piece::Blob { digest, part, .. }) => {
                    let reader = self.left.blobs.read(digest, part).await?;
                    self.now = Some(Reading { reader, base64: None });
                }
                Some(Piece::Base64 { digest, .. }) => {
                    let reader = self.left.blobs.read(digest, Part::Identity).await?;
                    self.now = Some(Reading { reader, base64: Some(Base64::default()) });
                }
            }
        }
        Ok(Some(std::mem::take(&mut self.gathered).into()))
    }

    /// After an error there is nothing to go on with.
    fn stop(&mut self) {
        self.left.pieces.clear();
        self.now = None;
        self.gathered.clear();
    }
}

/// Base64 of bytes that come in pieces: what does not fill three bytes waits for the next.
#[derive(Default)]
struct Base64 {
    waiting: Vec<u8>,
}

impl Base64 {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        if !self.waiting.is_empty() {
            let missing = (3 - self.waiting.len()).min(bytes.len());
            self.waiting.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.waiting.len() < 3 {
                return;
            }
            encode(&self.waiting, out);
            self.waiting.clear();
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % 3);
        encode(whole, out);
        self.waiting.extend_from_slice(rest);
    }

    fn finish(&self, out: &mut Vec<u8>) {
        encode(&self.waiting, out);
    }
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("the room is as long as the text");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn base64_is_the_same_however_the_bytes_are_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
        ) {
            let mut base64 = Base64::default();
            let mut out = Vec::new();
            for piece in &pieces {
                base64.push(piece, &mut out);
            }
            base64.finish(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), STANDARD.encode(pieces.concat()));
        }
    }
}
