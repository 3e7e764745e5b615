//! Users whom a proxy has signed in, which says so in headers and proves it with a shared secret.
//!
//! | header | holds |
//! |---|---|
//! | `X-Auth-CouchDB-UserName` | the name |
//! | `X-Auth-CouchDB-Roles` | roles with commas between |
//! | `X-Auth-CouchDB-Token` | HMAC of the name with the secret, in hex: SHA-256, or SHA-1 |
//!
//! Source: `couch_httpd_auth:proxy_authentication_handler/1`. Different here: there is no such sign-in
//! without a secret, and a header gives no role of the system, since the proof does not cover the roles.

use hmac::{Hmac, Mac as _};
use settle_access::{Actor, METRICS_ROLE};
use sha1::Sha1;
use sha2::Sha256;

/// What the proxy says.
#[derive(Debug, Clone, Copy)]
pub struct ProxyClaim<'a> {
    pub name: &'a str,
    pub roles: &'a str,
    pub token: &'a str,
}

impl ProxyClaim<'_> {
    pub(crate) fn check(&self, secret: &[u8]) -> Option<Actor> {
        let token = hex::decode(self.token).ok()?;
        // Both in constant time.
        let right = match token.len() {
            32 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
                mac.update(self.name.as_bytes());
                mac.verify_slice(&token).is_ok()
            }
            20 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
                mac.update(self.name.as_bytes());
                mac.verify_slice(&token).is_ok()
            }
            _ => false,
        };
        if !right || self.name.is_empty() {
            return None;
        }
        let roles = self.roles.split(',').map(str::trim);
        let roles = roles
            .filter(|role| !role.is_empty() && (!role.starts_with('_') || *role == METRICS_ROLE));
        Some(Actor::user(self.name, roles.map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `echo -n foo | openssl dgst -sha256 -hmac the_secret`, and with `-sha1`.
    const SHA256: &str = "3f0786e96b20b0102b77f1a49c041be6977cfb3bf78c41a12adc121cd9b4e68a";

    fn sign(secret: &[u8], name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(name.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn the_proof_is_that_of_couchdb() {
        assert_eq!(sign(b"the_secret", "foo"), SHA256);
    }

    #[test]
    fn a_name_counts_with_its_proof_and_roles_of_the_system_do_not() {
        let claim = ProxyClaim { name: "foo", roles: "a, b,,_admin,_metrics", token: SHA256 };
        let actor = claim.check(b"the_secret").unwrap();
        assert_eq!(actor.roles(), ["a", "b", "_metrics"]);
        assert!(claim.check(b"another").is_none());
        assert!(ProxyClaim { name: "bar", ..claim }.check(b"the_secret").is_none());
        assert!(ProxyClaim { token: "", ..claim }.check(b"the_secret").is_none());
    }
}
