//! Transactions, and how long their outcomes are remembered.

use std::{ops::Range, sync::Arc, time::Duration};

use settle_access::{Administer, Grant, Read, Write};
use settle_engine::{Batch, Expected, Outcome, Plan, Step, Visit, Visitor};
use settle_model::id::DocumentId;
use thiserror::Error;

use crate::{
    Database,
    database::Inner,
    error::StorageError,
    limits::{RETENTION_DEFAULT, RETENTION_MAX, RETENTION_MIN},
    once::{OnceKey, Recorded},
    record::{
        head::Head,
        idempotency::{Idempotency, decode_retention, encode_retention},
    },
    scan::Failure,
    store::failed,
    transact::{Fate, ForeseenTransactions, Judgement, Known, Transactions},
    writer::Turn,
};

#[derive(Debug, Error)]
pub enum RetentionError {
    #[error("outcomes are remembered for {} to {} seconds", RETENTION_MIN.as_secs(), RETENTION_MAX.as_secs())]
    OutOfRange,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Database {
    /// Decides the transactions in `range`, in order, and makes those that are accepted; each sees what those before
    /// it did. What is decided is synced when this returns, the record of it too. Dropping the future does not undo
    /// anything.
    pub async fn transact(
        &self,
        grant: &Grant<Write>,
        transactions: &Arc<Transactions>,
        range: Range<usize>,
        judgement: &Judgement,
    ) -> Result<Vec<Fate>, StorageError> {
        self.inner.check(grant);
        self.inner.clone().transact(transactions, range, judgement).await
    }

    /// Waits for the writer's turn: until it is over nothing else is written, so it is for what would be overtaken again
    /// and again.
    pub async fn turn(&self, grant: &Grant<Write>) -> Result<Turn, StorageError> {
        self.inner.check(grant);
        self.inner.clone().turn().await
    }

    /// What validators are shown of each write of the transactions in `range`, up to one that is refused anyway.
    pub async fn foresee_transactions(
        &self,
        grant: &Grant<Write>,
        transactions: &Arc<Transactions>,
        range: Range<usize>,
    ) -> Result<ForeseenTransactions, StorageError> {
        self.inner.check(grant);
        self.inner.foresee_transactions(transactions, range).await
    }

    /// What is known of each transaction before it is asked about.
    pub async fn known(
        &self,
        grant: &Grant<Write>,
        transactions: &Transactions,
    ) -> Result<Vec<Known>, StorageError> {
        self.inner.check(grant);
        let keys = (0..transactions.list.len()).map(|at| transactions.key(self.inner.keys, at));
        let plan = Plan::new(keys.map(Step::Get).collect());
        let records = Records { found: Vec::new(), failure: Failure::default() };
        let records = self.inner.shared.engine.read_to_end(plan, records).await?;
        self.inner.check_alive()?;
        records.failure.check()?;
        let now = self.inner.shared.clock.now();
        let mut known = vec![Known::Nothing; transactions.list.len()];
        for (at, record) in records.found {
            if record.expires > now {
                let digest = transactions.list[at].transaction.digest;
                known[at] = if record.payload == digest { Known::Same } else { Known::Other };
            }
        }
        Ok(known)
    }

    /// What is remembered under a key.
    pub async fn recorded(
        &self,
        grant: &Grant<Write>,
        key: &OnceKey,
    ) -> Result<Option<Recorded>, StorageError> {
        self.inner.check(grant);
        let record = key.record(self.inner.keys);
        let value = self.inner.shared.engine.get(record.clone()).await?;
        self.inner.check_alive()?;
        let found = value.map(|value| Idempotency::decode(&record, &value)).transpose()?;
        let now = self.inner.shared.clock.now();
        Ok(found.filter(|found| found.expires > now).map(|found| {
            let is_same = found.payload == key.payload();
            if is_same { Recorded::Answer(found.answer) } else { Recorded::Other }
        }))
    }

    /// Bytes of the bodies of these documents together: what a change of each in part writes anew.
    pub async fn body_bytes(
        &self,
        grant: &Grant<Read>,
        ids: impl Iterator<Item = &DocumentId>,
    ) -> Result<u64, StorageError> {
        self.inner.check(grant);
        let plan = Plan::new(ids.map(|id| Step::Get(self.inner.keys.head(id))).collect());
        let bodies = Bodies { bytes: 0, failure: Failure::default() };
        let bodies = self.inner.shared.engine.read_to_end(plan, bodies).await?;
        self.inner.check_alive()?;
        bodies.failure.check()?;
        Ok(bodies.bytes)
    }

    /// How long outcomes are remembered.
    pub async fn outcome_retention(&self, grant: &Grant<Read>) -> Result<Duration, StorageError> {
        self.inner.check(grant);
        self.inner.outcome_retention().await
    }

    /// Of outcomes from now on.
    pub async fn set_outcome_retention(
        &self,
        grant: &Grant<Administer>,
        retention: Duration,
    ) -> Result<(), RetentionError> {
        self.inner.check(grant);
        if !(RETENTION_MIN..=RETENTION_MAX).contains(&retention) {
            return Err(RetentionError::OutOfRange);
        }
        let key = self.inner.keys.outcomes();
        let mut batch = Batch::default();
        batch.require(self.inner.keys.live(), Expected::Present);
        batch.put(key.clone(), encode_retention(&key, retention));
        match self.inner.shared.engine.commit(batch).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused { .. } => Err(StorageError::Gone.into()),
            outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => {
                Err(failed(outcome).into())
            }
        }
    }
}

impl Inner {
    pub(crate) async fn outcome_retention(&self) -> Result<Duration, StorageError> {
        let key = self.keys.outcomes();
        let value = self.shared.engine.get(key.clone()).await?;
        self.check_alive()?;
        let stored = value.map(|value| decode_retention(&key, &value)).transpose()?;
        Ok(stored.unwrap_or(RETENTION_DEFAULT))
    }
}

/// Records that are there, each with its step.
struct Records {
    found: Vec<(usize, Idempotency)>,
    failure: Failure,
}

impl Visitor for Records {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        match Idempotency::decode(key, value) {
            Ok(record) => {
                self.found.push((step, record));
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}

struct Bodies {
    bytes: u64,
    failure: Failure,
}

impl Visitor for Bodies {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let Some(value) = value else { return Visit::Next };
        match Head::decode(key, value) {
            Ok(head) => {
                self.bytes += head.tree.winner().map_or(0, |winner| winner.payload.place.length());
                Visit::Next
            }
            Err(error) => self.failure.stop(error),
        }
    }
}
