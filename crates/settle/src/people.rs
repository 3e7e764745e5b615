//! Managing users over HTTP, as `settle user` does: against a server that runs, or one on the data folder
//! that runs for as long as a command takes.

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    config::Secret,
    load::{Client, RequestError},
};

const PREFIX: &str = "org.couchdb.user:";

/// A user, as lists show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub roles: Vec<String>,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Active,
    Suspended {
        reason: String,
    },
    /// In seconds since 1970.
    Going {
        at: u64,
    },
}

/// A token that was just made.
#[derive(Debug, Clone, Deserialize)]
pub struct MadeToken {
    pub id: String,
    pub token: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ListedToken {
    pub id: String,
    pub label: String,
    pub most: String,
    pub databases: Option<Vec<String>>,
    pub expires: Option<u64>,
}

/// What somebody wants of a new token.
#[derive(Debug, Clone)]
pub struct WantedToken {
    pub label: String,
    pub most: String,
    pub databases: Vec<String>,
    pub days: Option<u64>,
}

#[derive(Debug, Error)]
pub enum PeopleError {
    #[error("there is no user of that name; `settle user list` prints those there are")]
    Missing,
    #[error("there is a user of that name; `settle user passwd` sets another password")]
    Exists,
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// The users of a server.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a> {
    pub client: &'a Client,
}

impl Users<'_> {
    pub fn add(&self, name: &str, roles: &[String], password: &Secret) -> Result<(), PeopleError> {
        let user = json!({
            "type": "user", "name": name, "roles": roles, "password": password.reveal(),
        });
        let added = self.client.call("PUT", &["_users", &id(name)], &[], Some(&user));
        added.map(drop).map_err(|error| {
            let exists = matches!(error, RequestError::Refused { status: 409, .. });
            if exists { PeopleError::Exists } else { error.into() }
        })
    }

    /// By name, some at a time.
    pub fn list(&self) -> Result<Vec<Listed>, PeopleError> {
        const AT_ONCE: usize = 1_000;
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let after = all.last().map_or_else(|| PREFIX.to_owned(), |last| id(&last.name));
            let skip = if all.is_empty() { "0" } else { "1" };
            let query = [
                ("include_docs", "true".to_owned()),
                ("startkey", json!(after).to_string()),
                ("endkey", json!(format!("{PREFIX}\u{10FFFF}")).to_string()),
                ("limit", AT_ONCE.to_string()),
                ("skip", skip.to_owned()),
            ];
            let page = self.client.call("GET", &["_users", "_all_docs"], &query, None)?;
            let rows = page["rows"].as_array().map_or(&[][..], Vec::as_slice);
            all.extend(rows.iter().filter_map(|row| listed(&row["doc"])));
            if rows.len() < AT_ONCE {
                return Ok(all);
            }
        }
    }

    pub fn set_password(&self, name: &str, password: &Secret) -> Result<(), PeopleError> {
        self.change(name, |user| user["password"] = json!(password.reveal()))
    }

    pub fn suspend(&self, name: &str, reason: &str) -> Result<(), PeopleError> {
        self.change(name, |user| user["suspended"] = json!(reason))
    }

    pub fn resume(&self, name: &str) -> Result<(), PeopleError> {
        self.change(name, |user| {
            if let Some(user) = user.as_object_mut() {
                user.remove("suspended");
            }
        })
    }

    /// When it goes, in seconds since 1970.
    pub fn delete(&self, name: &str) -> Result<u64, PeopleError> {
        let going = self.client.call("DELETE", &["_accounts", name], &[], None).map_err(missing)?;
        Ok(going["deletes_at"].as_u64().unwrap_or_default())
    }

    pub fn restore(&self, name: &str) -> Result<(), PeopleError> {
        let path = ["_accounts", name, "_restore"];
        self.client.call("POST", &path, &[], None).map_err(missing)?;
        Ok(())
    }

    pub fn make_token(&self, name: &str, wanted: &WantedToken) -> Result<MadeToken, PeopleError> {
        let mut body = json!({ "label": wanted.label, "most": wanted.most });
        if !wanted.databases.is_empty() {
            body["databases"] = json!(wanted.databases);
        }
        if let Some(days) = wanted.days {
            body["expires_in_seconds"] = json!(days.saturating_mul(24 * 3_600));
        }
        let query = [("user", name.to_owned())];
        let made = self.client.call("POST", &["_tokens"], &query, Some(&body))?;
        Ok(serde_json::from_value(made).map_err(|source| RequestError::Garbled { source })?)
    }

    pub fn tokens(&self, name: &str) -> Result<Vec<ListedToken>, PeopleError> {
        let query = [("user", name.to_owned())];
        let mut all = self.client.call("GET", &["_tokens"], &query, None)?;
        let tokens = serde_json::from_value(all["tokens"].take());
        Ok(tokens.map_err(|source| RequestError::Garbled { source })?)
    }

    pub fn revoke_token(&self, name: &str, token: &str) -> Result<(), PeopleError> {
        let query = [("user", name.to_owned())];
        self.client.call("DELETE", &["_tokens", token], &query, None)?;
        Ok(())
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<(), PeopleError> {
        let path = ["_users", &id(name)];
        let mut user = self.client.call("GET", &path, &[], None).map_err(missing)?;
        change(&mut user);
        self.client.call("PUT", &path, &[], Some(&user))?;
        Ok(())
    }
}

/// For requests that are about one user.
fn missing(error: RequestError) -> PeopleError {
    let is_missing = matches!(error, RequestError::Refused { status: 404, .. });
    if is_missing { PeopleError::Missing } else { error.into() }
}

fn id(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn listed(document: &Value) -> Option<Listed> {
    let name = document["name"].as_str()?.to_owned();
    let roles = document["roles"].as_array()?.iter();
    let roles = roles.filter_map(|role| role.as_str().map(str::to_owned)).collect();
    let state = match (&document["deletes_at"], &document["suspended"]) {
        (Value::Number(at), _) => State::Going { at: at.as_u64().unwrap_or_default() },
        (_, Value::Null | Value::Bool(false)) => State::Active,
        (_, Value::String(reason)) => State::Suspended { reason: reason.clone() },
        (_, Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            State::Suspended { reason: String::new() }
        }
    };
    Some(Listed { name, roles, state })
}
