//! Revisions, asked of one server and sent to the other.

use std::collections::{BTreeMap, HashMap};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    Body, CallError, Couch, Import, Kind, Replications,
    couch::{as_text, to_json},
    stopped::{owned, stopped},
};
use crate::limits::{IMPORT_CHANGES_AT_ONCE, IMPORT_REVISIONS_AT_ONCE};

/// A document, and some of its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaves {
    pub(super) id: String,
    pub(super) revs: Vec<String>,
}

/// A revision that the target did not take, or the source did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) id: String,
    pub(super) reason: String,
}

/// The changes of a database from its beginning, page by page.
pub(super) struct Pages<'a> {
    server: &'a Couch,
    database: &'a str,
    /// `None` behind the last page.
    since: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    results: Vec<Change>,
    last_seq: Value,
}

#[derive(Deserialize)]
struct Change {
    id: String,
    changes: Vec<Leaf>,
}

#[derive(Deserialize)]
struct Leaf {
    rev: String,
}

#[derive(Deserialize)]
struct Diff {
    #[serde(default)]
    missing: Vec<String>,
}

#[derive(Serialize)]
struct BulkGet<'a> {
    docs: Vec<Wanted<'a>>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    id: &'a str,
    rev: &'a str,
}

#[derive(Deserialize)]
struct BulkGot {
    results: Vec<GotDocument>,
}

#[derive(Deserialize)]
struct GotDocument {
    id: String,
    docs: Vec<Got>,
}

#[derive(Deserialize)]
struct Got {
    ok: Option<Box<RawValue>>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    error: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Saved {
    #[serde(default)]
    id: String,
    error: Option<String>,
    #[serde(default)]
    reason: String,
}

impl<'a> Pages<'a> {
    pub(super) fn of(server: &'a Couch, database: &'a str) -> Self {
        Self { server, database, since: Some("0".to_owned()) }
    }

    /// The next documents with all their leaves; none behind the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Leaves>, CallError> {
        let Some(since) = self.since.take() else { return Ok(Vec::new()) };
        let limit = IMPORT_CHANGES_AT_ONCE.to_string();
        let query = [("style", "all_docs"), ("limit", &limit), ("since", &since)];
        let page: Page = self.server.get(&[self.database, "_changes"], &query).await?;
        if page.results.len() == IMPORT_CHANGES_AT_ONCE {
            self.since = Some(as_text(&page.last_seq));
        }
        let leaves = page.results.into_iter().map(|Change { id, changes }| Leaves {
            id,
            revs: changes.into_iter().map(|leaf| leaf.rev).collect(),
        });
        Ok(leaves.collect())
    }
}

/// Which of these revisions a database has never heard of.
pub(super) async fn unknown_to(
    server: &Couch,
    database: &str,
    asked: &[Leaves],
) -> Result<Vec<Leaves>, CallError> {
    // A feed may show a document twice.
    let mut question: BTreeMap<&str, &[String]> = BTreeMap::new();
    for Leaves { id, revs } in asked {
        question.insert(id, revs);
    }
    let path = [database, "_revs_diff"];
    let body = to_json(&question);
    let unknown: HashMap<String, Diff> =
        server.call(Method::POST, &path, &[], Body::Json(&body)).await?;
    let mut unknown: Vec<_> = unknown
        .into_iter()
        .map(|(id, diff)| Leaves { id, revs: diff.missing })
        .filter(|leaves| !leaves.revs.is_empty())
        .collect();
    unknown.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(unknown)
}

impl Import {
    /// Copies what the target does not have of a database. What is refused is found by the comparison.
    pub(super) async fn copy_all(&self, database: &str, kind: Kind) -> Result<(), CallError> {
        let mut pages = Pages::of(&self.source, database);
        loop {
            let mut page = pages.next().await?;
            if page.is_empty() {
                return Ok(());
            }
            page.retain(|leaves| !kind.has_builtin(&leaves.id));
            let missing = unknown_to(&self.target, database, &page).await?;
            for some in missing.chunks(IMPORT_REVISIONS_AT_ONCE) {
                self.copy(database, kind, some).await?;
            }
        }
    }

