//! What a transaction makes of documents as they are.

use settle_model::{id::DocumentId, json::write_string, revision::RevId};

use crate::{
    decimal::Decimal,
    limits::CHANGED_BYTES_MAX,
    operation::{FieldOperation, OperationProblem},
    patch::merge,
    transaction::{Requirement, Transaction, Write, WriteKind},
    tree::Tree,
};

/// A document whose winner is live, as it is before the transaction.
#[derive(Debug, Clone)]
pub struct Present {
    pub rev: RevId,
    /// There for [`Transaction::contents`].
    pub body: Vec<u8>,
    /// The whole document with its special members, as selectors see it; there for [`Transaction::contents`].
    pub document: Vec<u8>,
}

/// All that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One for each write, in their order.
    pub changes: Vec<Change>,
    pub taken: Vec<Taken>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: DocumentId,
    /// The winner that it is made from; `None` where the document is not there, or is deleted.
    pub base: Option<RevId>,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This body and the attachments that came with the write.
    Whole(Vec<u8>),
    /// This body and the attachments that are there.
    Body(Vec<u8>),
    Tombstone,
}

/// What `take` took of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub id: DocumentId,
    /// As the request spelt it.
    pub field: String,
    /// A number as JSON.
    pub amount: Vec<u8>,
}

/// Why nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// A JSON object.
    pub detail: Vec<u8>,
    /// The document that it failed on.
    pub failed_on: Option<DocumentId>,
}

/// As a reply calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A requirement does not hold.
    Requirement,
    /// A write names a revision that is not the winner.
    Conflict,
    /// What is to be changed or deleted is not there.
    Missing,
    /// An operation on a field cannot be done.
    Operation,
    /// A JSON Patch cannot be applied.
    Patch,
    /// Too much for one document, or for one transaction.
    TooLarge,
    /// A validator or a schema says no.
    Forbidden,
    /// The database cannot hold what would be written.
    Invalid,
    /// The transaction function says no.
    Function,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requirement => "requirement",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::Operation => "operation",
            Self::Patch => "patch",
            Self::TooLarge => "too_large",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Function => "function",
        }
    }
}

impl Refusal {
    /// `detail` are the members that tell more, each a name and JSON.
    pub fn new(reason: Reason, id: &DocumentId, detail: &[(&str, &[u8])]) -> Self {
        let mut json = b"{\"id\":".to_vec();
        write_string(&mut json, id.as_str());
        for (name, value) in detail {
            json.push(b',');
            write_string(&mut json, name);
            json.push(b':');
            json.extend_from_slice(value);
        }
        json.push(b'}');
        Self { reason, detail: json, failed_on: Some(id.clone()) }
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

impl Transaction {
    /// Decides. `find` gives each document that the transaction names, if its winner is live, as it was before.
    pub fn plan<'d>(
        &self,
        find: impl Fn(&DocumentId) -> Option<&'d Present>,
    ) -> Result<Plan, Refusal> {
        for (id, requirement) in &self.require {
            if !requirement.holds(find(id)) {
                let name = quoted(requirement.name());
                return Err(Refusal::new(Reason::Requirement, id, &[("require", &name)]));
            }
        }
        let mut plan = Plan { changes: Vec::with_capacity(self.writes.len()), taken: Vec::new() };
        for write in &self.writes {
            let present = find(&write.id);
            let content = write.content(present, &mut plan.taken)?;
            let base = present.map(|present| present.rev.clone());
            plan.changes.push(Change { id: write.id.clone(), base, content });
        }
        Ok(plan)
    }
}

impl Requirement {
    fn holds(&self, present: Option<&Present>) -> bool {
        match (self, present) {
            (Self::Exists, present) => present.is_some(),
            (Self::Absent, present) => present.is_none(),
            (Self::Rev(rev), Some(present)) => present.rev == *rev,
            (Self::Match(selector), Some(present)) => selector.matches(&present.document),
            (Self::Rev(_) | Self::Match(_), None) => false,
        }
    }
}

impl Write {
    fn content(
        &self,
        present: Option<&Present>,
        taken: &mut Vec<Taken>,
    ) -> Result<Content, Refusal> {
        if let Some(rev) = &self.rev
            && present.is_none_or(|present| present.rev != *rev)
        {
            let rev = match present {
                Some(present) => quoted(&present.rev.to_string()),
                None => b"null".to_vec(),
            };
            return Err(Refusal::new(Reason::Conflict, &self.id, &[("rev", &rev)]));
        }
        let body = match present {
            Some(present) => &present.body,
            None if self.kind.needs_document() => {
                return Err(Refusal::new(Reason::Missing, &self.id, &[]));
            }
            None => &Vec::new(),
        };
        match &self.kind {
            WriteKind::Put { body, .. } => Ok(Content::Whole(body.clone())),
            WriteKind::Delete => Ok(Content::Tombstone),
            WriteKind::Patch(patch) => {
                self.check_size(body)?;
                Ok(Content::Body(merge(body, patch)))
            }
            WriteKind::JsonPatch(patch) => {
                self.check_size(body)?;
                let patched = patch.apply(body).map_err(|error| {
                    let step = error.step.to_string();
                    let problem = quoted(&error.problem.to_string());
                    let detail: [(&str, &[u8]); 2] =
                        [("step", step.as_bytes()), ("problem", &problem)];
                    Refusal::new(Reason::Patch, &self.id, &detail)
                })?;
                Ok(Content::Body(patched))
            }
            WriteKind::Operations(operations) => {
                self.check_size(body)?;
                let mut document = Tree::new(body);
                for operation in operations {
                    let amount = operation
                        .apply(&mut document)
                        .map_err(|problem| self.refused(operation, &problem))?;
                    if let Some(amount) = amount {
                        self.add_taken(taken, operation, amount);
                    }
                }
                Ok(Content::Body(document.to_json()))
            }
        }
    }

    fn check_size(&self, body: &[u8]) -> Result<(), Refusal> {
        if body.len() <= CHANGED_BYTES_MAX {
            return Ok(());
        }
        let (bytes, max) = (body.len().to_string(), CHANGED_BYTES_MAX.to_string());
        let detail: [(&str, &[u8]); 2] = [("bytes", bytes.as_bytes()), ("max", max.as_bytes())];
        Err(Refusal::new(Reason::TooLarge, &self.id, &detail))
    }

    fn refused(&self, operation: &FieldOperation, problem: &OperationProblem) -> Refusal {
        let (name, field) = (quoted(operation.name()), quoted(&operation.field.to_string()));
        let text = quoted(&problem.to_string());
        let mut detail: Vec<(&str, &[u8])> =
            vec![("operation", &name), ("field", &field), ("problem", &text)];
        if let OperationProblem::TooLittle { available } = problem {
            detail.push(("available", available));
        }
        Refusal::new(Reason::Operation, &self.id, &detail)
    }

    /// What is taken of a field in several operations is one amount.
    fn add_taken(&self, taken: &mut Vec<Taken>, operation: &FieldOperation, amount: Decimal) {
        let field = operation.field.to_string();
        match taken.iter_mut().find(|it| it.id == self.id && it.field == field) {
            Some(before) => {
                let sum = Decimal::parse(&before.amount).map(|it| it.plus(&amount));
                before.amount = sum.unwrap_or(amount).to_json();
            }
            None => taken.push(Taken { id: self.id.clone(), field, amount: amount.to_json() }),
        }
    }
}
