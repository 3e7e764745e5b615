//! The security object of a database, as far as the rules look at it.
//!
//! ```text
//! {"admins": {"names": […], "roles": […]}, "members": {"names": […], "roles": […]}, …}
//! ```
//!
//! Source: `couch_db:get_admins/1`, `get_members/1`; `readers` is what members were called before 1.1.

use settle_model::json;

use crate::Actor;

/// Who administers a database, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    admins: People,
    members: People,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct People {
    names: Vec<String>,
    roles: Vec<String>,
}

impl Security {
    /// Of an object that was checked when it was set. What is not understood admits nobody.
    pub fn parse(object: &[u8]) -> Self {
        let mut security = Self::default();
        let mut readers = None;
        let mut has_members = false;
        for (key, value) in json::members(object) {
            match &*json::unescape(key) {
                "admins" => security.admins = People::parse(value),
                "members" => {
                    security.members = People::parse(value);
                    has_members = true;
                }
                "readers" => readers = Some(People::parse(value)),
                _ => {}
            }
        }
        if let Some(readers) = readers.filter(|_| !has_members) {
            security.members = readers;
        }
        security
    }

    pub(crate) fn has_admin(&self, actor: &Actor) -> bool {
        self.admins.include(actor)
    }

    pub(crate) fn has_member(&self, actor: &Actor) -> bool {
        self.members.include(actor)
    }

    /// A database whose members are not named is everybody's who is signed in.
    pub(crate) fn names_no_members(&self) -> bool {
        self.members.names.is_empty() && self.members.roles.is_empty()
    }
}

impl People {
    fn parse(people: &[u8]) -> Self {
        let texts = |list| {
            let texts = json::elements(list).filter_map(json::string_value);
            texts.map(std::borrow::Cow::into_owned).collect()
        };
        let mut parsed = Self::default();
        for (key, value) in json::members(people) {
            match &*json::unescape(key) {
                "names" => parsed.names = texts(value),
                "roles" => parsed.roles = texts(value),
                _ => {}
            }
        }
        parsed
    }

    fn include(&self, actor: &Actor) -> bool {
        let named = actor.name().is_some_and(|name| self.names.iter().any(|it| it == name));
        named || self.roles.iter().any(|role| actor.has_role(role))
    }
}
