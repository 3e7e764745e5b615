//! Credentials that were checked and found right, so that a request does not pay for the check again.
//!
//! Kept is a keyed hash of the whole `Authorization` header; the key is drawn at start and never
//! leaves the process, so neither a dump of the table nor the time a look-up takes tells a password.
//! Two generations bound it: when the newer one is full it becomes the older one, and what nobody used
//! in between is forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use settle_access::Actor;
use settle_model::time::Entropy;

use crate::{limits::REMEMBERED_MAX, users::Known};

/// Whose credentials they are.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    Admin(Arc<Actor>),
    /// As of what was read of the user then; whether it still holds is asked with each use.
    User(Known),
    /// Somebody with a token. `expires` is in seconds since 1970.
    Bearer {
        actor: Arc<Actor>,
        expires: Option<u64>,
        as_of: Option<Known>,
    },
}

pub(crate) struct Remembered {
    key: [u8; 32],
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    newer: HashMap<[u8; 32], Who>,
    older: HashMap<[u8; 32], Who>,
}

impl Remembered {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Self { key, generations: RwLock::default() }
    }

    pub(crate) fn get(&self, credentials: &[u8]) -> Option<Who> {
        let digest = self.digest(credentials);
        {
            let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(who) = generations.newer.get(&digest) {
                return Some(who.clone());
            }
            generations.older.get(&digest)?;
        }
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        let who = generations.older.remove(&digest)?;
        generations.insert(digest, who.clone());
        Some(who)
    }

    pub(crate) fn insert(&self, credentials: &[u8], who: Who) {
        let digest = self.digest(credentials);
        self.generations.write().unwrap_or_else(PoisonError::into_inner).insert(digest, who);
    }

    pub(crate) fn forget_all(&self) {
        *self.generations.write().unwrap_or_else(PoisonError::into_inner) = Generations::default();
    }

    /// Those that came with a token.
    pub(crate) fn forget_bearers(&self) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        let Generations { newer, older } = &mut *generations;
        for part in [newer, older] {
            part.retain(|_, who| !matches!(who, Who::Bearer { .. }));
        }
    }

    fn digest(&self, credentials: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, credentials).as_bytes()
    }
}

impl Generations {
    fn insert(&mut self, digest: [u8; 32], who: Who) {
        if self.newer.len() >= REMEMBERED_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(digest, who);
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered(..)")
    }
}

#[cfg(test)]
mod tests {
    use settle_model::time::SeededEntropy;

    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten_first() {
        let remembered = Remembered::new(&SeededEntropy::new(1));
        let who = Who::Admin(Arc::new(Actor::Anonymous));
        remembered.insert(b"used", who.clone());
        remembered.insert(b"unused", who.clone());
        for n in 0..3 * REMEMBERED_MAX {
            remembered.insert(&n.to_le_bytes(), who.clone());
            assert!(remembered.get(b"used").is_some(), "{n}");
        }
        assert!(remembered.get(b"unused").is_none());
        let generations = remembered.generations.read().unwrap();
        assert!(generations.newer.len() + generations.older.len() <= REMEMBERED_MAX);
    }
}
