//! Application passwords and tokens: secrets that stand for a user, or for a part of what the user may do,
//! and that can be listed and revoked one by one.
//!
//! A token is the text `settle_<id>_<secret>`. It is sent as `Authorization: Bearer <token>`, or in the place
//! of the password with Basic. Of the secret, which has 160 random bits, only a hash is stored, so there is
//! nothing to guess and no need for a slow hash.
//!
//! Stored is a document of the database of users, `settle.token:<owner>-<number>`, whose `<owner>` is made of
//! the name so that the tokens of a user stand together:
//!
//! | member | holds |
//! |---|---|
//! | `type` | `token` |
//! | `user` | the name |
//! | `label` | what the user calls it |
//! | `hash` | SHA-256 of the secret, in hex |
//! | `most` | `read`, `write`, `administer` or `everything` |
//! | `databases` | names in the catalog; missing for all |
//! | `created`, `expires` | seconds since 1970; the second may be missing |

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use settle_access::{Operation, Scope, ScopeLimits};
use settle_model::time::Entropy;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What ids of their documents begin with.
pub(crate) const TOKEN_PREFIX: &str = "settle.token:";

const TEXT_PREFIX: &str = "settle_";

/// The most that a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Most {
    Read,
    Write,
    Administer,
    Everything,
}

/// What somebody wants of a new token.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub label: String,
    pub most: Most,
    pub databases: Option<Vec<String>>,
    /// In seconds since 1970.
    pub expires: Option<u64>,
}

/// A token as its document holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    r#type: String,
    pub(crate) user: String,
    label: String,
    hash: String,
    most: Most,
    #[serde(skip_serializing_if = "Option::is_none")]
    databases: Option<Vec<String>>,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

/// What is told of a token once it is made.
#[derive(Debug, Clone, Serialize)]
pub struct TokenInfo {
    pub id: String,
    pub label: String,
    pub most: Most,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
    pub created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// The text of a token, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenText<'a> {
    pub(crate) id: &'a str,
    secret: &'a str,
}

impl<'a> TokenText<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(TEXT_PREFIX)?.split_once('_')?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let plain = !id.is_empty() && id.len() <= 64 && id.bytes().all(is_plain);
        plain.then_some(Self { id, secret })
    }
}

/// What the ids of all tokens of a user begin with.
pub(crate) fn owner(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    format!("{}-", hex::encode(&digest[..8]))
}

impl Stored {
    /// A new token: its id, what is stored, and its text, which nobody sees again.
    pub(crate) fn make(
        name: &str,
        new: NewToken,
        now: u64,
        entropy: &dyn Entropy,
    ) -> (String, Self, String) {
        let (mut number, mut secret) = ([0; 8], [0; 20]);
        entropy.fill(&mut number);
        entropy.fill(&mut secret);
        let id = format!("{}{}", owner(name), hex::encode(number));
        let secret = hex::encode(secret);
        let NewToken { label, most, databases, expires } = new;
        let stored = Self {
            r#type: "token".to_owned(),
            user: name.to_owned(),
            label,
            hash: hex::encode(Sha256::digest(secret.as_bytes())),
            most,
            databases,
            created: now,
            expires,
        };
        let text = format!("{TEXT_PREFIX}{id}_{secret}");
        (id, stored, text)
    }

    /// Compares in constant time.
    pub(crate) fn is_of(&self, text: TokenText<'_>, now: u64) -> bool {
        let found = hex::encode(Sha256::digest(text.secret.as_bytes()));
        let right: bool = found.as_bytes().ct_eq(self.hash.as_bytes()).into();
        right && self.r#type == "token" && !self.has_expired(now)
    }

    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn expires(&self) -> Option<u64> {
        self.expires
    }

    pub(crate) fn scope(&self) -> Scope {
        let most = match self.most {
            // Short of what makes a password of it, which no token does.
            Most::Everything => Operation::AdministerServer,
            Most::Administer => Operation::Administer,
            Most::Write => Operation::Write,
            Most::Read => Operation::Read,
        };
        Scope::Only(Arc::new(ScopeLimits { most, databases: self.databases.clone() }))
    }

    pub(crate) fn info(self, id: &str) -> TokenInfo {
        let Self { label, most, databases, created, expires, .. } = self;
        TokenInfo { id: id.to_owned(), label, most, databases, created, expires }
    }
}

#[cfg(test)]
mod tests {
    use settle_model::time::SeededEntropy;

    use super::*;

    fn new(most: Most) -> NewToken {
        NewToken { label: "phone".to_owned(), most, databases: None, expires: Some(100) }
    }

    #[test]
    fn a_token_is_right_until_it_expires_and_no_other_text_is() {
        let entropy = SeededEntropy::new(1);
        let (id, stored, text) = Stored::make("ada", new(Most::Read), 5, &entropy);
        let (_, _, other) = Stored::make("ada", new(Most::Read), 5, &entropy);
        let parsed = TokenText::parse(&text).unwrap();
        assert_eq!(parsed.id, id);
        assert!(stored.is_of(parsed, 99));
        assert!(!stored.is_of(parsed, 100));
        assert!(!stored.is_of(TokenText::parse(&other).unwrap(), 99));
        assert!(!serde_json::to_string(&stored).unwrap().contains(parsed.secret));
    }

    #[test]
    fn what_is_no_token_is_not_taken_for_one() {
        for text in ["", "settle_", "settle_a", "a_b", "settle_a/b_c", "settle__c", "correct horse"]
        {
            assert_eq!(TokenText::parse(text), None, "{text}");
        }
    }
}
