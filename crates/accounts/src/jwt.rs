//! JSON Web Tokens that somebody else has signed.
//!
//! Keys come as a JSON Web Key Set: symmetric ones (HS256, HS384, HS512), RSA (RS… and PS…), elliptic
//! curves (ES256, ES384) and Ed25519 (`EdDSA`). A token names its key by `kid`; one without is checked with the
//! key without, or the one called `_default`. A key is used with algorithms of its own kind alone, so that
//! nobody signs with a public key as if it were a secret.
//!
//! Claims: `sub` is the user's name; `exp` and `nbf` are kept to where they are there; which must be there, and
//! with which values, the settings say; roles stand at a path of members.
//!
//! Source: RFC 7515, 7517, 7518, 7519; `jwtf.erl`, `couch_httpd_auth:jwt_authentication_handler/1`. Different
//! here: keys come as a set rather than as lines of the configuration.
//!
//! A set that somebody else publishes names keys of many kinds and for many ends; what is of no use here is
//! passed over, symmetric keys included, since a secret that is published is none. In a set that stands in a
//! file of this server, each key that cannot be used is a mistake that is told.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde_json::Value;
use settle_access::Actor;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::limits::{JWT_BYTES_MAX, JWT_KEYS_MAX, NEWER_KEYS_WANTED_MAX};

/// What is asked of a token.
#[derive(Debug, Clone)]
pub struct JwtRules {
    pub keys: KeySet,
    pub required: Vec<RequiredClaim>,
    /// The members that lead to the list of roles.
    pub roles_path: Vec<String>,
    /// Where newer keys can be had when a token names one that is not known.
    pub newer: Option<NewerKeys>,
}

/// Asks whoever fetches keys for newer ones.
#[derive(Debug, Clone)]
pub struct NewerKeys(mpsc::Sender<oneshot::Sender<()>>);

/// Somebody waits for newer keys until this is dropped.
#[derive(Debug)]
pub struct KeysWanted(
    #[expect(dead_code, reason = "dropping it is what it is for")] oneshot::Sender<()>,
);

/// The end where keys are fetched.
#[derive(Debug)]
pub struct KeysAsked(mpsc::Receiver<oneshot::Sender<()>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    pub name: String,
    /// `None`: whatever it is.
    pub value: Option<String>,
}

/// The keys that tokens are checked with.
#[derive(Clone, Default)]
pub struct KeySet(HashMap<String, Arc<Key>>);

struct Key {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

#[derive(Debug, Error)]
pub enum KeySetError {
    #[error("the key set is not JSON as RFC 7517 has it")]
    Malformed(#[source] serde_json::Error),
    #[error("key {kid} cannot be used")]
    Unusable { kid: String, source: jsonwebtoken::errors::Error },
    #[error("key {kid} is of a kind that is not used here")]
    Kind { kid: String },
    #[error("two keys are called {kid}")]
    Twice { kid: String },
    #[error("more than {JWT_KEYS_MAX} keys")]
    TooMany,
}

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JwtError {
    #[error("the token is malformed")]
    Malformed,
    #[error("no key is known that the token could be signed with")]
    UnknownKey,
    #[error("the token's key is not for the token's algorithm")]
    Algorithm,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token's claim {name} is missing or wrong")]
    Claim { name: String },
}

/// Somebody whom a token names, and until when, in seconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) actor: Actor,
    pub(crate) expires: Option<u64>,
}

const NAMELESS: &str = "_default";

impl NewerKeys {
    pub fn new() -> (Self, KeysAsked) {
        let (sender, receiver) = mpsc::channel(NEWER_KEYS_WANTED_MAX);
        (Self(sender), KeysAsked(receiver))
    }

    /// Returns when keys have been fetched, or it has been decided not to. At once when too many ask.
    pub(crate) async fn fetch(&self) {
        let (wanted, done) = oneshot::channel();
        if self.0.try_send(wanted).is_ok() {
            // That the other end is dropped is the answer.
            let _: Result<(), oneshot::error::RecvError> = done.await;
        }
    }
}

impl KeysAsked {
    /// `None` when nobody can ask any more.
    pub async fn next(&mut self) -> Option<KeysWanted> {
        self.0.recv().await.map(KeysWanted)
    }
}

impl KeySet {
    /// A set of this server's own: a key that cannot be used is an error.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let mut keys = HashMap::new();
        for value in read_set(text)? {
            let (kid, key) = Key::parse(value)?;
            if keys.insert(kid.clone(), Arc::new(key)).is_some() {
                return Err(KeySetError::Twice { kid });
            }
        }
        Ok(Self(keys))
    }

