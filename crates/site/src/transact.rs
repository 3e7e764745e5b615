//! Transactions: may they be written, is there room, then the way of all writes. For what functions write, room is looked
//! for once they have said it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use settle_access::{Actor, Grant, Kind, Read, Write};
use settle_accounts::QuotaError;
use settle_database::{Database, Known, StorageError, Submitted, Transactions};
use settle_index::lane::{Author, Reading, Room, TransactResult};
use settle_transact::{Mode, Transaction, WriteKind};
use thiserror::Error;

use crate::{
    Site,
    incoming::{self, IncomingError},
};

/// Why none of the transactions of an exchange was decided.
#[derive(Debug, Error)]
pub enum TransactError {
    #[error(
        "users and replications are written one by one: their documents are checked and sealed on the way"
    )]
    Kind,
    /// Its id stands for another transaction.
    #[error("the id {id:?} was used for another transaction")]
    Reused { id: String },
    #[error(transparent)]
    Attachment(#[from] IncomingError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Site {
    /// Decides the transactions of an exchange, in order, and makes those that are accepted.
    pub async fn transact(
        &self,
        actor: &Actor,
        database: &Database,
        (grant, reading): (&Grant<Write>, Reading<'_>),
        (client, mode): (String, Mode),
        transactions: Vec<Transaction>,
    ) -> Result<Vec<TransactResult>, TransactError> {
        match database.protected().kind {
            Kind::Documents => {}
            Kind::Users | Kind::Replicator => return Err(TransactError::Kind),
        }
        let submitted = |transaction| Submitted {
            transaction,
            attachments: Vec::new(),
            no_room: None,
            called: None,
        };
        let list = transactions.into_iter().map(submitted).collect();
        let mut transactions = Transactions::new(actor.name(), client, mode, list);
        let known = database.known(grant, &transactions).await?;
        if let Some(at) = known.iter().position(|known| *known == Known::Other) {
            return Err(TransactError::Reused { id: transactions.id(at).to_owned() });
        }
        let list = transactions.list.iter_mut().zip(known);
        let mut new: Vec<_> =
            list.filter(|(_, known)| *known == Known::Nothing).map(|(it, _)| it).collect();
        self.find_room(database, &mut new).await?;
        for submitted in new.iter_mut().filter(|it| it.no_room.is_none()) {
            self.store_attachments(submitted).await?;
        }
        let author = Author::from(actor);
        let transactions = Arc::new(transactions);
        Ok(self.lanes.transact(database, grant, (&author, reading, self), &transactions).await?)
    }

    /// Stores attachments that came with documents.
    async fn store_attachments(&self, submitted: &mut Submitted) -> Result<(), IncomingError> {
        for (at, write) in submitted.transaction.writes.iter_mut().enumerate() {
            let WriteKind::Put { attachments: sent, .. } = &mut write.kind else { continue };
            if sent.is_empty() {
                continue;
            }
            submitted.attachments.resize_with(at, Vec::new);
            let stored = incoming::attachments(self.store.blobs(), std::mem::take(sent)).await?;
            submitted.attachments.push(stored);
        }
        Ok(())
    }

    /// Takes the room that transactions need in the account of the database, and says of those that find none that it is
    /// so. What is changed in part is written as a whole; what only deletes needs none.
    async fn find_room(
        &self,
        database: &Database,
        new: &mut [&mut Submitted],
    ) -> Result<(), StorageError> {
        if database.protected().owner.is_none() {
            return Ok(());
        }
        let all = new.iter().map(|it| &it.transaction);
        let bytes = needed_bytes(database, all).await?;
        if self.take(database, bytes).await?.is_ok() {
            return Ok(());
        }
        for submitted in new {
            let bytes = needed_bytes(database, [&submitted.transaction].into_iter()).await?;
            submitted.no_room = self.take(database, bytes).await?.err();
        }
        Ok(())
    }
}

/// Bytes that transactions write, about.
async fn needed_bytes<'a>(
    database: &Database,
    transactions: impl Iterator<Item = &'a Transaction> + Clone,
) -> Result<u64, StorageError> {
    let added: u64 = transactions.clone().map(Transaction::added_bytes).sum();
    if added == 0 {
        return Ok(0);
    }
    let grant: Grant<Read> = Grant::internal(database.resource(), "what is written anew");
    let writes = transactions.flat_map(|it| &it.writes);
    let changed = writes.filter(|write| !write.kind.is_whole()).map(|write| &write.id);
    Ok(added + database.body_bytes(&grant, changed).await?)
}

/// That of the account which the database belongs to.
impl Room for Site {
    fn take<'a>(
        &'a self,
        database: &'a Database,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Result<(), String>, StorageError>> {
        Box::pin(async move {
            match self.check_room_for(database, bytes).await {
                Ok(()) => Ok(Ok(())),
                Err(QuotaError::Storage(error)) => Err(error),
                Err(full @ (QuotaError::Bytes { .. } | QuotaError::Databases { .. })) => {
                    Ok(Err(full.to_string()))
                }
            }
        })
    }
}
