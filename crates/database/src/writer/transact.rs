//! Planning transactions: the rules decide on documents as they stand in the group, and what they decide becomes
//! edits like all others, with the record that it was decided.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use settle_model::{
    id::{AttachmentName, DocumentId},
    json::write_string,
    revision::{RevId, RevPath},
};
use settle_transact::{
    Change, Content as Planned, Mode, Present, Reason, Refusal, Transaction, accepted, refused,
};

use super::{Job, PreparedEdit, group::Group};
use crate::{
    database::Inner,
    edit::{
        AttachmentEdit, AttachmentSource, Content, Edit, EditError, Foreseen, Origin, Seen, Verdict,
    },
    error::StorageError,
    limits::{
        ATOMIC_BYTES_MAX, CLASHES_MAX, CURRENT_BYTES_MAX, GROUP_BYTES_MAX, LOADED_BYTES_MAX,
        LOOKED_AT_BYTES_MAX, READ_CHANGES_MAX, SHOWN_BYTES_MAX,
    },
    planted::{Fault, planted},
    record::{body::decode_payload, idempotency::Idempotency, site::encode_mark},
    render::Leaf,
    transact::{
        Fate, ForeseenTransactions, ForeseenWrite, Judgement, ReadSet, Submitted, Transactions,
    },
};

/// Some transactions of an exchange, as the writer is given them.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) transactions: Arc<Transactions>,
    pub(super) range: Range<usize>,
    pub(super) judgement: Judgement,
}

/// A document that a transaction names and that is there.
struct Loaded {
    present: Present,
    /// There for documents whose content was asked for.
    attachments: Vec<AttachmentName>,
}

/// What became of a transaction before that is recorded.
enum Tried {
    Accepted(Vec<u8>),
    Refused(Refusal),
    Overtaken,
}

impl Asked {
    fn list(&self) -> &[Submitted] {
        &self.transactions.list[self.range.clone()]
    }

    pub(super) fn documents(&self) -> impl Iterator<Item = &DocumentId> {
        self.list().iter().flat_map(|it| it.transaction.documents())
    }

    fn read_sets(&self) -> impl Iterator<Item = &ReadSet> {
        self.list().iter().filter_map(|it| it.called.as_ref()).map(|it| &it.read)
    }

    /// All whose heads decide about it.
    pub(super) fn heads(&self) -> impl Iterator<Item = &DocumentId> {
        self.documents().chain(self.read_sets().flat_map(|it| it.documents.keys()))
    }

    pub(super) fn weight(&self) -> (usize, usize) {
        self.range.clone().fold((0, 0), |(edits, bytes), at| {
            let (its_edits, its_bytes) = self.transactions.weight(at);
            (edits + its_edits, bytes + its_bytes)
        })
    }

    fn verdict(&self) -> Verdict {
        match &self.judgement {
            Judgement::Unasked(verdict) => *verdict,
            // What it rests on besides is compared for all of them together.
            Judgement::Asked { epochs, .. } => Verdict::passed(*epochs, Seen::Nothing),
        }
    }

    fn objection(&self, at: usize) -> Option<&Refusal> {
        match &self.judgement {
            Judgement::Unasked(_) => None,
            Judgement::Asked { objections, .. } => {
                objections.iter().find(|(place, _)| *place == at).map(|(_, refusal)| refusal)
            }
        }
    }
}

impl Inner {
    pub(crate) async fn transact(
        self: Arc<Self>,
        transactions: &Arc<Transactions>,
        range: Range<usize>,
        judgement: &Judgement,
    ) -> Result<Vec<Fate>, StorageError> {
        let mut fates = Vec::with_capacity(range.len());
        while fates.len() < range.len() {
            let piece = transactions.piece(range.start + fates.len()..range.end);
            let (transactions, judgement) = (transactions.clone(), judgement.clone());
            let mode = transactions.mode;
            let asked = Asked { transactions, range: piece, judgement };
            let decided = self.clone().ask(|reply| Job::Transact { asked, reply }).await?;
            fates.extend(decided.into_iter().take_while(|fate| *fate != Fate::Later));
            if let Some(rest) = fates.last().and_then(|last| rest_of(mode, last)) {
                fates.resize(range.len(), rest);
            }
        }
        Ok(fates)
    }

