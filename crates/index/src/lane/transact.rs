//! Transactions on their way to the writer, which decides them in its turn.
//!
//! Only where validators have a say is one planned before: they are shown what each write would make, and the writer
//! takes their word as long as every document that the transaction names is as it was, design documents and security
//! object too. Whoever plans holds the lanes of all these documents, so that those who come by lanes do not overtake
//! each other for ever.
//!
//! A transaction function runs before the writer's turn too, on the present as one moment, and the writer takes what it
//! said as long as nothing that it read has changed. Where that has happened three times, it runs in the writer's turn.

use std::{ops::Range, sync::Arc};

use settle_access::{Grant, Write};
use settle_database::{
    At, Database, Epochs, Fate, Foreseen, ForeseenTransactions, Judgement, PastError, Seen,
    StorageError, Submitted, Transactions, Turn, Verdict,
};
use settle_model::{id::DocumentId, json::write_string};
use settle_transact::{Mode, Reason, Refusal, limits::WRITES_TOGETHER_MAX};

use super::{
    Author, Context, Lanes, WriteError,
    calling::{Asked, Earlier, Failed, Reading, Room, unsaid},
    security_of, validators,
};
use crate::{
    Designs,
    limits::{CALL_BACKOFF, CALL_CLASHES_MAX, CLASHES_MAX},
};

/// What became of a transaction, or why nobody could say.
pub type TransactResult = Result<Fate, WriteError>;

/// What is the same for all transactions of an exchange.
struct Exchanged<'a> {
    database: &'a Database,
    grant: &'a Grant<Write>,
    author: &'a Author,
    reading: Reading<'a>,
    room: &'a dyn Room,
    transactions: &'a Arc<Transactions>,
}

/// What the functions of some transactions came to, and all of these with what they are to write.
enum Run {
    Done(Transactions),
    /// It has to be seen whether that was true.
    Failed(usize, WriteError),
    /// One of them is refused before a function is asked.
    Refused,
    Clash,
}

