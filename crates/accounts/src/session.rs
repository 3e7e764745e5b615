//! Sessions, which live in a cookie alone: nothing is stored for them.
//!
//! The text is base64url without padding of `name ':' time ':' mac`: `time` is when the cookie was made,
//! in seconds since 1970 as upper-case hex; `mac` is 32 raw bytes, HMAC-SHA256 over `name ':' time` with
//! the site's secret followed by the salt of the account's password. So a new password or a new secret
//! ends all sessions made before.
//!
//! Source: `couch_httpd_auth:cookie_auth_cookie/4`, `couch_secrets:sign/2`.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use settle_access::Actor;
use settle_model::time::Entropy;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::limits::COOKIE_BYTES_MAX;

/// Who is signed in by a cookie.
#[derive(Debug, Clone)]
pub struct Session {
    pub actor: Arc<Actor>,
    /// The text of a younger cookie, when this one has run down so far that it should be replaced.
    pub renewed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    #[error("malformed session cookie")]
    Malformed,
    /// The user could not be read.
    #[error("read the user: {reason}")]
    Storage { reason: String },
}

/// What all sessions of a site are sealed with. Stored with the site.
#[derive(Clone)]
pub struct SessionSecret(Vec<u8>);

impl SessionSecret {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut secret = vec![0; 32];
        entropy.fill(&mut secret);
        Self(secret)
    }

    pub fn from_stored(secret: Vec<u8>) -> Self {
        Self(secret)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

/// A cookie before it is sealed. `opened` is in seconds since 1970.
#[derive(Debug)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) opened: u64,
}

impl Cookie {
    pub(crate) fn seal(&self, secret: &SessionSecret, salt: &[u8]) -> String {
        let mut text = format!("{}:{:X}", self.name, self.opened).into_bytes();
        let mac = mac(secret, salt, &text);
        text.push(b':');
        text.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(text)
    }
}

/// A cookie that somebody sent; genuine only if [`is_sealed_with`](Self::is_sealed_with) says so.
#[derive(Debug)]
pub(crate) struct Sealed {
    text: Vec<u8>,
    name_length: usize,
    signed_length: usize,
    opened: u64,
}

impl Sealed {
    pub(crate) fn parse(cookie: &str) -> Result<Self, SessionError> {
        if cookie.len() > COOKIE_BYTES_MAX {
            return Err(SessionError::Malformed);
        }
        let cookie = cookie.trim_end_matches('=');
        let text = URL_SAFE_NO_PAD.decode(cookie).map_err(|_| SessionError::Malformed)?;
        let mut colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':');
        let (Some((first, _)), Some((second, _))) = (colons.next(), colons.next()) else {
            return Err(SessionError::Malformed);
        };
        let time = std::str::from_utf8(&text[first + 1..second]).ok();
        // A time that cannot be read is that of a cookie long gone: the client starts anew.
        let opened = time.and_then(|time| u64::from_str_radix(time, 16).ok()).unwrap_or(0);
        std::str::from_utf8(&text[..first]).map_err(|_| SessionError::Malformed)?;
        Ok(Self { name_length: first, signed_length: second, opened, text })
    }

    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(&self.text[..self.name_length]).expect("checked in parse")
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Compares in constant time.
    pub(crate) fn is_sealed_with(&self, secret: &SessionSecret, salt: &[u8]) -> bool {
        let expected = mac(secret, salt, &self.text[..self.signed_length]);
        self.text[self.signed_length + 1..].ct_eq(&expected).into()
    }
}

fn mac(secret: &SessionSecret, salt: &[u8], signed: &[u8]) -> [u8; 32] {
    let key = [secret.as_bytes(), salt].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length is fine");
    mac.update(signed);
    mac.finalize().into_bytes().into()
}
