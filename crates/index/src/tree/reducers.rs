//! The reducers of a tree, and what they make of segments.
//!
//! A partial of a built-in reducer is what `settle_query::reduce` makes. One of a function is a byte
//! and then: 0, the JSON that it gave; 1, the error that it threw and the reason, each behind its
//! length. So a function that fails on some rows (CouchDB's `reduce_overflow_error`) costs the
//! queries that meet these rows an error, and never stops the index.

use std::sync::Arc;

use settle_query::{design::ReduceSource, reduce::Native};
use settle_script::{Program, Rows, ScriptError, Scripts, Thrown};

use super::{
    element::{Content, Element},
    error::TreeError,
    record::{self, Reader, put_bytes},
};

/// What a tree keeps partial reductions for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reducers {
    list: Arc<[ReduceSource]>,
    /// What runs those in JavaScript.
    scripts: Option<(Scripts, Program)>,
}

/// A part of what a function reduces, in key order with its neighbours.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Rows(Rows),
    Partial(Vec<u8>),
}

const IS_RESULT: u8 = 0;
const IS_FAILURE: u8 = 1;

impl Reducers {
    /// `scripts` may be `None` where none of the reducers is in JavaScript.
    pub fn new(list: Arc<[ReduceSource]>, scripts: Option<(Scripts, Program)>) -> Self {
        Self { list, scripts }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn get(&self, reducer: usize) -> Result<&ReduceSource, TreeError> {
        self.list.get(reducer).ok_or(TreeError::Malformed { reason: "there is no such reducer" })
    }

    /// Whether [`natively`](Self::natively) is all that is needed.
    pub(super) fn are_native(&self) -> bool {
        self.list.iter().all(|source| match source {
            ReduceSource::Native(_) => true,
            ReduceSource::Script(_) => false,
        })
    }

    /// The partials of one segment, where no reducer is in JavaScript; for those that are, nothing.
    pub(super) fn natively(&self, elements: &[Element]) -> Result<Vec<Vec<u8>>, TreeError> {
        let partials = self.list.iter().enumerate().map(|(index, source)| match source {
            ReduceSource::Native(native) => native_partial(*native, index, elements),
            ReduceSource::Script(_) => Ok(Vec::new()),
        });
        partials.collect()
    }

    /// The partials of several segments, for each reducer; functions are called for all at once.
    pub(super) async fn partials(
        &self,
        segments: &[&[Element]],
    ) -> Result<Vec<Vec<Vec<u8>>>, TreeError> {
        let mut all = Vec::with_capacity(segments.len());
        for elements in segments {
            all.push(self.natively(elements)?);
        }
        for (index, source) in self.list.iter().enumerate() {
            let ReduceSource::Script(source) = source else { continue };
            let mut groups = Vec::with_capacity(segments.len());
            for elements in segments {
                groups.push(pieces(index, elements)?);
            }
            for (partials, partial) in all.iter_mut().zip(self.fold(source, groups).await?) {
                partials[index] = partial;
            }
        }
        Ok(all)
    }

    /// What a function makes of each group; a group has at least one piece.
    pub(super) async fn fold(
        &self,
        source: &Arc<str>,
        mut groups: Vec<Vec<Piece>>,
    ) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut rows = Vec::new();
        for piece in groups.iter_mut().flatten() {
            if let Piece::Rows(of_piece) = piece {
                rows.push(std::mem::take(of_piece));
            }
        }
        let mut reduced = self.each(source, Groups::Reduce(rows)).await?.into_iter();
        let mut results: Vec<Vec<u8>> = Vec::with_capacity(groups.len());
        let mut again = Vec::new();
        let mut again_at = Vec::new();
        for (at, group) in groups.into_iter().enumerate() {
            let mut partials = Vec::with_capacity(group.len());
            for piece in group {
                partials.push(match piece {
                    Piece::Rows(_) => reduced.next().expect("a result for each call"),
                    Piece::Partial(partial) => partial,
                });
            }
            let failure = partials.iter().position(|it| it.first() == Some(&IS_FAILURE));
            match failure {
                Some(failure) => results.push(partials.swap_remove(failure)),
                None if partials.len() == 1 => results.extend(partials.pop()),
                None => {
                    let json = partials.iter().map(|it| it.get(1..).unwrap_or_default().to_vec());
                    again.push(json.collect::<Vec<_>>());
                    again_at.push(at);
                    results.push(Vec::new());
                }
            }
        }
        let again = self.each(source, Groups::Rereduce(again)).await?;
        for (at, result) in again_at.into_iter().zip(again) {
            results[at] = result;
        }
        Ok(results)
    }