impl Lanes {
    /// Decides the transactions of an exchange, in order.
    pub async fn transact(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        (author, reading, room): (&Author, Reading<'_>, &dyn Room),
        transactions: &Arc<Transactions>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let exchanged = Exchanged { database, grant, author, reading, room, transactions };
        let list = &transactions.list;
        let is_call = |it: &Submitted| it.transaction.call.is_some();
        let no_room =
            |it: &Submitted| it.no_room.clone().map(|reason| WriteError::NoRoom { reason });
        let all = 0..list.len();
        let first_without = list.iter().enumerate().find_map(|(at, it)| Some((at, no_room(it)?)));
        if first_without.is_none() && !list.iter().any(is_call) {
            return self.transact_written(&exchanged, all).await;
        }
        if transactions.mode == Mode::AllInOne {
            return match first_without {
                Some(undecided) => Ok(undecided_unit(all, undecided)),
                None => self.transact_called(&exchanged, all).await,
            };
        }
        let mut results = Vec::with_capacity(list.len());
        while results.len() < list.len() {
            let start = results.len();
            let is_written = |it: &&Submitted| !is_call(it) && it.no_room.is_none();
            let written = list[start..].iter().take_while(is_written).count();
            let mut some = match (written, no_room(&list[start])) {
                (_, Some(error)) => vec![Err(error)],
                (0, None) => self.transact_called(&exchanged, start..start + 1).await?,
                (count, None) => self.transact_written(&exchanged, start..start + count).await?,
            };
            results.append(&mut some);
            if is_stopped(transactions.mode, &results) {
                results.resize(list.len(), Ok(Fate::NotAttempted));
            }
        }
        Ok(results)
    }

    /// Those that say themselves what is to be written.
    async fn transact_written(
        &self,
        exchanged: &Exchanged<'_>,
        range: Range<usize>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let database = exchanged.database;
        for _ in 0..CLASHES_MAX {
            let Some(verdict) = self.unasked(database).await? else {
                return self.transact_judged(exchanged, range).await;
            };
            let judgement = Judgement::Unasked(verdict);
            // What was decided is recorded, so that all can be asked about again.
            if let Some(results) = make(exchanged, range.clone(), judgement, None).await? {
                return Ok(results);
            }
        }
        Ok(contended(range))
    }

    /// Transactions that stand or fall together, some of which call functions.
    async fn transact_called(
        &self,
        exchanged: &Exchanged<'_>,
        unit: Range<usize>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let Exchanged { database, grant, .. } = exchanged;
        // It may be decided already, or a requirement may not hold.
        let as_it_is = Judgement::Unasked(Verdict::NONE);
        if let Some(results) = make(exchanged, unit.clone(), as_it_is.clone(), None).await? {
            return Ok(results);
        }
        for attempt in 0..=CALL_CLASHES_MAX {
            let turn = match attempt {
                0 => None,
                CALL_CLASHES_MAX => Some(database.turn(grant).await?),
                attempt => {
                    tokio::time::sleep(CALL_BACKOFF * 2_u32.pow(attempt - 1)).await;
                    None
                }
            };
            let (epochs, designs) = self.rules(database).await?;
            let called = match self.run_unit(exchanged, &unit, epochs, &designs).await? {
                Run::Done(called) => Arc::new(called),
                Run::Clash => continue,
                Run::Refused => {
                    match make(exchanged, unit.clone(), as_it_is.clone(), turn).await? {
                        Some(results) => return Ok(results),
                        None => continue,
                    }
                }
                Run::Failed(at, error) => return Ok(undecided_unit(unit, (at, error))),
            };
            let concrete = Exchanged { transactions: &called, ..*exchanged };
            let all = 0..unit.len();
            if let Some(results) = self.decide(&concrete, all, (epochs, &designs), turn).await? {
                return Ok(results);
            }
        }
        Ok(contended(unit))
    }

    /// Runs the functions of a unit, all on one moment.
    async fn run_unit(
        &self,
        exchanged: &Exchanged<'_>,
        unit: &Range<usize>,
        epochs: Epochs,
        designs: &Arc<Designs>,
    ) -> Result<Run, StorageError> {
        let Exchanged { database, author, reading, room, transactions, .. } = exchanged;
        let moment = match database.moment(reading.grant, &At::Now).await {
            Ok(moment) => moment,
            Err(PastError::Storage(error)) => return Err(error),
            Err(
                PastError::NotKept
                | PastError::NoSnapshot { .. }
                | PastError::Ahead
                | PastError::NotYet
                | PastError::OtherTimeline,
            ) => return Ok(Run::Clash),
        };
        let mut done = transactions.with(Vec::with_capacity(unit.len()));
        let mut earlier = Earlier::new();
        let written = transactions.list[unit.clone()].iter().map(|it| it.transaction.writes.len());
        let mut writes_max = WRITES_TOGETHER_MAX.saturating_sub(written.sum());
        let mut is_foreseen = true;
        for at in unit.clone() {
            let submitted = &transactions.list[at];
            let Some(call) = &submitted.transaction.call else {
                is_foreseen &= submitted.transaction.writes.is_empty();
                done.list.push(submitted.clone());
                continue;
            };
            if !std::mem::replace(&mut is_foreseen, true) {
                let before = Arc::new(done);
                let all = 0..before.list.len();
                let foreseen = database.foresee_transactions(exchanged.grant, &before, all).await?;
                // What they make has to be of the moment, too.
                let is_later = |it: u64| it > moment.sequence();
                if foreseen.read.iter().any(|(_, sequence)| sequence.is_some_and(is_later)) {
                    return Ok(Run::Clash);
                }
                if foreseen.is_refused {
                    return Ok(Run::Refused);
                }
                (done, earlier) = (Arc::unwrap_or_clone(before), earlier_of(foreseen));
            }
            let (reading, earlier, room) = (*reading, &earlier, *room);
            let asked = Asked { database, author, reading, moment, earlier, writes_max, room };
            match self.call(&asked, designs, submitted, call).await {
                Ok(called) => {
                    let count = called.transaction.writes.len();
                    is_foreseen = count == 0;
                    writes_max -= count;
                    done.list.push(called);
                }
                Err(Failed::Clash) => return Ok(Run::Clash),
                Err(Failed::Storage(error)) => return Err(error),
                // It may have stumbled over an index that is ahead of the moment.
                Err(Failed::Function(_))
                    if database.sequence() != moment.sequence() || database.epochs() != epochs =>
                {
                    return Ok(Run::Clash);
                }
                Err(Failed::Function(error)) => return Ok(Run::Failed(at, error)),
            }
        }
        Ok(Run::Done(done))
    }

    /// The verdict on all edits, where no validator has to be asked.
    async fn unasked(&self, database: &Database) -> Result<Option<Verdict>, StorageError> {
        if database.epochs().design == 0 {
            return Ok(Some(Verdict::NONE));
        }
        let (epochs, designs) = self.rules(database).await?;
        let is_free = designs.validators(database.number()).is_empty();
        Ok(is_free.then(|| Verdict::passed(epochs, Seen::Nothing)))
    }

    /// One after the other, since what validators see of one is what the one before it made.
    async fn transact_judged(
        &self,
        exchanged: &Exchanged<'_>,
        range: Range<usize>,
    ) -> Result<Vec<TransactResult>, StorageError> {
        let mode = exchanged.transactions.mode;
        if mode == Mode::AllInOne {
            return self.transact_unit(exchanged, range).await;
        }
        let mut results = Vec::with_capacity(range.len());
        for at in range.clone() {
            results.append(&mut self.transact_unit(exchanged, at..at + 1).await?);
            if is_stopped(mode, &results) {
                results.resize(range.len(), Ok(Fate::NotAttempted));
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
        let Exchanged { database, transactions, .. } = exchanged;
        // Held until it is decided.
        let mut lanes = None;
        for _ in 0..CLASHES_MAX {
            if let Some(verdict) = self.unasked(database).await? {
                let judgement = Judgement::Unasked(verdict);
                if let Some(results) = make(exchanged, unit.clone(), judgement, None).await? {
                    return Ok(results);
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
            let (epochs, designs) = self.rules(database).await?;
            let rules = (epochs, &designs);
            if let Some(results) = self.decide(exchanged, unit.clone(), rules, None).await? {
                return Ok(results);
            }
        }
        Ok(contended(unit))
    }

    /// Asks validators, then the writer; `None` where what they were asked about has changed meanwhile.
    async fn decide(
        &self,
        exchanged: &Exchanged<'_>,
        unit: Range<usize>,
        (epochs, designs): (Epochs, &Arc<Designs>),
        turn: Option<Turn>,
    ) -> Result<Option<Vec<TransactResult>>, StorageError> {
        match self.judge_unit(exchanged, &unit, epochs, designs).await? {
            Ok(judgement) => make(exchanged, unit, judgement, turn).await,
            Err(undecided) => Ok(Some(undecided_unit(unit, undecided))),
        }
    }

    /// The design documents, and what has to be as it was for what they say to stand.
    async fn rules(&self, database: &Database) -> Result<(Epochs, Arc<Designs>), StorageError> {
        let epochs = database.epochs();
        let designs = self.indexes.designs(database).await?;
        Ok((Epochs { design: designs.epoch, ..epochs }, designs))
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
        let Exchanged { database, grant, author, transactions, .. } = exchanged;
        let ForeseenTransactions { read, writes, .. } =
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

/// What transactions would have made.
fn earlier_of(foreseen: ForeseenTransactions) -> Earlier {
    let mut earlier = Earlier::new();
    for write in foreseen.writes {
        if let Foreseen::Edit { new, deleted, .. } = write.foreseen {
            let document = (!deleted).then(|| unsaid(&new));
            earlier.insert(write.id.to_string(), document);
        }
    }
    earlier
}

/// Whether those behind are not attempted.
fn is_stopped(mode: Mode, results: &[TransactResult]) -> bool {
    let is_accepted = |it: &TransactResult| it.as_ref().is_ok_and(Fate::is_accepted);
    mode == Mode::Stop && !results.last().is_none_or(is_accepted)
}

/// Asks the writer, in its turn where somebody has that already. What became of all, unless they have to be asked about
/// again.
async fn make(
    exchanged: &Exchanged<'_>,
    unit: Range<usize>,
    judgement: Judgement,
    turn: Option<Turn>,
) -> Result<Option<Vec<TransactResult>>, StorageError> {
    let Exchanged { database, grant, transactions, .. } = exchanged;
    let fates = match turn {
        Some(turn) => turn.transact(transactions, unit, judgement).await?,
        None => database.transact(grant, transactions, unit, &judgement).await?,
    };
    Ok((!fates.contains(&Fate::Overtaken)).then(|| fates.into_iter().map(Ok).collect()))
}

fn contended(range: Range<usize>) -> Vec<TransactResult> {
    range.map(|_| Err(WriteError::Contended)).collect()
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
        | WriteError::NoRoom { .. }
        | WriteError::Contended => Err(error),
    }
}

/// Nothing of it was done, and nothing is recorded.
fn undecided_unit(unit: Range<usize>, (place, error): (usize, WriteError)) -> Vec<TransactResult> {
    let result = |at| if at == place { Err(error.clone()) } else { Ok(Fate::Aborted) };
    unit.map(result).collect()
}