    pub(crate) async fn foresee_transactions(
        self: &Arc<Self>,
        transactions: &Arc<Transactions>,
        range: Range<usize>,
    ) -> Result<ForeseenTransactions, StorageError> {
        let nothing_missing = std::collections::BTreeSet::new();
        let judgement = Judgement::Unasked(Verdict::internal("nothing of it is kept"));
        let asked = Asked { transactions: transactions.clone(), range, judgement };
        let mut attempt = 1;
        loop {
            let ids = asked.heads().cloned().collect();
            let records = asked.range.clone().map(|at| transactions.key(self.keys, at)).collect();
            let mut group = Group::over(self, ids, records, &nothing_missing).await?;
            match group.foresee_transactions(&asked).await {
                // As with edits: a body may have gone since its head was read.
                Err(StorageError::Inconsistent { .. }) if attempt < CLASHES_MAX => attempt += 1,
                foreseen => {
                    self.check_alive()?;
                    return foreseen;
                }
            }
        }
    }
}

/// What becomes of all transactions behind this one, if that decides it.
fn rest_of(mode: Mode, last: &Fate) -> Option<Fate> {
    match (mode, last) {
        // In their order, or not at all.
        (_, Fate::Overtaken) => Some(Fate::Overtaken),
        (Mode::Stop, last) if !last.is_accepted() => Some(Fate::NotAttempted),
        (Mode::Stop | Mode::GoOn | Mode::AllInOne, _) => None,
    }
}

