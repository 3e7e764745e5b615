//! The pool of workers, and the calls that can be made.

use std::sync::Arc;

use bytes::Bytes;

use crate::{DocRows, Launcher, Program, Rows, ScriptError, ScriptSettings, Thrown};

/// The pool. Cheap to clone. Dropping the last one kills the workers; [`close`](Self::close) waits.
#[derive(Debug, Clone)]
pub struct Scripts {
    _inner: Arc<()>,
}

/// An edit for `validate_doc_update`. Both are JSON with special members.
#[derive(Debug, Clone)]
pub struct ValidateEdit {
    pub new: Bytes,
    /// `None` is `null`.
    pub old: Option<Bytes>,
}

/// What an update function gave back.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The document to store, as JSON; `None` where it gave `null`.
    pub document: Option<Bytes>,
    /// The reply, as a JSON object.
    pub response: Bytes,
}

/// A list function that runs. It has a worker to itself until it ends or is dropped.
#[derive(Debug)]
pub struct List {
    _inner: (),
}

/// What a list function did since the last time.
#[derive(Debug, Clone)]
pub struct ListOutput {
    /// JSON object with `code`, `headers`, …, where it set them since.
    pub response: Option<Bytes>,
    /// Text to send.
    pub chunk: Bytes,
    /// It wants no more rows.
    pub ended: bool,
}

impl Scripts {
    pub fn new(_launcher: Launcher, _settings: ScriptSettings) -> Self {
        unimplemented!()
    }

    /// Ends every worker and waits for it. Calls under way get [`ScriptError::Closed`].
    pub async fn close(&self) {
        unimplemented!()
    }

    /// Runs all `maps` (sources) on each document, and gives the rows in the documents' order.
    ///
    /// Any number of documents may be given: they are cut into batches of some 50 ms, which run on as
    /// many workers as are free. A function that throws on a document emits nothing for it; one that does not
    /// compile, does not end or takes too much memory fails the call.
    pub async fn map(
        &self,
        _program: &Program,
        _maps: &[Arc<str>],
        _docs: Vec<Bytes>,
    ) -> Result<Vec<DocRows>, ScriptError> {
        unimplemented!()
    }

    /// Runs a reduce function (source) on each group; JSON each. One that throws gives `null`, as in CouchDB.
    pub async fn reduce(
        &self,
        _program: &Program,
        _source: &Arc<str>,
        _groups: Vec<Rows>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        unimplemented!()
    }

    /// Runs a reduce function on earlier results, with `rereduce` true.
    pub async fn rereduce(
        &self,
        _program: &Program,
        _source: &Arc<str>,
        _groups: Vec<Vec<Vec<u8>>>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        unimplemented!()
    }

    /// Which of the documents `filters.{name}` lets through.
    pub async fn filter(
        &self,
        _program: &Program,
        _name: &str,
        _docs: Vec<Bytes>,
        _request: Bytes,
    ) -> Result<Vec<bool>, ScriptError> {
        unimplemented!()
    }

    /// For which of the documents `views.{view}.map` emits something.
    pub async fn map_filter(
        &self,
        _program: &Program,
        _view: &str,
        _docs: Vec<Bytes>,
    ) -> Result<Vec<bool>, ScriptError> {
        unimplemented!()
    }

    /// Asks `validate_doc_update` about each edit.
    pub async fn validate(
        &self,
        _program: &Program,
        _edits: Vec<ValidateEdit>,
        _user_ctx: Bytes,
        _security: Bytes,
    ) -> Result<Vec<Result<(), Thrown>>, ScriptError> {
        unimplemented!()
    }

    /// Runs `updates.{name}`.
    pub async fn update(
        &self,
        _program: &Program,
        _name: &str,
        _doc: Option<Bytes>,
        _request: Bytes,
    ) -> Result<Updated, ScriptError> {
        unimplemented!()
    }

    /// Runs `shows.{name}`; the reply as a JSON object.
    pub async fn show(
        &self,
        _program: &Program,
        _name: &str,
        _doc: Option<Bytes>,
        _request: Bytes,
    ) -> Result<Bytes, ScriptError> {
        unimplemented!()
    }

    /// Starts `lists.{name}` and runs it until it asks for the first row.
    pub async fn list(
        &self,
        _program: &Program,
        _name: &str,
        _head: Bytes,
        _request: Bytes,
    ) -> Result<(List, ListOutput), ScriptError> {
        unimplemented!()
    }

    /// Runs a `rewrites` that is a function; the rewritten request as a JSON object, or none.
    pub async fn rewrite(
        &self,
        _program: &Program,
        _request: Bytes,
    ) -> Result<Option<Bytes>, ScriptError> {
        unimplemented!()
    }

    /// Calls the function at `path` of the design document with JSON arguments; JSON.
    pub async fn call(
        &self,
        _program: &Program,
        _path: &[&str],
        _arguments: Vec<Bytes>,
    ) -> Result<Bytes, ScriptError> {
        unimplemented!()
    }
}

impl List {
    /// Hands over rows (JSON objects), and runs until the function asks for more or ends.
    pub async fn rows(&mut self, _rows: Vec<Bytes>) -> Result<ListOutput, ScriptError> {
        unimplemented!()
    }

    /// Says that there are no more rows.
    pub async fn end(self) -> Result<ListOutput, ScriptError> {
        unimplemented!()
    }
}
