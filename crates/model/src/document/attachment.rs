//! The attachments of a document, as its `_attachments` member lists them.

use base64::{
    Engine as _,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};

use super::{DocumentError, limits::CONTENT_TYPE_BYTES_MAX};
use crate::{
    id::AttachmentName,
    json::{
        self, JsonError,
        scan::{Scanner, Text},
    },
};

/// What CouchDB takes an attachment for that does not say.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// Padding is required; the unused bits of the last character may be anything, as in Erlang.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Where the content of an attachment comes from. Lengths are bytes, of the content as the client
/// knows it; `encoded_length` is that of the stored form, where they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentIn {
    /// Kept from the revision before. `revpos`, where sent, must be that of the kept one; the rest
    /// is what the client believes of it.
    Stub {
        content_type: String,
        revpos: Option<u32>,
        digest: Option<[u8; 16]>,
        length: Option<u64>,
        encoding: Encoding,
        encoded_length: Option<u64>,
    },
    /// Sent behind the document, in the order of the list. `digest` is of the bytes that follow.
    Follows {
        content_type: String,
        revpos: u32,
        digest: Option<[u8; 16]>,
        length: Option<u64>,
        encoding: Encoding,
        encoded_length: Option<u64>,
    },
    /// Sent inside the document, and decoded from there.
    Inline { content_type: String, revpos: u32, data: Vec<u8> },
}

/// How the bytes of an attachment are kept and sent between servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    #[default]
    Identity,
    Gzip,
}

/// Members as far as they were seen.
#[derive(Default)]
struct Parts {
    content_type: Option<String>,
    stub: bool,
    follows: bool,
    data: Option<Text>,
    revpos: Option<u32>,
    digest: Option<[u8; 16]>,
    length: Option<u64>,
    encoding: Encoding,
    encoded_length: Option<u64>,
}

pub(super) fn parse_attachments(
    scanner: &mut Scanner<'_>,
) -> Result<Vec<(AttachmentName, AttachmentIn)>, DocumentError> {
    let mut attachments = Vec::new();
    scanner.members(|scanner, key| {
        let name: AttachmentName = json::unescape(key.raw(scanner.text())).parse()?;
        scanner.colon()?;
        if scanner.peek() != b'{' {
            return Err(DocumentError::AttachmentNotAnObject { name: name.as_str().to_owned() });
        }
        let attachment = parse_attachment(scanner, &name)?;
        attachments.push((name, attachment));
        Ok(())
    })?;
    Ok(attachments)
}

fn parse_attachment(
    scanner: &mut Scanner<'_>,
    name: &AttachmentName,
) -> Result<AttachmentIn, DocumentError> {
    let mut parts = Parts::default();
    scanner.members(|scanner, key| {
        scanner.colon()?;
        let bad = |member, expected| DocumentError::AttachmentMember {
            name: name.as_str().to_owned(),
            member,
            expected,
        };
        match &*json::unescape(key.raw(scanner.text())) {
            "content_type" => {
                let text = parse_string(scanner)?;
                let text = text.map(|text| json::unescape(text.raw(scanner.text())));
                let text = text.filter(|text| is_content_type(text));
                let expected = "a text that can stand in an HTTP header";
                parts.content_type =
                    Some(text.ok_or_else(|| bad("content_type", expected))?.into_owned());
            }
            "stub" => parts.stub = parse_flag(scanner)?,
            "follows" => parts.follows = parse_flag(scanner)?,
            "data" => parts.data = parse_string(scanner)?,
            "revpos" => {
                let revpos = parse_integer(scanner)?.and_then(|it| u32::try_from(it).ok());
                parts.revpos = Some(revpos.ok_or_else(|| bad("revpos", "a generation"))?);
            }
            "length" => {
                let length = parse_integer(scanner)?;
                parts.length = Some(length.ok_or_else(|| bad("length", "a number of bytes"))?);
            }
            "encoded_length" => {
                let length = parse_integer(scanner)?;
                let expected = "a number of bytes";
                parts.encoded_length = Some(length.ok_or_else(|| bad("encoded_length", expected))?);
            }
            "digest" => {
                if let Some(text) = parse_string(scanner)? {
                    let digest = json::unescape(text.raw(scanner.text()));
                    parts.digest = parse_digest(&digest)
                        .map_err(|NotMd5| bad("digest", "`md5-` and 16 bytes in base64"))?;
                }
            }
            "encoding" => {
                let text = parse_string(scanner)?;
                let encoding = text.map(|text| json::unescape(text.raw(scanner.text())));
                parts.encoding = match encoding.as_deref() {
                    Some("gzip") => Encoding::Gzip,
                    Some("identity") => Encoding::Identity,
                    Some(_) | None => return Err(bad("encoding", "`gzip` or `identity`")),
                };
            }
            _ => scanner.value()?,
        }
        Ok(())
    })?;
    parts.finish(scanner.text(), name)
}