impl Group<'_> {
    pub(super) async fn plan_transactions(
        &mut self,
        asked: &Asked,
    ) -> Result<Vec<Fate>, StorageError> {
        if !self.is_as_judged(&asked.judgement) || !self.is_as_read(asked).await? {
            return Ok(vec![Fate::Overtaken; asked.range.len()]);
        }
        self.shown = 0;
        match asked.transactions.mode {
            Mode::Stop | Mode::GoOn => self.plan_one_by_one(asked).await,
            Mode::AllInOne => self.plan_all_in_one(asked).await,
        }
    }

    /// Whether what validators were asked about is what is there.
    fn is_as_judged(&mut self, judgement: &Judgement) -> bool {
        let Judgement::Asked { epochs, read, .. } = judgement else { return true };
        self.rests_on_live = true;
        let is_same = |(id, seen): &(DocumentId, Option<u64>)| {
            self.head(id).map(|head| head.sequence) == *seen
        };
        planted(Fault::NoReadSet)
            || *epochs == self.live.epochs()
                && !self.design_changed_before
                && read.iter().all(is_same)
    }

    /// Whether what transaction functions have read is what is there.
    async fn is_as_read(&self, asked: &Asked) -> Result<bool, StorageError> {
        for read in asked.read_sets() {
            let is_same = |(id, was_there): (&DocumentId, &bool)| match self.head(id) {
                Some(head) => head.sequence <= read.sequence,
                // A purge takes all of it.
                None => !was_there,
            };
            let is_same = if read.whole {
                self.state.sequence == read.sequence
            } else {
                read.documents.iter().all(is_same) && self.are_quiet(read).await?
            };
            if !is_same && !planted(Fault::NoReadSet) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether no document has changed whose id begins as one of the prefixes.
    async fn are_quiet(&self, read: &ReadSet) -> Result<bool, StorageError> {
        if read.prefixes.is_empty() || self.state.sequence == read.sequence {
            return Ok(true);
        }
        let is_read = |id: &str| read.prefixes.iter().any(|prefix| id.starts_with(prefix));
        let planned = self.heads.iter().filter_map(|(id, slot)| Some((id, slot.head.as_ref()?)));
        let mut planned = planned.filter(|(_, head)| head.sequence > read.sequence);
        if planned.any(|(id, _)| is_read(id.as_str())) {
            return Ok(false);
        }
        let changed = self.inner.changed_after(read.sequence, READ_CHANGES_MAX).await?;
        Ok(changed.is_some_and(|ids| !ids.iter().any(|id| is_read(id))))
    }

    async fn plan_one_by_one(&mut self, asked: &Asked) -> Result<Vec<Fate>, StorageError> {
        let mut fates = Vec::with_capacity(asked.range.len());
        for at in asked.range.clone() {
            if self.bytes > GROUP_BYTES_MAX || self.looked_at > LOOKED_AT_BYTES_MAX {
                fates.resize(asked.range.len(), Fate::Later);
                break;
            }
            let fate = self.plan_transaction(asked, at).await?;
            let rest = rest_of(asked.transactions.mode, &fate);
            fates.push(fate);
            if let Some(rest) = rest {
                fates.resize(asked.range.len(), rest);
                break;
            }
        }
        Ok(fates)
    }

    /// What was accepted some time before stays so.
    async fn plan_all_in_one(&mut self, asked: &Asked) -> Result<Vec<Fate>, StorageError> {
        let before = self.save(asked.documents());
        let records = self.records.clone();
        let bytes = self.bytes;
        let mut fates = Vec::with_capacity(asked.range.len());
        for at in asked.range.clone() {
            let mut fate = self.plan_transaction(asked, at).await?;
            if self.bytes - bytes > ATOMIC_BYTES_MAX && fate.is_accepted() {
                let id = asked.documents().next().cloned();
                let refusal = id.map(|id| too_large(&id));
                fate = match refusal {
                    Some(refusal) => self.refuse(asked, at, &refusal).await?,
                    None => fate,
                };
            }
            let is_accepted = fate.is_accepted();
            fates.push(fate);
            if !is_accepted {
                break;
            }
        }
        let Some(last) = fates.pop() else { return Ok(fates) };
        if last.is_accepted() {
            fates.push(last);
            return Ok(fates);
        }
        let place = fates.len();
        let was_decided = |group: &Self, at: usize| {
            let key = asked.transactions.key(group.inner.keys, asked.range.start + at);
            records.get(&key).is_some_and(|record| record.expires > group.now)
        };
        // Nothing of it is kept but the refusal itself.
        let recorded = match &last {
            Fate::Decided { answer, .. } if !was_decided(self, place) => Some(answer.clone()),
            Fate::Decided { .. }
            | Fate::Reused
            | Fate::Aborted
            | Fate::NotAttempted
            | Fate::Overtaken
            | Fate::Later => None,
        };
        let rest = if last == Fate::Overtaken { Fate::Overtaken } else { Fate::Aborted };
        self.restore(before);
        self.records.clone_from(&records);
        if let Some(answer) = recorded {
            self.keep(asked, asked.range.start + place, answer);
        }
        let fates = fates.into_iter().enumerate();
        let mut fates: Vec<Fate> =
            fates.map(|(at, it)| if was_decided(self, at) { it } else { rest.clone() }).collect();
        fates.push(last);
        fates.resize(asked.range.len(), rest);
        Ok(fates)
    }

    /// Decides one transaction, unless it is decided already.
    async fn plan_transaction(&mut self, asked: &Asked, at: usize) -> Result<Fate, StorageError> {
        let submitted = &asked.transactions.list[at];
        if let Some(fate) = self.recorded(asked, at) {
            return Ok(fate);
        }
        let before = self.save(submitted.transaction.documents());
        match self.try_transaction(asked, at).await? {
            Tried::Accepted(answer) => {
                self.keep(asked, at, answer.clone());
                Ok(Fate::Decided { accepted: true, answer })
            }
            Tried::Refused(refusal) => {
                self.restore(before);
                self.refuse(asked, at, &refusal).await
            }
            Tried::Overtaken => {
                self.restore(before);
                Ok(Fate::Overtaken)
            }
        }
    }

    fn recorded(&self, asked: &Asked, at: usize) -> Option<Fate> {
        let key = asked.transactions.key(self.inner.keys, at);
        let record = self.records.get(&key).filter(|it| it.expires > self.now)?;
        if record.payload != asked.transactions.list[at].transaction.digest {
            return Some(Fate::Reused);
        }
        let accepted = record.answer.starts_with(b"{\"accepted\":true");
        Some(Fate::Decided { accepted, answer: record.answer.clone() })
    }

    async fn try_transaction(&mut self, asked: &Asked, at: usize) -> Result<Tried, StorageError> {
        let bytes = self.bytes;
        let transaction = &asked.transactions.list[at].transaction;
        if let Some(objection) = asked.objection(at) {
            return Ok(Tried::Refused(objection.clone()));
        }
        let loaded = match self.load(transaction).await? {
            Ok(loaded) => loaded,
            Err(refusal) => return Ok(Tried::Refused(refusal)),
        };
        let plan = match transaction.plan(|id| loaded.get(id).map(|it| &it.present)) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Tried::Refused(refusal)),
        };
        let called = asked.transactions.list[at].called.as_ref().map(|it| &it.outcome);
        let result = match (&transaction.call, called) {
            (None, _) => None,
            (Some(_), None) => return Ok(Tried::Overtaken),
            (Some(_), Some(Err(refusal))) => return Ok(Tried::Refused(refusal.clone())),
            (Some(_), Some(Ok(result))) => Some(result.as_slice()),
        };
        let mut revs = Vec::with_capacity(plan.changes.len());
        for (write, change) in plan.changes.into_iter().enumerate() {
            let edit = edit(asked, (at, write), change, &loaded);
            let id = edit.id.clone();
            match self.plan_edit(&PreparedEdit::new(edit)).await? {
                Ok(written) => revs.push((written.id, written.rev)),
                Err(EditError::Overtaken) => return Ok(Tried::Overtaken),
                Err(error) => return Ok(Tried::Refused(invalid(&id, &error))),
            }
        }
        if self.bytes - bytes > ATOMIC_BYTES_MAX
            && let Some(write) = transaction.writes.first()
        {
            return Ok(Tried::Refused(too_large(&write.id)));
        }
        let revs = revs.iter().map(|(id, rev)| (id, rev));
        Ok(Tried::Accepted(accepted(revs, &plan.taken, result)))
    }

    /// The documents that a transaction names and that are there, as they are after what was planned before; or why that
    /// is too much.
    async fn load(
        &mut self,
        transaction: &Transaction,
    ) -> Result<Result<HashMap<DocumentId, Loaded>, Refusal>, StorageError> {
        if let Some(id) = self.is_too_much(transaction) {
            let problem = "the documents that it looks into are too much for one transaction";
            return Ok(Err(Refusal::new(Reason::TooLarge, id, &[("problem", &quoted(problem))])));
        }
        let mut loaded = HashMap::new();
        for id in transaction.documents() {
            let winner = self.head(id).and_then(|head| head.tree.winner());
            if let Some(winner) = winner.filter(|it| !it.deleted) {
                let rev = winner.rev.clone();
                let present = Present { rev, body: Vec::new(), document: Vec::new() };
                let attachments = Vec::new();
                loaded.entry(id.clone()).or_insert(Loaded { present, attachments });
            }
        }
        for (id, _) in transaction.contents() {
            let Some(winner) = self.head(id).and_then(|head| head.tree.winner()) else { continue };
            let Some(loaded) = loaded.get_mut(id) else { continue };
            if !loaded.present.document.is_empty() {
                continue;
            }
            let payload = self.payload(&winner.payload).await?;
            let (attachments, body) = decode_payload(&payload)?;
            loaded.present.body = body.to_vec();
            loaded.present.document = self.render(id, &winner.rev, &payload)?;
            loaded.attachments = attachments.into_iter().map(|it| it.name).collect();
        }
        Ok(Ok(loaded))
    }

    /// The document with which a transaction looks into more than it may.
    fn is_too_much<'t>(&mut self, transaction: &'t Transaction) -> Option<&'t DocumentId> {
        let (mut loaded, mut looked_at) = (0, 0_u64);
        let mut seen = HashSet::new();
        for (id, times) in transaction.contents() {
            let winner = self.head(id).and_then(|head| head.tree.winner());
            let Some(winner) = winner.filter(|it| !it.deleted) else { continue };
            let bytes = winner.payload.place.length();
            looked_at = looked_at.saturating_add(bytes.saturating_mul(times));
            if seen.insert(id) {
                loaded += bytes;
            }
            if loaded > LOADED_BYTES_MAX || looked_at > LOOKED_AT_BYTES_MAX {
                return Some(id);
            }
        }
        self.looked_at = self.looked_at.saturating_add(looked_at);
        None
    }

    /// A winner as selectors and clients see it.
    fn render(
        &self,
        id: &DocumentId,
        rev: &RevId,
        payload: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        let (attachments, body) = decode_payload(payload)?;
        let conflicts: Vec<RevId> = self.head(id).map_or_else(Vec::new, |head| {
            head.tree.conflicts().map(|leaf| leaf.rev.clone()).collect()
        });
        let leaf = Leaf {
            id: id.as_str(),
            path: &RevPath::single(rev.clone()),
            deleted: false,
            attachments: &attachments,
            body,
            shows_path: false,
            conflicts: &conflicts,
        };
        Ok(leaf.render().to_vec())
    }

    /// Records a refusal, with the document that it failed on.
    async fn refuse(
        &mut self,
        asked: &Asked,
        at: usize,
        refusal: &Refusal,
    ) -> Result<Fate, StorageError> {
        let answer = match &refusal.failed_on {
            None => refused(refusal, None),
            Some(id) => {
                let winner = self.head(id).and_then(|head| head.tree.winner());
                match winner.filter(|it| !it.deleted) {
                    None => refused(refusal, Some((id, None))),
                    Some(winner) if winner.payload.place.length() > CURRENT_BYTES_MAX as u64 => {
                        refused(refusal, None)
                    }
                    Some(_) if self.shown > SHOWN_BYTES_MAX => refused(refusal, None),
                    Some(winner) => {
                        let payload = self.payload(&winner.payload).await?;
                        let document = self.render(id, &winner.rev, &payload)?;
                        self.shown += document.len();
                        refused(refusal, Some((id, Some(&document))))
                    }
                }
            }
        };
        self.keep(asked, at, answer.clone());
        Ok(Fate::Decided { accepted: false, answer })
    }

    /// Writes the record of what was decided.
    fn keep(&mut self, asked: &Asked, at: usize, answer: Vec<u8>) {
        let key = asked.transactions.key(self.inner.keys, at);
        let payload = asked.transactions.list[at].transaction.digest;
        self.keep_record(key, payload, answer);
    }

    pub(super) fn keep_record(&mut self, key: Vec<u8>, payload: [u8; 32], answer: Vec<u8>) {
        let keys = self.inner.keys;
        if let Some(expired) = self.records.get(&key) {
            let row = keys.expiry(expired.expires, &key);
            self.delete(row);
        }
        let expires = self.now.plus(self.retention);
        let record = Idempotency { payload, expires, answer };
        let row = keys.expiry(expires, &key);
        let mark = encode_mark(&row);
        self.put(row, mark);
        self.put(key.clone(), record.encode(&key));
        self.records.insert(key, record);
        self.records_due = Some(self.records_due.map_or(expires, |due| due.min(expires)));
    }

    async fn foresee_transactions(
        &mut self,
        asked: &Asked,
    ) -> Result<ForeseenTransactions, StorageError> {
        let read = asked.documents().map(|id| (id.clone(), self.head(id).map(|it| it.sequence)));
        let read = read.collect();
        let (mut writes, mut is_refused) = (Vec::new(), false);
        for at in asked.range.clone() {
            if let Some(fate) = self.recorded(asked, at) {
                if fate.is_accepted() {
                    continue;
                }
                is_refused = true;
                break;
            }
            if !self.foresee_transaction(asked, at, &mut writes).await? {
                is_refused = true;
                break;
            }
        }
        Ok(ForeseenTransactions { read, writes, is_refused })
    }

    /// Whether the transaction would be accepted.
    async fn foresee_transaction(
        &mut self,
        asked: &Asked,
        at: usize,
        writes: &mut Vec<ForeseenWrite>,
    ) -> Result<bool, StorageError> {
        let transaction = &asked.transactions.list[at].transaction;
        let Ok(loaded) = self.load(transaction).await? else { return Ok(false) };
        let Ok(plan) = transaction.plan(|id| loaded.get(id).map(|it| &it.present)) else {
            return Ok(false);
        };
        for (write, change) in plan.changes.into_iter().enumerate() {
            let prepared = PreparedEdit::new(edit(asked, (at, write), change, &loaded));
            let foreseen = self.foresee(&prepared.edit).await?;
            if self.plan_edit(&prepared).await?.is_err() {
                return Ok(false);
            }
            if foreseen != Foreseen::Settled {
                let id = prepared.edit.id;
                writes.push(ForeseenWrite { transaction: at, id, foreseen });
            }
        }
        Ok(true)
    }
}

