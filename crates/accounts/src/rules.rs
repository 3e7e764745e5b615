//! What may be written to the database of users, and by whom. Plain functions over JSON text.
//!
//! A document with the id `org.couchdb.user:<name>` is a user:
//!
//! ```text
//! {"type": "user", "name": "ada", "roles": ["reader"], "password": "…", …}
//! ```
//!
//! The server puts a hash in the place of `password` before anything is stored, see
//! [`credential`](crate::credential). Users write their own document: their password, and members that
//! have no meaning here. `roles`, `suspended` and ready-made hashes are for admins.
//!
//! Source: `couch_users_db:before_doc_update/3`, the function in `couch_js_functions.hrl`, whose reasons
//! these are. Different here: members that keep a password are for admins; a user that an admin removes
//! from the database is told nothing more; `_design/_auth` cannot be changed; names that no account can
//! have are refused.

use std::borrow::Cow;

use settle_access::{Actor, METRICS_ROLE};
use settle_model::{id::AccountName, json};
use thiserror::Error;

use crate::{
    fields::{member, number, quoted, replaced, text},
    limits::PASSWORD_BYTES_MAX,
    user::USER_PREFIX,
};

/// The members that keep a password, and how it is kept.
const KEEPERS: [&str; 9] = [
    "derived_key",
    "iterations",
    "password",
    "password_hash",
    "password_scheme",
    "password_sha",
    "pbkdf2_prf",
    "preserve_salt",
    "salt",
];

const SCHEMES: [&str; 4] = ["argon2id", "simple", "pbkdf2", "simple+pbkdf2"];

/// Why a document of the database of users was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserError {
    /// Against the rules, whoever asks or because of who asks.
    #[error("{reason}")]
    Forbidden { reason: Cow<'static, str> },
    /// The password is not one that a user can have.
    #[error("{reason}")]
    Password { reason: String },
    /// Somebody else has written to the user since.
    #[error("the user has changed")]
    Conflict,
    #[error("too many passwords wait to be hashed")]
    Busy,
    #[error("look for an account of that name: {reason}")]
    Storage { reason: String },
}

/// What passwords must be like.
#[derive(Debug, Clone, Default)]
pub struct PasswordRules {
    /// Characters at least.
    pub length_min: usize,
    /// Patterns that each must match, with what is said otherwise.
    pub patterns: Vec<(regex::Regex, Option<String>)>,
}

/// A document that somebody wants to write.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    pub id: &'a str,
    pub deleted: bool,
    /// The JSON of the document without special members, as `json::minify` returns it.
    pub body: &'a [u8],
    /// A replica sends what it has; its own server has applied the rules for those who are no admins.
    pub replicated: bool,
}

fn forbidden<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, UserError> {
    Err(UserError::Forbidden { reason: reason.into() })
}

/// Whether the document may be written in the place of `before`.
pub(crate) fn check(
    by: &Actor,
    proposed: Proposed<'_>,
    before: Option<&[u8]>,
) -> Result<(), UserError> {
    let Proposed { id, deleted, body, replicated } = proposed;
    let is_admin = by.is_server_admin();
    if id == "_design/_auth" {
        return forbidden("The rules of user documents are built in and cannot be changed.");
    }
    if id.starts_with("_design/") {
        return if is_admin { Ok(()) } else { forbidden("You are not a db or server admin.") };
    }
    let own = |name: Option<&str>| by.name().is_some() && by.name() == name;
    if deleted {
        let owner = id.strip_prefix(USER_PREFIX);
        if is_admin || own(owner) {
            return Ok(());
        }
        return forbidden("Only admins may delete other user docs.");
    }
    if !id.starts_with(USER_PREFIX) && is_admin && replicated {
        // What else this server keeps here, from another one like it.
        return Ok(());
    }
    check_form(id, body)?;
    // Users of such names that come from elsewhere stay users, without an account.
    if let (None, false, Some(name)) = (before, replicated, id.strip_prefix(USER_PREFIX))
        && let Err(error) = name.parse::<AccountName>()
    {
        return forbidden(error.to_string());
    }
    if is_admin {
        return Ok(());
    }
    match before {
        Some(before) => {
            if !own(text(body, "name").as_deref()) {
                return forbidden("You may only update your own user document.");
            }
            if !same_set(before, body, "roles") {
                return forbidden("Only _admin may edit roles");
            }
            let kept = |name: &str| member(before, name) == member(body, name);
            if !kept("suspended") || !kept("deletes_at") {
                return forbidden("Only _admin may suspend a user.");
            }
            let changes_hash = member(body, "password").is_none_or(|it| it == b"null")
                && KEEPERS.iter().filter(|name| **name != "password").any(|name| !kept(name));
            if changes_hash {
                return forbidden(
                    "Only _admin may change what a password is kept as; send `password` instead, \
                     or send the other members as they were.",
                );
            }
        }
        None => {
            if json::elements(member(body, "roles").unwrap_or_default()).next().is_some() {
                return forbidden("Only _admin may set roles");
            }
            if member(body, "suspended").is_some() || member(body, "deletes_at").is_some() {
                return forbidden("Only _admin may suspend a user.");
            }
            let hashes = KEEPERS.iter().filter(|name| **name != "password");
            if hashes.filter_map(|name| member(body, name)).next().is_some() {
                return forbidden("Only _admin may set what a password is kept as.");
            }
        }
    }
    Ok(())
}

