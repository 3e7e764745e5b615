//! Transactions on their way to the writer, which decides them in its turn.
//!
//! Only where validators have a say is one planned before: they are shown what each write would make, and the writer
//! takes their word as long as every document that the transaction names is as it was, design documents and security
//! object too. Whoever plans holds the lanes of all these documents, so that those who come by lanes do not overtake
//! each other for ever.

use std::{ops::Range, sync::Arc};

use settle_access::{Grant, Write};
use settle_database::{
    Database, Epochs, Fate, Foreseen, ForeseenTransactions, Judgement, Seen, StorageError,
    Transactions, Verdict,
};
use settle_model::{id::DocumentId, json::write_string};
use settle_transact::{Mode, Reason, Refusal};

use super::{Author, Context, Lanes, WriteError, security_of, validators};
use crate::{Designs, limits::CLASHES_MAX};

/// What became of a transaction, or why nobody could say.
pub type TransactResult = Result<Fate, WriteError>;

/// What is the same for all transactions of an exchange.
struct Exchanged<'a> {
    database: &'a Database,
    grant: &'a Grant<Write>,
    author: &'a Author,
    transactions: &'a Arc<Transactions>,
}

impl Lanes {
    /// Decides the transactions of an exchange, in order.
    pub async fn transact(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        author: &Author,
        transactions: &Arc<Transactions>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let exchanged = Exchanged { database, grant, author, transactions };
        let all = 0..transactions.list.len();
        for _ in 0..CLASHES_MAX {
            let Some(verdict) = self.unasked(database).await? else {
                return self.transact_judged(&exchanged).await;
            };
            let judgement = Judgement::Unasked(verdict);
            let fates = database.transact(grant, transactions, all.clone(), &judgement).await?;
            // What was decided is recorded, so that all can be asked about again.
            if !fates.contains(&Fate::Overtaken) {
                return Ok(fates.into_iter().map(Ok).collect());
            }
        }
        Ok(all.map(|_| Err(WriteError::Contended)).collect())
    }

    /// The verdict on all edits, where no validator has to be asked.
    async fn unasked(&self, database: &Database) -> Result<Option<Verdict>, StorageError> {
        let epochs = database.epochs();
        if epochs.design == 0 {
            return Ok(Some(Verdict::NONE));
        }
        let designs = self.indexes.designs(database).await?;
        let epochs = Epochs { design: designs.epoch, ..epochs };
        let is_free = designs.validators(database.number()).is_empty();
        Ok(is_free.then(|| Verdict::passed(epochs, Seen::Nothing)))
    }

    /// One after the other, since what validators see of one is what the one before it made.
    async fn transact_judged(
        &self,
        exchanged: &Exchanged<'_>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let count = exchanged.transactions.list.len();
        let mode = exchanged.transactions.mode;
        if mode == Mode::AllInOne {
            return self.transact_unit(exchanged, 0..count).await;
        }
        let mut results = Vec::with_capacity(count);
        for at in 0..count {
            results.append(&mut self.transact_unit(exchanged, at..at + 1).await?);
            let is_accepted = |it: &TransactResult| it.as_ref().is_ok_and(Fate::is_accepted);
            if mode == Mode::Stop && !results.iter().all(is_accepted) {
                results.resize(count, Ok(Fate::NotAttempted));
                break;
            }
        }
        Ok(results)
    }

    /// Transactions that stand or fall together.
    async fn transact_unit(
        &self,
        exchanged: &Exchanged<'_>,
        unit: Range<usize>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let Exchanged { database, grant, transactions, .. } = exchanged;
        // Held until it is decided.
        let mut lanes = None;
        for _ in 0..CLASHES_MAX {
            if let Some(verdict) = self.unasked(database).await? {
                let judgement = Judgement::Unasked(verdict);
                let fates =
                    database.transact(grant, transactions, unit.clone(), &judgement).await?;
                if !fates.contains(&Fate::Overtaken) {
                    return Ok(fates.into_iter().map(Ok).collect());
                }
                continue;
            }
            if lanes.is_none() {
                let ids = transactions.list[unit.clone()].iter();
                let ids = ids.flat_map(|it| it.transaction.documents().cloned());
                lanes = Some(self.locks.take(database.number(), ids).await);
                // Waiting took a while.
                continue;
            }
            let epochs = database.epochs();
            let designs = self.indexes.designs(database).await?;
            let epochs = Epochs { design: designs.epoch, ..epochs };
            let judgement = match self.judge_unit(exchanged, &unit, epochs, &designs).await? {
                Ok(judgement) => judgement,
                Err(undecided) => return Ok(undecided_unit(unit, undecided)),
            };
            let fates = database.transact(grant, transactions, unit.clone(), &judgement).await?;
            if !fates.contains(&Fate::Overtaken) {
                return Ok(fates.into_iter().map(Ok).collect());
            }
        }
        Ok(unit.map(|_| Err(WriteError::Contended)).collect())
    }

    /// Asks all validators about all writes. An answer that is none, or that somebody should sign in, decides nothing;
    /// it comes back with the place of its transaction.
    async fn judge_unit(
        &self,
        exchanged: &Exchanged<'_>,
        unit: &Range<usize>,
        epochs: Epochs,
        designs: &Arc<Designs>,
    ) -> Result<Result<Judgement, (usize, WriteError)>, StorageError> {
        let Exchanged { database, grant, author, transactions } = exchanged;
        let ForeseenTransactions { read, writes } =
            database.foresee_transactions(grant, transactions, unit.clone()).await?;
        let mut asked = Vec::with_capacity(writes.len());
        let mut places = Vec::with_capacity(writes.len());
        for write in writes {
            if let Foreseen::Edit { new, deleted, old, .. } = write.foreseen {
                asked.push(validators::Question { new, deleted, old });
                places.push((write.transaction, write.id));
            }
        }
        let context =
            Context { user_ctx: author.user_ctx(database.name()), security: security_of(database) };
        let answers =
            validators::ask(designs, database.number(), &self.asking, asked, context).await;
        let mut objections: Vec<(usize, Refusal)> = Vec::new();
        for ((place, id), answer) in places.into_iter().zip(answers) {
            let Err(error) = answer else { continue };
            match refusal(&id, error) {
                // The first of a transaction is its reason.
                Ok(_) if objections.last().is_some_and(|(before, _)| *before == place) => {}
                Ok(refusal) => objections.push((place, refusal)),
                Err(error) => return Ok(Err((place, error))),
            }
        }
        Ok(Ok(Judgement::Asked { epochs, read, objections }))
    }
}

/// What a validator's answer makes of a transaction, if it decides it.
fn refusal(id: &DocumentId, error: WriteError) -> Result<Refusal, WriteError> {
    match error {
        WriteError::Forbidden { reason } => {
            let mut quoted = Vec::with_capacity(reason.len() + 2);
            write_string(&mut quoted, &reason);
            Ok(Refusal::new(Reason::Forbidden, id, &[("problem", &quoted)]))
        }
        WriteError::Edit(_)
        | WriteError::Unauthorized { .. }
        | WriteError::Thrown { .. }
        | WriteError::Script(_)
        | WriteError::BrokenRule { .. }
        | WriteError::Design(_)
        | WriteError::DesignRule { .. }
        | WriteError::Contended => Err(error),
    }
}

/// Nothing of it was done, and nothing is recorded.
fn undecided_unit(unit: Range<usize>, (place, error): (usize, WriteError)) -> Vec<TransactResult> {
    let result = |at| if at == place { Err(error.clone()) } else { Ok(Fate::Aborted) };
    unit.map(result).collect()
}
