//! Credentials in documents, sealed so that nobody who reads the documents can use them.
//!
//! A *seal* is text that only this server can open, and only where it was made: for one endpoint of one
//! document of one database, for the owner of that document, and for the server that the credentials
//! were given for. Copied elsewhere, or with the endpoint changed to another server, it does not open.
//!
//! ```text
//! 1.<key id>.<base64url of nonce (12 bytes), ciphertext, tag (16 bytes)>
//! ```
//!
//! The cipher is ChaCha20-Poly1305 (RFC 8439) with a random nonce. The associated data is a JSON array of
//! texts: `settle replication credentials 1`, key id, number of the database, id of the document, owner,
//! endpoint, origin. The key id is the first 4 bytes of the key's SHA-256, as hex digits. Inside is a
//! JSON object with the members `username` and `password`, `headers`, or all three.

use std::{fmt, iter};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use settle_model::{
    json::{members, string_value, unescape, validate},
    time::Entropy,
};

use crate::{
    job::Credentials,
    json::{Object, array, member, quoted, text_member},
    limits::SEALED_BYTES_MAX,
};

const PURPOSE: &str = "settle replication credentials 1";
const VERSION: &str = "1";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 12;

/// Seals and opens. Holds the keys of one server.
pub struct Sealer {
    /// The first one seals, all open.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    key: LessSafeKey,
}

/// Where a seal belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Its number, which no other database ever has.
    pub(crate) database: u64,
    pub(crate) document: &'a str,
    pub(crate) owner: &'a str,
    /// The member that has the URL.
    pub(crate) endpoint: &'a str,
    /// Scheme, host and port of the URL.
    pub(crate) origin: &'a str,
}

/// What is secret of one endpoint.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secrets {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) headers: Vec<(String, String)>,
}

/// What a seal holds.
pub(crate) struct Opened {
    pub(crate) secrets: Secrets,
    /// Whether the key that seals now has sealed it.
    pub(crate) is_current: bool,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        f.debug_struct("Sealer").field("keys", &ids).finish()
    }
}

impl Sealer {
    /// `current` seals; what was sealed with one of the `previous` keys is opened too.
    pub fn new(current: [u8; KEY_BYTES], previous: &[[u8; KEY_BYTES]]) -> Self {
        let keys = iter::once(&current).chain(previous).map(|bytes| Key {
            id: hex::encode(&digest(&SHA256, bytes).as_ref()[..4]),
            key: LessSafeKey::new(
                UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("the length is the cipher's"),
            ),
        });
        Self { keys: keys.collect() }
    }

    pub(crate) fn seal(
        &self,
        secrets: &Secrets,
        place: Place<'_>,
        entropy: &dyn Entropy,
    ) -> String {
        let current = &self.keys[0];
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let mut sealed = secrets.to_json();
        let data = Aad::from(place.associated_data(&current.id));
        current
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), data, &mut sealed)
            .expect("a document is shorter than what the cipher takes");
        let bytes = [&nonce[..], &sealed].concat();
        format!("{VERSION}.{}.{}", current.id, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What the seal holds; `None` if it is none of this server's, or belongs elsewhere.
    pub(crate) fn open(&self, seal: &str, place: Place<'_>) -> Option<Opened> {
        if seal.len() > SEALED_BYTES_MAX {
            return None;
        }
        let (id, bytes) = seal.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        let at = self.keys.iter().position(|key| key.id == id)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_BYTES>()?;
        let data = Aad::from(place.associated_data(id));
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.keys[at].key.open_in_place(nonce, data, sealed).ok()?;
        Some(Opened { secrets: Secrets::from_json(opened)?, is_current: at == 0 })
    }
}

impl Place<'_> {
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let database = self.database.to_string();
        let parts =
            [PURPOSE, key_id, &database, self.document, self.owner, self.endpoint, self.origin];
        array(parts, |out, part| out.extend_from_slice(&quoted(part)))
    }
}

impl Secrets {
    pub(crate) fn is_empty(&self) -> bool {
        self.credentials.is_none() && self.headers.is_empty()
    }

    fn to_json(&self) -> Vec<u8> {
        let mut object = Object::new();
        if let Some(Credentials { username, password }) = &self.credentials {
            object.text("username", username);
            object.text("password", password);
        }
        if !self.headers.is_empty() {
            let mut headers = Object::new();
            for (name, value) in &self.headers {
                headers.text(name, value);
            }
            object.raw("headers", &headers.finish());
        }
        object.finish()
    }

    fn from_json(text: &[u8]) -> Option<Self> {
        validate(text).ok()?;
        let credentials = text_member(text, "username")
            .zip(text_member(text, "password"))
            .map(|(username, password)| Credentials { username, password });
        let headers = members(member(text, "headers").unwrap_or(b"{}"))
            .map(|(name, value)| {
                Some((unescape(name).into_owned(), string_value(value)?.into_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self { credentials, headers })
    }
}

#[cfg(test)]
mod tests {
    use settle_model::time::SeededEntropy;

    use super::*;

    const PLACE: Place<'static> = Place {
        database: 7,
        document: "backup",
        owner: "ada",
        endpoint: "source",
        origin: "https://example.org:443",
    };

    fn secrets() -> Secrets {
        let credentials =
            Some(Credentials { username: "u\"".to_owned(), password: "p\\ä".to_owned() });
        Secrets { credentials, headers: vec![("X-Key".to_owned(), "k".to_owned())] }
    }

    #[test]
    fn a_seal_opens_where_it_belongs_and_nowhere_else() {
        let sealer = Sealer::new([1; KEY_BYTES], &[]);
        let seal = sealer.seal(&secrets(), PLACE, &SeededEntropy::new(1));
        let opened = sealer.open(&seal, PLACE).unwrap();
        assert!(opened.secrets == secrets() && opened.is_current);
        for elsewhere in [
            Place { database: 8, ..PLACE },
            Place { document: "other", ..PLACE },
            Place { owner: "eve", ..PLACE },
            Place { endpoint: "target", ..PLACE },
            Place { origin: "http://example.org:80", ..PLACE },
        ] {
            assert!(sealer.open(&seal, elsewhere).is_none(), "{elsewhere:?}");
        }
        assert!(Sealer::new([2; KEY_BYTES], &[]).open(&seal, PLACE).is_none());
    }

    #[test]
    fn what_an_earlier_key_has_sealed_still_opens() {
        let (old, new) = ([1; KEY_BYTES], [2; KEY_BYTES]);
        let seal = Sealer::new(old, &[]).seal(&secrets(), PLACE, &SeededEntropy::new(1));
        let opened = Sealer::new(new, &[old]).open(&seal, PLACE).unwrap();
        assert!(opened.secrets == secrets() && !opened.is_current);
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let sealer = Sealer::new([1; KEY_BYTES], &[]);
        let seal = sealer.seal(&secrets(), PLACE, &SeededEntropy::new(1));
        for at in 0..seal.len() {
            let mut damaged = seal.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(sealer.open(&damaged, PLACE).is_none(), "{at}");
        }
    }
}