    /// Copies these leaves, and says what was refused and why.
    ///
    /// Where a request is refused as a whole it is cut in halves, until what it was refused for
    /// stands alone.
    pub(super) async fn copy(
        &self,
        database: &str,
        kind: Kind,
        leaves: &[Leaves],
    ) -> Result<Vec<Refusal>, CallError> {
        let mut refusals = Vec::new();
        let mut rest: Vec<&[Leaves]> = leaves.chunks(IMPORT_REVISIONS_AT_ONCE).rev().collect();
        while let Some(some) = rest.pop() {
            match self.copy_at_once(database, kind, some).await {
                Ok(refused) => refusals.extend(refused),
                Err(error) if !is_about_its_content(&error) => return Err(error),
                Err(error) => match some {
                    [Leaves { id, .. }] => {
                        refusals.push(Refusal { id: id.clone(), reason: error.in_full() });
                    }
                    _ => {
                        let (first, second) = some.split_at(some.len() / 2);
                        rest.extend([second, first]);
                    }
                },
            }
        }
        Ok(refusals)
    }

    async fn copy_at_once(
        &self,
        database: &str,
        kind: Kind,
        leaves: &[Leaves],
    ) -> Result<Vec<Refusal>, CallError> {
        let mut docs = Vec::new();
        for Leaves { id, revs } in leaves {
            docs.extend(revs.iter().map(|rev| Wanted { id, rev }));
        }
        let query = [("revs", "true"), ("attachments", "true")];
        let (path, body) = ([database, "_bulk_get"], to_json(&BulkGet { docs }));
        let got: BulkGot = self.source.call(Method::POST, &path, &query, Body::Json(&body)).await?;
        let mut refusals = Vec::new();
        let mut body = b"{\"new_edits\":false,\"docs\":[".to_vec();
        let empty = body.len();
        for GotDocument { id, docs } in got.results {
            for Got { ok, error } in docs {
                if let Some(document) = ok {
                    if body.len() > empty {
                        body.push(b',');
                    }
                    body.extend_from_slice(&self.arranged(kind, document.get().as_bytes()));
                } else {
                    let reason = error.map(|it| format!("{}: {}", it.error, it.reason));
                    let reason = reason.unwrap_or_else(|| "it is not there any more".to_owned());
                    refusals.push(Refusal { id: id.clone(), reason });
                }
            }
        }
        if body.len() == empty {
            return Ok(refusals);
        }
        body.extend_from_slice(b"]}");
        let path = [database, "_bulk_docs"];
        let saved: Vec<Saved> =
            self.target.call(Method::POST, &path, &[], Body::Json(&body)).await?;
        refusals.extend(saved.into_iter().filter_map(|Saved { id, error, reason }| {
            Some(Refusal { id, reason: format!("{}: {reason}", error?) })
        }));
        Ok(refusals)
    }

    /// The document as it is sent on.
    fn arranged(&self, kind: Kind, document: &[u8]) -> Vec<u8> {
        match (kind, self.wanted.replications) {
            (Kind::Documents | Kind::Users, _) => document.to_vec(),
            (Kind::Replications, Replications::Stopped) => stopped(document, &self.owner),
            (Kind::Replications, Replications::Started | Replications::Left) => {
                owned(document, &self.owner)
            }
        }
    }
}

/// Whether less might be taken where this much was refused.
fn is_about_its_content(error: &CallError) -> bool {
    match error {
        CallError::Refused { status, .. } => matches!(status, 400 | 412 | 413 | 417),
        CallError::TooLong { .. } | CallError::Garbled { .. } => true,
        CallError::Unreachable { .. } => false,
    }
}