/// What holds for every user, whoever writes.
fn check_form(id: &str, body: &[u8]) -> Result<(), UserError> {
    if text(body, "type").as_deref() != Some("user") {
        return forbidden("doc.type must be user");
    }
    let name = text(body, "name").filter(|name| !name.is_empty());
    let Some(name) = name else { return forbidden("doc.name is required") };
    let Some(roles) = member(body, "roles").filter(|roles| *roles != b"null") else {
        return forbidden("doc.roles must exist");
    };
    if !roles.starts_with(b"[") {
        return forbidden("doc.roles must be an array");
    }
    if json::elements(roles).any(|role| !role.starts_with(b"\"")) {
        return forbidden("doc.roles can only contain strings");
    }
    if id.strip_prefix(USER_PREFIX) != Some(&*name) {
        return forbidden("Doc ID must be of the form org.couchdb.user:name");
    }
    if member(body, "password_sha").is_some() && member(body, "salt").is_none() {
        return forbidden("Users with password_sha must have a salt.");
    }
    if let Some(scheme) = text(body, "password_scheme") {
        if !SCHEMES.contains(&&*scheme) {
            return forbidden(format!("Password scheme `{scheme}` not supported."));
        }
        if scheme == "pbkdf2" {
            if number(body, "iterations").is_none() {
                return forbidden("iterations must be a number.");
            }
            if text(body, "derived_key").is_none() {
                return forbidden("derived_key must be a string.");
            }
        }
    }
    for role in json::elements(roles).filter_map(json::string_value) {
        if role.starts_with('_') && role != METRICS_ROLE {
            return forbidden("No system roles (starting with underscore) in users db.");
        }
    }
    if name.starts_with('_') {
        return forbidden("Username may not start with underscore.");
    }
    if name.contains(':') {
        return forbidden("Character `:` is not allowed in usernames.");
    }
    Ok(())
}

fn same_set(before: &[u8], after: &[u8], name: &str) -> bool {
    let sorted = |object| {
        let mut all = crate::fields::texts(object, name);
        all.sort();
        all
    };
    sorted(before) == sorted(after)
}

/// The password that a document sets; `None` where it sets none.
pub(crate) fn password(body: &[u8]) -> Result<Option<Cow<'_, str>>, UserError> {
    match member(body, "password") {
        None | Some(b"null") => Ok(None),
        Some(value) => match json::string_value(value) {
            Some(password) => Ok(Some(password)),
            None => forbidden("password must be a string."),
        },
    }
}

/// What passwords of users must be like, beyond what hashing asks.
pub(crate) fn check_password(password: &str, rules: &PasswordRules) -> Result<(), UserError> {
    const REQUIREMENT: &str = "Password does not conform to requirements.";
    let refused = |reason: String| Err(UserError::Password { reason });
    let least = rules.length_min.max(1);
    if password.chars().count() < least {
        return refused(format!("{REQUIREMENT} It needs at least {least} characters."));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return refused(format!("{REQUIREMENT} It has more than {PASSWORD_BYTES_MAX} bytes."));
    }
    for (pattern, reason) in &rules.patterns {
        if !pattern.is_match(password) {
            return refused(match reason {
                Some(reason) => format!("{REQUIREMENT} {reason}"),
                None => REQUIREMENT.to_owned(),
            });
        }
    }
    Ok(())
}

/// The document with a hash in the place of its password. `salt` is used unless the document asks for
/// the one that it has to be kept.
pub(crate) fn with_hash(body: &[u8], hash: &str, salt: &str) -> Vec<u8> {
    let kept = (member(body, "preserve_salt") == Some(b"true")).then(|| text(body, "salt"));
    let salt = kept.flatten().unwrap_or(Cow::Borrowed(salt));
    let first = [
        ("password_scheme", quoted("argon2id")),
        ("salt", quoted(&salt)),
        ("password_hash", quoted(hash)),
    ];
    replaced(body, &first, |name| KEEPERS.contains(&name))
}

/// The document with a newer hash of the same password: all that depends on it goes on.
pub(crate) fn upgraded(body: &[u8], hash: &str) -> Vec<u8> {
    let salt = text(body, "salt").unwrap_or_default();
    with_hash(body, hash, &salt)
}

/// The members of a document that everybody may see; `None` if there are none.
pub fn public_part(body: &[u8], fields: &[String]) -> Option<Vec<u8>> {
    let secret = |name: &str| KEEPERS.contains(&name) || name == "totp";
    let shown = |name: &str| fields.iter().any(|it| it == name) && !secret(name);
    let part = replaced(body, &[], |name| !shown(name));
    (part != b"{}").then_some(part)
}

#[cfg(test)]
mod tests;