    /// One call for all groups; where a group makes it fail, halves of them, until it is found.
    async fn each(&self, source: &Arc<str>, groups: Groups) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut results = Vec::with_capacity(groups.len());
        if groups.len() == 0 {
            return Ok(results);
        }
        let (scripts, program) =
            self.scripts.as_ref().ok_or(TreeError::Script(ScriptError::Closed))?;
        // A stack: what is run next is its last.
        let mut waiting = vec![groups];
        while let Some(mut part) = waiting.pop() {
            match part.clone().run(scripts, program, source).await {
                Ok(done) => results.extend(done.iter().map(|json| succeeded(json))),
                Err(error) if part.len() == 1 => results.push(failed(&of_these_rows(error)?)),
                Err(error) => {
                    of_these_rows(error)?;
                    let second = part.split();
                    waiting.push(second);
                    waiting.push(part);
                }
            }
        }
        Ok(results)
    }
}

/// What a function is called for.
#[derive(Debug, Clone)]
enum Groups {
    Reduce(Vec<Rows>),
    /// Results in JSON.
    Rereduce(Vec<Vec<Vec<u8>>>),
}

impl Groups {
    fn len(&self) -> usize {
        match self {
            Self::Reduce(groups) => groups.len(),
            Self::Rereduce(groups) => groups.len(),
        }
    }

    /// Takes the second half out.
    fn split(&mut self) -> Self {
        let half = self.len() / 2;
        match self {
            Self::Reduce(groups) => Self::Reduce(groups.split_off(half)),
            Self::Rereduce(groups) => Self::Rereduce(groups.split_off(half)),
        }
    }

    async fn run(
        self,
        scripts: &Scripts,
        program: &Program,
        source: &Arc<str>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        match self {
            Self::Reduce(groups) => scripts.reduce(program, source, groups).await,
            Self::Rereduce(groups) => scripts.rereduce(program, source, groups).await,
        }
    }
}

/// What is wrong with a function on just these rows; other failures concern the whole call.
fn of_these_rows(error: ScriptError) -> Result<Thrown, TreeError> {
    match error {
        ScriptError::Thrown(thrown) => Ok(thrown),
        error @ (ScriptError::TooLarge { .. } | ScriptError::BadResult { .. }) => {
            Ok(Thrown { error: "reduce_error".to_owned(), reason: error.to_string() })
        }
        error @ (ScriptError::Compilation { .. }
        | ScriptError::Missing { .. }
        | ScriptError::Deadline { .. }
        | ScriptError::Memory { .. }
        | ScriptError::Died { .. }
        | ScriptError::Busy
        | ScriptError::Closed
        | ScriptError::Launch(_)) => Err(error.into()),
    }
}

fn succeeded(json: &[u8]) -> Vec<u8> {
    [&[IS_RESULT], json].concat()
}

fn failed(thrown: &Thrown) -> Vec<u8> {
    let mut partial = vec![IS_FAILURE];
    put_bytes(&mut partial, thrown.error.as_bytes());
    put_bytes(&mut partial, thrown.reason.as_bytes());
    partial
}

/// What clients see of a function's partial.
pub(super) fn result_of(partial: &[u8]) -> Result<&[u8], TreeError> {
    match partial.split_first() {
        Some((&IS_RESULT, json)) => Ok(json),
        Some((&IS_FAILURE, failure)) => {
            let mut reader = Reader { payload: failure, at: 0 };
            let (error, reason) = (reader.bytes()?, reader.bytes()?);
            let text = |range| String::from_utf8_lossy(&failure[range]).into_owned();
            let thrown = Thrown { error: text(error), reason: text(reason) };
            Err(ScriptError::Thrown(thrown).into())
        }
        _ => Err(TreeError::Malformed { reason: "a partial of a function is none" }),
    }
}

fn native_partial(
    native: Native,
    reducer: usize,
    elements: &[Element],
) -> Result<Vec<u8>, TreeError> {
    let is_rows = elements.first().is_some_and(Element::is_row);
    if is_rows {
        Ok(native.reduce(elements.iter().filter_map(Element::json)))
    } else {
        let partials: Result<Vec<&[u8]>, TreeError> =
            elements.iter().map(|element| element.partial(reducer)).collect();
        Ok(native.combine(partials?))
    }
}

fn pieces(reducer: usize, elements: &[Element]) -> Result<Vec<Piece>, TreeError> {
    let mut rows = Rows::default();
    let mut pieces = Vec::new();
    for element in elements {
        match &element.content {
            Content::Row { payload, parts } => {
                let id = element.id(payload, parts)?;
                rows.push(&payload[parts.key.clone()], &id, &payload[parts.value.clone()]);
            }
            Content::Entry { partials } => {
                pieces.push(Piece::Partial(record::partial(partials, reducer)?.to_vec()));
            }
            Content::Unread => {}
        }
    }
    if !rows.is_empty() {
        pieces.push(Piece::Rows(rows));
    }
    Ok(pieces)
}
