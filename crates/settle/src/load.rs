//! Loading a file of documents into a database of a running server.
//!
//! The file is read once, in batches, so memory does not depend on its length. A batch that the
//! server refuses as a whole is cut in halves until the document that it was refused for stands
//! alone: one bad document costs itself only.

mod client;
mod documents;

use std::io::Read;

use thiserror::Error;

pub use self::{
    client::{Client, Identity, RequestError, ServerUrlError},
    documents::{Document, Documents, DocumentsError},
};
use crate::limits::{LOAD_BATCH_BYTES_MAX, LOAD_BATCH_COUNT_MAX, LOAD_REFUSALS_SHOWN};

/// What became of the documents so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub saved: u64,
    /// Documents that were there already and have been left alone.
    pub conflicts: u64,
    pub refused: u64,
    /// The first refusals, in words.
    pub refusals: Vec<String>,
    /// Of the file.
    pub bytes_read: u64,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the server answered for {answered} of {sent} documents")]
    Miscounted { sent: usize, answered: usize },
}

/// What to do with documents that the database has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// Creates the database if it is not there, and saves every document of `input`. `progress` is told
/// after each batch.
pub fn load(
    client: &Client,
    database: &str,
    input: impl Read,
    existing: Existing,
    mut progress: impl FnMut(&Tally),
) -> Result<Tally, LoadError> {
    client.create_database(database)?;
    let mut load = Load { client, database, existing, tally: Tally::default() };
    let mut documents = Documents::new(input);
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    loop {
        // What stands before a damaged place is saved all the same.
        let read = documents.read();
        let next = read.as_ref().ok().and_then(Option::as_ref);
        let length = next.map_or(0, |it| it.json.len());
        let full =
            batch.len() >= LOAD_BATCH_COUNT_MAX || batch_bytes + length > LOAD_BATCH_BYTES_MAX;
        if !batch.is_empty() && (full || next.is_none()) {
            load.save(&batch)?;
            batch.clear();
            batch_bytes = 0;
            load.tally.bytes_read = documents.bytes_read();
            progress(&load.tally);
        }
        let Some(document) = read? else { return Ok(load.tally) };
        batch_bytes += length;
        batch.push(document);
    }
}

struct Load<'a> {
    client: &'a Client,
    database: &'a str,
    existing: Existing,
    tally: Tally,
}

impl Load<'_> {
    fn save(&mut self, batch: &[Document]) -> Result<(), LoadError> {
        let conflicts = self.send(batch, &vec![None; batch.len()])?;
        match self.existing {
            Existing::Replace if !conflicts.is_empty() => self.replace(&conflicts),
            Existing::Replace | Existing::Keep => {
                self.tally.conflicts += count(conflicts.len());
                Ok(())
            }
        }
    }

    /// Sends documents again, on top of the revisions that the database has now.
    fn replace(&mut self, documents: &[&Document]) -> Result<(), LoadError> {
        let named: Vec<Document> =
            documents.iter().filter(|it| it.id.is_some()).map(|it| (*it).clone()).collect();
        let ids: Vec<&str> = named.iter().filter_map(|it| it.id.as_deref()).collect();
        let rows = self.client.current(self.database, &ids)?;
        let revisions: Vec<Option<String>> = rows
            .into_iter()
            .map(|row| row.value.filter(|it| !it.deleted).map(|it| it.rev))
            .collect();
        if revisions.len() != named.len() {
            return Err(LoadError::Miscounted { sent: named.len(), answered: revisions.len() });
        }
        let again = self.send(&named, &revisions)?;
        self.tally.conflicts += count(again.len());
        Ok(())
    }

    /// Saves what can be saved, counts it, and gives back what was in conflict. `revisions` has the
    /// one to build on for each document.
    fn send<'d>(
        &mut self,
        batch: &'d [Document],
        revisions: &[Option<String>],
    ) -> Result<Vec<&'d Document>, LoadError> {
        let answers = match self.client.save(self.database, &body(batch, revisions)) {
            Ok(answers) => answers,
            Err(RequestError::Refused { status: 400 | 412 | 413 | 417, error, reason }) => {
                if let [document] = batch {
                    self.refuse(document, &error, &reason);
                    return Ok(Vec::new());
                }
                let half = batch.len() / 2;
                let mut conflicts = self.send(&batch[..half], &revisions[..half])?;
                conflicts.extend(self.send(&batch[half..], &revisions[half..])?);
                return Ok(conflicts);
            }
            Err(error) => return Err(error.into()),
        };
        if answers.len() != batch.len() {
            return Err(LoadError::Miscounted { sent: batch.len(), answered: answers.len() });
        }
        let mut conflicts = Vec::new();
        for (document, answer) in batch.iter().zip(answers) {
            match answer.error.as_deref() {
                None => self.tally.saved += 1,
                Some("conflict") => conflicts.push(document),
                Some(error) => self.refuse(document, error, &answer.reason),
            }
        }
        Ok(conflicts)
    }

    fn refuse(&mut self, document: &Document, error: &str, reason: &str) {
        self.tally.refused += 1;
        if self.tally.refusals.len() < LOAD_REFUSALS_SHOWN {
            let id = document.id.as_deref().unwrap_or("a document without an id");
            self.tally.refusals.push(format!("{id}: {error}: {reason}"));
        }
    }
}

/// The request, put together from the documents as they stand in the file.
fn body(batch: &[Document], revisions: &[Option<String>]) -> Vec<u8> {
    let length: usize = batch.iter().map(|it| it.json.len() + 64).sum();
    let mut body = Vec::with_capacity(length + 16);
    body.extend_from_slice(b"{\"docs\":[");
    for (index, (document, revision)) in batch.iter().zip(revisions).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match revision {
            None => body.extend_from_slice(&document.json),
            Some(revision) => {
                let rest = document.json.strip_prefix(b"{").expect("a document is an object");
                body.extend_from_slice(b"{\"_rev\":\"");
                body.extend_from_slice(revision.as_bytes());
                body.extend_from_slice(b"\",");
                body.extend_from_slice(rest);
            }
        }
    }
    body.extend_from_slice(b"]}");
    body
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a count of things in memory")
}
