//! What a revision holds: its attachments and its JSON. The payload stands inside a head, inside a
//! history record, or in a record of its own under a number.
//!
//! | field | form |
//! |---|---|
//! | attachments | count, then each as below, in the order of the document |
//! | … name, content type | texts |
//! | … revpos | number: the generation at which it was added |
//! | … md5 of the stored bytes | 16 bytes |
//! | … BLAKE3 of the stored bytes | 32 bytes |
//! | … length | number: bytes before compression |
//! | … encoding | 0 as they are; 1 gzip, then the stored length as a number |
//! | JSON | the rest: the members as sent, without the special ones |

use settle_model::id::AttachmentName;

use crate::{
    blobs::{BlobDigest, Encoding},
    codec::{Reader, RecordError, put_number, put_text},
    record::sealed,
};

/// An attachment as its document tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: AttachmentName,
    pub content_type: String,
    /// The generation at which it was added; kept through replication.
    pub revpos: u32,
    /// Of the stored bytes, as CouchDB's `digest` is.
    pub md5: [u8; 16],
    pub digest: BlobDigest,
    /// Bytes before compression.
    pub length: u64,
    /// Bytes as stored; equals `length` for [`Encoding::Identity`].
    pub stored_length: u64,
    pub encoding: Encoding,
}

pub(crate) fn encode_payload(attachments: &[Attachment], json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + json.len() + attachments.len() * 96);
    put_number(&mut out, attachments.len() as u64);
    for attachment in attachments {
        put_text(&mut out, attachment.name.as_str());
        put_text(&mut out, &attachment.content_type);
        put_number(&mut out, u64::from(attachment.revpos));
        out.extend_from_slice(&attachment.md5);
        out.extend_from_slice(attachment.digest.as_bytes());
        put_number(&mut out, attachment.length);
        match attachment.encoding {
            Encoding::Identity => out.push(0),
            Encoding::Gzip => {
                out.push(1);
                put_number(&mut out, attachment.stored_length);
            }
        }
    }
    out.extend_from_slice(json);
    out
}

/// The attachments and the JSON of a payload.
pub(crate) fn decode_payload(payload: &[u8]) -> Result<(Vec<Attachment>, &[u8]), RecordError> {
    let mut from = Reader::over("body", payload);
    let count = from.count()?;
    let mut attachments = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let name = from.text()?.parse().map_err(|_| from.malformed("an attachment's name"))?;
        let content_type = from.text()?.to_owned();
        let revpos = from.small()?;
        let md5 = from.array()?;
        let digest = BlobDigest::from_bytes(from.array()?);
        let length = from.number()?;
        let (encoding, stored_length) = match from.byte()? {
            0 => (Encoding::Identity, length),
            1 => (Encoding::Gzip, from.number()?),
            _ => return Err(from.malformed("unknown encoding")),
        };
        attachments.push(Attachment {
            name,
            content_type,
            revpos,
            md5,
            digest,
            length,
            stored_length,
            encoding,
        });
    }
    Ok((attachments, from.remaining()))
}

pub(crate) fn encode_record(key: &[u8], payload: &[u8]) -> Vec<u8> {
    sealed(key, |out| out.extend_from_slice(payload))
}

pub(crate) fn decode_record<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], RecordError> {
    Ok(Reader::open("body", key, value)?.remaining())
}
