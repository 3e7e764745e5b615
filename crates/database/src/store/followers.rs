//! How far those have come who follow databases and keep their cursors elsewhere, such as indexes.

use std::{fmt, sync::OnceLock};

use crate::{error::StorageError, follow::BoxFuture};

/// Says up to where all followers of the database with a number have taken its changes in; `u64::MAX` where there are
/// none.
pub type FollowersPosition =
    Box<dyn Fn(u64) -> BoxFuture<'static, Result<u64, StorageError>> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Followers(OnceLock<FollowersPosition>);

impl Followers {
    /// Only the first call counts.
    pub(crate) fn set(&self, position: FollowersPosition) {
        drop(self.0.set(position));
    }

    /// 0 until somebody has said it: they may be anywhere.
    pub(crate) async fn position(&self, database: u64) -> Result<u64, StorageError> {
        match self.0.get() {
            Some(position) => position(database).await,
            None => Ok(0),
        }
    }
}

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Followers(known)" } else { "Followers(unknown)" })
    }
}
