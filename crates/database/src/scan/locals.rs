//! Local documents by id.

use std::ops::Bound;

use bytes::Bytes;
use settle_access::{Grant, Read};
use settle_engine::{Direction, Plan, Scan, Step, Visit, Visitor};

use super::{Failure, LocalDocument};
use crate::{Database, error::StorageError, keys, record::local};

impl Database {
    /// Local documents whose ids, `_local/` included, lie in the range; at most `limit` after the
    /// first `skip`.
    pub async fn locals(
        &self,
        grant: &Grant<Read>,
        (start, end): (Bound<String>, Bound<String>),
        direction: Direction,
        skip: u64,
        limit: u64,
    ) -> Result<Vec<LocalDocument>, StorageError> {
        self.inner.check(grant);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let keys = self.inner.keys;
        let all = Scan::prefix(&keys.family(keys::family::LOCAL), direction);
        let bound = |bound: Bound<String>, open: Bound<Vec<u8>>| match bound {
            Bound::Included(id) => Bound::Included(keys.local_at(&id)),
            Bound::Excluded(id) => Bound::Excluded(keys.local_at(&id)),
            Bound::Unbounded => open,
        };
        let range = Scan { start: bound(start, all.start), end: bound(end, all.end), direction };
        let locals = Locals { skip, limit, found: Vec::new(), failure: Failure::default() };
        let plan = Plan::new(vec![Step::Scan(range)]);
        let locals = self.inner.shared.engine.read_to_end(plan, locals).await?;
        self.inner.check_alive()?;
        locals.failure.check()?;
        Ok(locals.found)
    }
}

struct Locals {
    skip: u64,
    limit: u64,
    found: Vec<LocalDocument>,
    failure: Failure,
}

impl Locals {
    fn look(&mut self, key: &[u8], value: &[u8]) -> Result<Visit, StorageError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(Visit::Next);
        }
        let local::Local { revision, json, .. } = local::decode(key, value)?;
        let id = keys::text_of(key).and_then(|id| id.parse().ok());
        let wrong = || StorageError::Inconsistent { reason: "a local document's id".to_owned() };
        let body = Bytes::copy_from_slice(json);
        self.found.push(LocalDocument { id: id.ok_or_else(wrong)?, revision, body });
        self.limit -= 1;
        Ok(if self.limit == 0 { Visit::Stop } else { Visit::Next })
    }
}

impl Visitor for Locals {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(key, value.unwrap_or_default()).unwrap_or_else(|error| self.failure.stop(error))
    }
}