impl Parts {
    /// As CouchDB chooses: a stub before what follows, and content inside the document last.
    fn finish(self, source: &[u8], name: &AttachmentName) -> Result<AttachmentIn, DocumentError> {
        let content_type = self.content_type.unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned());
        let Self { revpos, digest, length, encoding, encoded_length, .. } = self;
        if self.stub {
            return Ok(AttachmentIn::Stub {
                content_type,
                revpos,
                digest,
                length,
                encoding,
                encoded_length,
            });
        }
        let revpos = revpos.unwrap_or(0);
        if self.follows {
            return Ok(AttachmentIn::Follows {
                content_type,
                revpos,
                digest,
                length,
                encoding,
                encoded_length,
            });
        }
        let data = self.data.and_then(|text| decode(&json::unescape(text.raw(source))));
        match data {
            Some(data) => Ok(AttachmentIn::Inline { content_type, revpos, data }),
            None => Err(DocumentError::AttachmentData { name: name.as_str().to_owned() }),
        }
    }
}

/// A whole number that is not negative and fits; `None` for any other value.
pub(super) fn parse_integer(scanner: &mut Scanner<'_>) -> Result<Option<u64>, JsonError> {
    let start = scanner.at();
    scanner.value()?;
    let text = &scanner.text()[start..scanner.at()];
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text);
    Ok(digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok()))
}

/// `None` for any other value.
fn parse_string(scanner: &mut Scanner<'_>) -> Result<Option<Text>, JsonError> {
    if scanner.peek() == b'"' {
        return scanner.string().map(Some);
    }
    scanner.value()?;
    Ok(None)
}

/// Whether the value is `true`; any other counts as no.
fn parse_flag(scanner: &mut Scanner<'_>) -> Result<bool, JsonError> {
    let flag = scanner.peek() == b't';
    scanner.value()?;
    Ok(flag)
}

/// Whether the text can be sent back as the `Content-Type` of a reply.
fn is_content_type(text: &str) -> bool {
    text.len() <= CONTENT_TYPE_BYTES_MAX && !text.bytes().any(|byte| byte.is_ascii_control())
}

struct NotMd5;

/// `None` for a digest of another kind, which nothing is compared with.
fn parse_digest(text: &str) -> Result<Option<[u8; 16]>, NotMd5> {
    let Some(sum) = text.strip_prefix("md5-") else { return Ok(None) };
    let bytes = BASE64.decode(sum).map_err(|_| NotMd5)?;
    Ok(Some(bytes.try_into().map_err(|_| NotMd5)?))
}

/// Base64, in which white space means nothing.
fn decode(text: &str) -> Option<Vec<u8>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    BASE64.decode(text).ok().or_else(|| {
        if !text.as_bytes().iter().any(is_space) {
            return None;
        }
        let dense: Vec<u8> = text.bytes().filter(|byte| !is_space(byte)).collect();
        BASE64.decode(dense).ok()
    })
}