/// The edit that a change asks for. `(at, write)` is its place.
fn edit(
    asked: &Asked,
    (at, write): (usize, usize),
    change: Change,
    loaded: &HashMap<DocumentId, Loaded>,
) -> Edit {
    let Change { id, base, content } = change;
    let (body, attachments, deleted) = match content {
        Planned::Whole(body) => {
            let sent = asked.transactions.list[at].attachments.get(write);
            (body, sent.cloned().unwrap_or_default(), false)
        }
        Planned::Body(body) => {
            let names = loaded.get(&id).map_or(&[][..], |it| &it.attachments);
            let kept = names.iter().map(|name| AttachmentEdit {
                name: name.clone(),
                source: AttachmentSource::Keep,
                revpos: None,
            });
            (body, kept.collect(), false)
        }
        Planned::Tombstone => (b"{}".to_vec(), Vec::new(), true),
    };
    Edit {
        id,
        origin: Origin::Interactive { base, must_exist: false },
        deleted,
        content: Content::Whole { body, attachments },
        verdict: asked.verdict(),
    }
}

/// What the database cannot hold.
fn invalid(id: &DocumentId, error: &EditError) -> Refusal {
    let reason = match error {
        EditError::TooLarge { .. } | EditError::TooManyAttachments { .. } => Reason::TooLarge,
        EditError::Conflict
        | EditError::Missing
        | EditError::Deleted
        | EditError::MissingStub { .. }
        | EditError::MissingAttachment { .. }
        | EditError::Partition(_)
        | EditError::GenerationsExhausted
        | EditError::Overtaken
        | EditError::Aborted => Reason::Invalid,
    };
    Refusal::new(reason, id, &[("problem", &quoted(&error.to_string()))])
}

fn too_large(id: &DocumentId) -> Refusal {
    let problem = "what is to be written at once is too much for one commit";
    Refusal::new(Reason::TooLarge, id, &[("problem", &quoted(problem))])
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}
