//! Transactions as the writer takes them, and what becomes of each.
//!
//! The rules are those of [`settle_transact`]. What is here is when they are asked: in the writer's turn, on the
//! documents as they are then, so that a transaction needs no lock and never clashes with another write. Only where
//! validators have a say is a transaction planned before, on documents as they were; the writer takes it as long as
//! these are the same.

use std::{collections::BTreeMap, ops::Range};

use settle_model::id::DocumentId;
use settle_transact::{Mode, Refusal, Transaction};

use crate::{
    edit::{AttachmentEdit, Epochs, Foreseen, Verdict},
    keys::Keys,
    limits::{
        GROUP_BYTES_MAX, GROUP_EDITS_MAX, PRINCIPAL_BYTES_MAX, READ_DOCUMENTS_MAX,
        READ_PREFIXES_MAX,
    },
    past::moment::Moment,
};

/// The transactions of an exchange, in order.
#[derive(Debug, Clone)]
pub struct Transactions {
    /// What stands for whoever sent them, in keys.
    principal: String,
    client: String,
    pub mode: Mode,
    pub list: Vec<Submitted>,
}

#[derive(Debug, Clone)]
pub struct Submitted {
    pub transaction: Transaction,
    /// Those that came with each write; shorter than the writes where the rest have none.
    pub attachments: Vec<Vec<AttachmentEdit>>,
    /// Why there is no room for it. Then nobody is asked to decide it.
    pub no_room: Option<String>,
    /// What came of its call, once the function has run. Until then it is refused where a requirement does not hold,
    /// and [`Overtaken`](Fate::Overtaken) otherwise.
    pub called: Option<Called>,
}

/// What a transaction function did.
#[derive(Debug, Clone)]
pub struct Called {
    pub read: ReadSet,
    /// What it gave back, JSON; its writes are those of the transaction.
    pub outcome: Result<Vec<u8>, Refusal>,
}

/// What a transaction function has read of a database as it was at one moment. What it did stands as long as nothing
/// of that has changed.
#[derive(Debug, Clone)]
pub struct ReadSet {
    /// The sequence of the moment.
    pub(crate) sequence: u64,
    /// Documents, and whether they were there.
    pub(crate) documents: BTreeMap<DocumentId, bool>,
    /// All documents whose ids begin so.
    pub(crate) prefixes: Vec<String>,
    /// Whether nothing at all may have changed.
    pub(crate) whole: bool,
}

impl ReadSet {
    pub fn at(moment: Moment) -> Self {
        let sequence = moment.sequence();
        Self { sequence, documents: BTreeMap::new(), prefixes: Vec::new(), whole: false }
    }

    pub fn document(&mut self, id: DocumentId, was_there: bool) {
        self.documents.insert(id, was_there);
        self.whole |= self.documents.len() > READ_DOCUMENTS_MAX;
        self.forget_parts();
    }

    pub fn prefix(&mut self, prefix: &str) {
        if !self.prefixes.iter().any(|known| prefix.starts_with(known)) {
            self.prefixes.push(prefix.to_owned());
        }
        self.whole |= self.prefixes.len() > READ_PREFIXES_MAX;
        self.forget_parts();
    }

    pub fn everything(&mut self) {
        self.whole = true;
        self.forget_parts();
    }

    fn forget_parts(&mut self) {
        if self.whole {
            self.documents.clear();
            self.prefixes.clear();
        }
    }
}

/// What validators said before the writer is asked.
#[derive(Debug, Clone)]
pub enum Judgement {
    /// There is none that has to be asked, and this is what that rests on.
    Unasked(Verdict),
    Asked {
        epochs: Epochs,
        /// The sequence of each document when they were asked.
        read: Vec<(DocumentId, Option<u64>)>,
        /// Places of transactions that may not be made, and why.
        objections: Vec<(usize, Refusal)>,
    },
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is decided, now or some time before, and that is recorded: what to answer, as JSON.
    Decided { accepted: bool, answer: Vec<u8> },
    /// Its id stands for another transaction already.
    Reused,
    /// All are in one, and another was refused.
    Aborted,
    /// One before it was refused.
    NotAttempted,
    /// What was judged is not so any more; whoever judged it looks again.
    Overtaken,
    /// The commit had enough without it; it is queued again.
    Later,
}

/// What stands under the id of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Nothing,
    /// Its outcome.
    Same,
    /// That of another one.
    Other,
}

/// What validators are shown of transactions, if they would be made now.
#[derive(Debug)]
pub struct ForeseenTransactions {
    /// What it rests on.
    pub read: Vec<(DocumentId, Option<u64>)>,
    pub writes: Vec<ForeseenWrite>,
    /// Whether one of them would be refused: of those behind it nothing is known.
    pub is_refused: bool,
}

#[derive(Debug)]
pub struct ForeseenWrite {
    /// The place of its transaction.
    pub transaction: usize,
    pub id: DocumentId,
    pub foreseen: Foreseen,
}

impl Transactions {
    /// `principal` is the name of whoever sent them, `None` of nobody in particular. Ids of transactions are told
    /// apart by both and the client.
    pub fn new(principal: Option<&str>, client: String, mode: Mode, list: Vec<Submitted>) -> Self {
        Self { principal: key_part(principal), client, mode, list }
    }

    /// Others of the same client.
    #[must_use]
    pub fn with(&self, list: Vec<Submitted>) -> Self {
        let (principal, client) = (self.principal.clone(), self.client.clone());
        Self { principal, client, mode: self.mode, list }
    }

    /// What the client calls the one at this place.
    pub fn id(&self, at: usize) -> &str {
        &self.list[at].transaction.id
    }

    pub(crate) fn key(&self, keys: Keys, at: usize) -> Vec<u8> {
        keys.idempotency(&self.principal, &self.client, &self.list[at].transaction.id)
    }

    /// Documents and records that one of them writes, and its bytes, roughly.
    pub(crate) fn weight(&self, at: usize) -> (usize, usize) {
        let transaction = &self.list[at].transaction;
        (transaction.writes.len() + 1, transaction.bytes)
    }

    /// The transactions from the first of `range` on that one commit may have.
    pub(crate) fn piece(&self, range: Range<usize>) -> Range<usize> {
        if self.mode == Mode::AllInOne {
            return range;
        }
        let (mut edits, mut bytes) = (0, 0);
        let mut end = range.start;
        while end < range.end {
            let (its_edits, its_bytes) = self.weight(end);
            edits += its_edits;
            bytes += its_bytes;
            if end > range.start && (edits > GROUP_EDITS_MAX || bytes > GROUP_BYTES_MAX) {
                break;
            }
            end += 1;
        }
        range.start..end
    }
}

impl Fate {
    pub fn is_accepted(&self) -> bool {
        match self {
            Self::Decided { accepted, .. } => *accepted,
            Self::Reused | Self::Aborted | Self::NotAttempted | Self::Overtaken | Self::Later => {
                false
            }
        }
    }
}

/// Names are as long as somebody else's server makes them; keys are not.
pub(crate) fn key_part(principal: Option<&str>) -> String {
    match principal {
        // What no name begins with.
        None => "\0".to_owned(),
        Some(name) if name.len() <= PRINCIPAL_BYTES_MAX && !name.starts_with('\0') => {
            name.to_owned()
        }
        Some(name) => format!("\0{}", blake3::hash(name.as_bytes()).to_hex()),
    }
}
