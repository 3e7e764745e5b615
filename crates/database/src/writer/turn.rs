//! The writer's turn, given away for a moment: whoever has it looks at the database, which stays as it is meanwhile, and
//! says what is to be written.

use std::{ops::Range, sync::Arc};

use tokio::{sync::oneshot, time::timeout};

use super::{Asked, Job, wait};
use crate::{
    database::Inner,
    error::StorageError,
    limits::TURN_TIME,
    transact::{Fate, Judgement, Transactions},
};

/// The writer's turn. It is over when this is dropped, or after 100 ms.
#[derive(Debug)]
pub struct Turn {
    asked: oneshot::Sender<Asked>,
    decided: oneshot::Receiver<Result<Vec<Fate>, StorageError>>,
}

/// What the writer is told by whoever waits for its turn.
#[derive(Debug)]
pub(super) struct Ready {
    begun: oneshot::Sender<()>,
    asked: oneshot::Receiver<Asked>,
}

impl Inner {
    /// Waits until nothing else is written.
    pub(crate) async fn turn(self: Arc<Self>) -> Result<Turn, StorageError> {
        let ((begin, begun), (asked, asking)) = (oneshot::channel(), oneshot::channel());
        let ready = Ready { begun: begin, asked: asking };
        let decided = self.queue(|reply| Job::Turn { ready, reply });
        if begun.await.is_err() {
            wait(decided).await?;
            let reason = "the writer stopped".to_owned();
            return Err(StorageError::NotWritten { reason });
        }
        Ok(Turn { asked, decided })
    }
}

impl Turn {
    /// As [`Database::transact`](crate::Database::transact), of a group that one commit takes. All are
    /// [`Overtaken`](Fate::Overtaken) where the turn was over before.
    pub async fn transact(
        self,
        transactions: &Arc<Transactions>,
        range: Range<usize>,
        judgement: Judgement,
    ) -> Result<Vec<Fate>, StorageError> {
        let late = vec![Fate::Overtaken; range.len()];
        let asked = Asked { transactions: transactions.clone(), range, judgement };
        match self.asked.send(asked) {
            Ok(()) => wait(self.decided).await,
            Err(_) => Ok(late),
        }
    }
}

/// Lets whoever is next have the turn, where that is what they asked for, and takes what they say.
pub(super) async fn give(jobs: Vec<Job>) -> Vec<Job> {
    let mut given = Vec::with_capacity(jobs.len());
    for job in jobs {
        match job {
            Job::Turn { ready, reply } => {
                let Ready { begun, asked } = ready;
                if begun.send(()).is_ok()
                    && let Ok(Ok(asked)) = timeout(TURN_TIME, asked).await
                {
                    given.push(Job::Transact { asked, reply });
                }
            }
            Job::Write { .. }
            | Job::Transact { .. }
            | Job::Purge { .. }
            | Job::Collect { .. }
            | Job::ListConflicts { .. }
            | Job::Keep { .. }
            | Job::Revert { .. }
            | Job::Restore { .. } => given.push(job),
        }
    }
    given
}