    /// A set that somebody else publishes, without what is of no use here.
    pub fn parse_published(text: &[u8]) -> Result<Self, KeySetError> {
        let mut keys = HashMap::new();
        for value in read_set(text)? {
            if value["kty"] == "oct" || value["use"].as_str().is_some_and(|it| it != "sig") {
                continue;
            }
            if let Ok((kid, key)) = Key::parse(value) {
                keys.entry(kid).or_insert_with(|| Arc::new(key));
            }
        }
        Ok(Self(keys))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both; of two keys of one name, the one of this set.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut all = other.clone();
        all.0.extend(self.0.iter().map(|(kid, key)| (kid.clone(), Arc::clone(key))));
        all
    }
}

fn read_set(text: &[u8]) -> Result<Vec<Value>, KeySetError> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(text).map_err(KeySetError::Malformed)?;
    if keys.len() > JWT_KEYS_MAX {
        return Err(KeySetError::TooMany);
    }
    Ok(keys)
}

impl Key {
    /// With its name.
    fn parse(value: Value) -> Result<(String, Self), KeySetError> {
        let jwk: Jwk = serde_json::from_value(value).map_err(KeySetError::Malformed)?;
        let kid = jwk.common.key_id.clone().unwrap_or_else(|| NAMELESS.to_owned());
        let Some(algorithms) = algorithms(&jwk) else { return Err(KeySetError::Kind { kid }) };
        match DecodingKey::from_jwk(&jwk) {
            Ok(key) => Ok((kid, Self { key, algorithms })),
            Err(source) => Err(KeySetError::Unusable { kid, source }),
        }
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a key may be used with: what it says itself, or all of its kind.
fn algorithms(jwk: &Jwk) -> Option<Vec<Algorithm>> {
    let kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            EllipticCurve::P521 | EllipticCurve::Ed25519 => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) => match pair.curve {
            EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            EllipticCurve::P256 | EllipticCurve::P384 | EllipticCurve::P521 => return None,
        },
    };
    let Some(said) = jwk.common.key_algorithm else { return Some(kind.to_vec()) };
    let said: Algorithm = said.to_string().parse().ok()?;
    kind.contains(&said).then(|| vec![said])
}

impl RequiredClaim {
    /// `exp, iss=https://example.org`
    pub fn parse_list(text: &str) -> Vec<Self> {
        let claims = text.split(',').map(str::trim).filter(|claim| !claim.is_empty());
        let claims = claims.map(|claim| match claim.split_once('=') {
            Some((name, value)) => {
                Self { name: name.trim().to_owned(), value: Some(value.trim().to_owned()) }
            }
            None => Self { name: claim.to_owned(), value: None },
        });
        claims.collect()
    }

    fn is_met(&self, claims: &Value) -> bool {
        let found = &claims[&self.name];
        match &self.value {
            None => !found.is_null(),
            Some(wanted) => match found {
                Value::String(text) => text == wanted,
                // An audience may be a list.
                Value::Array(all) => all.iter().any(|it| it.as_str() == Some(wanted)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
            },
        }
    }
}

impl JwtRules {
    /// Whom the token names. `now` is in seconds since 1970.
    pub(crate) fn check(&self, token: &str, now: u64) -> Result<Bearer, JwtError> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| JwtError::Malformed)?;
        let kid = header.kid.as_deref().unwrap_or(NAMELESS);
        let key = self.keys.0.get(kid).ok_or(JwtError::UnknownKey)?;
        if !key.algorithms.contains(&header.alg) {
            return Err(JwtError::Algorithm);
        }
        // Times are compared below, with the clock that everything else here goes by.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Value>(token, &key.key, &validation)
            .map_err(|_| JwtError::Signature)?;
        self.read(&decoded.claims, now)
    }

    fn read(&self, claims: &Value, now: u64) -> Result<Bearer, JwtError> {
        let missing = |name: &str| JwtError::Claim { name: name.to_owned() };
        let time = |name: &str| {
            let value = &claims[name];
            if value.is_null() {
                return Ok(None);
            }
            value.as_f64().map(Some).ok_or_else(|| missing(name))
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds are few beside 2^53")]
        let present = now as f64;
        let expires = time("exp")?;
        if expires.is_some_and(|it| it <= present) {
            return Err(JwtError::Expired);
        }
        if time("nbf")?.is_some_and(|it| it > present) {
            return Err(JwtError::NotYet);
        }
        if let Some(claim) = self.required.iter().find(|claim| !claim.is_met(claims)) {
            return Err(missing(&claim.name));
        }
        let name = claims["sub"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| missing("sub"))?;
        let roles = self.roles_path.iter().fold(claims, |at, name| &at[name]);
        let roles = roles.as_array().into_iter().flatten().filter_map(Value::as_str);
        let roles = roles.map(str::to_owned).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies after the present; a fraction of a second does not matter"
        )]
        let expires = expires.map(|it| it as u64);
        Ok(Bearer { actor: Actor::user(name, roles), expires })
    }
}

/// A token has the form of three texts with dots between.
pub(crate) fn is_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

#[cfg(test)]
mod tests;
