//! Who asks.

use std::sync::Arc;

use crate::Operation;

/// The role that may do everything. It comes from the configuration alone; no document gives it.
pub const ADMIN_ROLE: &str = "_admin";

/// The role that may read the server's figures.
pub const METRICS_ROLE: &str = "_metrics";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Anonymous,
    User {
        name: String,
        roles: Vec<String>,
        /// What of the user's rights this request may use.
        scope: Scope,
    },
}

/// How far a sign-in reaches. A password and a session reach as far as their user; a token may be
/// narrower, never wider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    Everything,
    Only(Arc<ScopeLimits>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeLimits {
    /// The most that may be done.
    pub most: Operation,
    /// Databases by their names in the catalog (`notes`, `~alice/notes`); `None` for all.
    pub databases: Option<Vec<String>>,
}

impl Actor {
    /// A user with all of the user's rights.
    pub fn user(name: impl Into<String>, roles: Vec<String>) -> Self {
        Self::User { name: name.into(), roles, scope: Scope::Everything }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::User { name, .. } => Some(name),
        }
    }

    pub fn roles(&self) -> &[String] {
        match self {
            Self::Anonymous => &[],
            Self::User { roles, .. } => roles,
        }
    }

    pub fn is_server_admin(&self) -> bool {
        self.has_role(ADMIN_ROLE)
    }

    pub(crate) fn has_role(&self, role: &str) -> bool {
        self.roles().iter().any(|it| it == role)
    }
}
