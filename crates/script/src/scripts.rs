//! The pool of workers, and the calls that can be made.

mod pool;
mod process;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use self::pool::{Answer, Class, Job, More, Pool, unexpected};
use crate::{
    DocRows, FunctionKind, Launcher, MapFailure, Program, Rows, ScriptError, ScriptSettings,
    Thrown,
    frame::FrameError,
    limits,
    message::{GroupRows, Operation, Outcome, Request},
};

/// The pool. Cheap to clone. Dropping the last one kills the workers; [`close`](Self::close) also waits.
#[derive(Debug, Clone)]
pub struct Scripts {
    pool: Arc<Owned>,
}

/// Tells the workers when the last handle goes; they hold the pool themselves.
#[derive(Debug)]
struct Owned(Arc<Pool>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}

/// An edit for `validate_doc_update`. Both are JSON with special members.
#[derive(Debug, Clone)]
pub struct ValidateEdit {
    pub new: Bytes,
    /// `None` is `null`.
    pub old: Option<Bytes>,
}

/// What an update function gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The document to store, as JSON; `None` where it gave `null`.
    pub document: Option<Bytes>,
    /// The reply, as a JSON object.
    pub response: Bytes,
}

/// A list function that runs. It has a worker to itself until it ends or is dropped.
#[derive(Debug)]
pub struct List {
    to: Speaker,
}

/// A transaction function that runs. It has a worker to itself until it ends or is dropped.
#[derive(Debug)]
pub struct Transaction {
    to: Speaker,
}

/// What a transaction function does; JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionOutput {
    /// `{"get": id}`, `{"keys": [id, …]}`, `{"prefix": …, "limit": …}`, `{"view": [design, view], "options": {…}}` or
    /// `{"find": {…}}`.
    Asks(Bytes),
    /// `{"writes": [{"id": …, "put": {…}}, {"id": …, "delete": true}], "result": …}`, or
    /// `{"refused": {"reason": …, "detail": …}}`.
    Done(Bytes),
}

/// What is said to a function that runs.
#[derive(Debug)]
struct Speaker {
    more: mpsc::Sender<More>,
    function: String,
}

/// What a list function did since the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOutput {
    /// JSON object with `code`, `headers`, …, where it set them since.
    pub response: Option<Bytes>,
    /// Text to send.
    pub chunk: Bytes,
    /// It wants no more rows.
    pub ended: bool,
}

impl Scripts {
    /// No process is started before the first call.
    pub fn new(launcher: Launcher, settings: ScriptSettings) -> Self {
        Self { pool: Arc::new(Owned(Pool::new(launcher, settings))) }
    }

    /// Ends every worker and waits for it. Calls under way get [`ScriptError::Closed`].
    pub async fn close(&self) {
        self.pool.0.begin_close();
        self.pool.0.closed().await;
    }

    /// Runs all `maps` (sources) on each document, and gives the rows in the documents' order.
    ///
    /// Any number of documents may be given: they are cut into batches of some 50 ms, which run on as
    /// many workers as are free. A function that throws on a document emits nothing for it; one that does not
    /// compile, does not end or takes too much memory fails the call.
    pub async fn map(
        &self,
        program: &Program,
        maps: &[Arc<str>],
        docs: Vec<Bytes>,
    ) -> Result<Vec<DocRows>, ScriptError> {
        let function = format!("a map function of _design/{}", program.design);
        let batches: Vec<_> = batches(&docs, Bytes::len)
            .map(|batch| self.map_batch(program, maps, batch, &function))
            .collect();
        let at_once = self.pool.0.long_max();
        let rows: Vec<Vec<DocRows>> = stream::iter(batches).buffered(at_once).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn map_batch(
        &self,
        program: &Program,
        maps: &[Arc<str>],
        docs: &[Bytes],
        function: &str,
    ) -> Result<Vec<DocRows>, ScriptError> {
        let maps: Vec<&str> = maps.iter().map(|map| &**map).collect();
        if let [doc] = docs
            && doc.len() > limits::INPUT_BYTES_MAX
        {
            let message = format!("the document has more than {} bytes", limits::INPUT_BYTES_MAX);
            let failure = MapFailure { message };
            return Ok(vec![DocRows { maps: vec![Err(failure); maps.len()] }]);
        }
        let encode = |docs: &[Bytes]| {
            let docs = docs.iter().map(|doc| &**doc).collect();
            encode(program, Operation::Map { maps: maps.clone(), docs })
        };
        let take = |outcome| {
            let Outcome::Mapped(rows) = outcome else { return None };
            Some(rows)
        };
        self.in_parts(program, function, docs, encode, take).await
    }

    /// Runs a reduce function (source) on each group; JSON each. One that throws gives `null`, as in CouchDB.
    pub async fn reduce(
        &self,
        program: &Program,
        source: &Arc<str>,
        groups: Vec<Rows>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        let function = format!("a reduce function of _design/{}", program.design);
        let encode = |groups: &[Rows]| {
            let groups = groups.iter();
            let groups = groups.map(|rows| GroupRows { count: rows.count, bytes: &rows.bytes });
            let groups = groups.collect();
            encode(program, Operation::Reduce { source, groups })
        };
        self.values(program, &function, &groups, |rows| rows.bytes.len(), encode).await
    }

    /// Runs a reduce function on earlier results, with `rereduce` true.
    pub async fn rereduce(
        &self,
        program: &Program,
        source: &Arc<str>,
        groups: Vec<Vec<Vec<u8>>>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        let function = format!("a reduce function of _design/{}", program.design);
        let encode = |groups: &[Vec<Vec<u8>>]| {
            let groups =
                groups.iter().map(|values| values.iter().map(|it| &**it).collect()).collect();
            encode(program, Operation::Rereduce { source, groups })
        };
        let bytes = |values: &Vec<Vec<u8>>| values.iter().map(Vec::len).sum();
        self.values(program, &function, &groups, bytes, encode).await
    }

    async fn values<I>(
        &self,
        program: &Program,
        function: &str,
        groups: &[I],
        bytes: impl Fn(&I) -> usize,
        encode: impl Fn(&[I]) -> Result<Vec<u8>, FrameError>,
    ) -> Result<Vec<Vec<u8>>, ScriptError> {
        let mut values = Vec::with_capacity(groups.len());
        for batch in batches(groups, bytes) {
            let take = |outcome| {
                let Outcome::Values(values) = outcome else { return None };
                Some(values)
            };
            let some = self.in_parts(program, function, batch, &encode, take).await?;
            values.extend(some.into_iter().map(Vec::from));
        }
        Ok(values)
    }

    /// Which of the documents `filters.{name}` lets through.
    pub async fn filter(
        &self,
        program: &Program,
        name: &str,
        docs: Vec<Bytes>,
        request: Bytes,
    ) -> Result<Vec<bool>, ScriptError> {
        let function = format!("the filter {name} of _design/{}", program.design);
        let encode = |docs: &[Bytes]| {
            let docs = docs.iter().map(|doc| &**doc).collect();
            encode(program, Operation::Filter { name, request: &request, docs })
        };
        self.flags(program, &function, &docs, encode).await
    }

    /// For which of the documents `views.{view}.map` emits something.
    pub async fn map_filter(
        &self,
        program: &Program,
        view: &str,
        docs: Vec<Bytes>,
    ) -> Result<Vec<bool>, ScriptError> {
        let function = format!("the map function {view} of _design/{}", program.design);
        let encode = |docs: &[Bytes]| {
            let docs = docs.iter().map(|doc| &**doc).collect();
            encode(program, Operation::MapFilter { view, docs })
        };
        self.flags(program, &function, &docs, encode).await
    }

    async fn flags(
        &self,
        program: &Program,
        function: &str,
        docs: &[Bytes],
        encode: impl Fn(&[Bytes]) -> Result<Vec<u8>, FrameError>,
    ) -> Result<Vec<bool>, ScriptError> {
        let mut flags = Vec::with_capacity(docs.len());
        for batch in batches(docs, Bytes::len) {
            let take = |outcome| {
                let Outcome::Flags(flags) = outcome else { return None };
                Some(flags)
            };
            flags.extend(self.in_parts(program, function, batch, &encode, take).await?);
        }
        Ok(flags)
    }

    /// Asks `validate_doc_update` about each edit. `user_ctx` and `security` are JSON.
    pub async fn validate(
        &self,
        program: &Program,
        edits: Vec<ValidateEdit>,
        user_ctx: Bytes,
        security: Bytes,
    ) -> Result<Vec<Result<(), Thrown>>, ScriptError> {
        let function = format!("validate_doc_update of _design/{}", program.design);
        let encode = |edits: &[ValidateEdit]| {
            let edits = edits.iter().map(|edit| (&*edit.new, edit.old.as_deref())).collect();
            let (user_ctx, security) = (&*user_ctx, &*security);
            encode(program, Operation::Validate { user_ctx, security, edits })
        };
        let bytes = |edit: &ValidateEdit| edit.new.len() + edit.old.as_ref().map_or(0, Bytes::len);
        let mut verdicts = Vec::with_capacity(edits.len());
        for batch in batches(&edits, bytes) {
            let take = |outcome| {
                let Outcome::Verdicts(verdicts) = outcome else { return None };
                Some(verdicts)
            };
            verdicts.extend(self.in_parts(program, &function, batch, encode, take).await?);
        }
        Ok(verdicts)
    }

    /// Runs `updates.{name}`.
    pub async fn update(
        &self,
        program: &Program,
        name: &str,
        doc: Option<Bytes>,
        request: Bytes,
    ) -> Result<Updated, ScriptError> {
        let function = format!("the update function {name} of _design/{}", program.design);
        let operation = Operation::Update { name, doc: doc.as_deref(), request: &request };
        let outcome = self.once(program, &function, operation).await?;
        let Outcome::Updated { document, response } = outcome else {
            return Err(unexpected(&function));
        };
        Ok(Updated { document, response })
    }

    /// Runs `shows.{name}`; the reply as a JSON object.
    pub async fn show(
        &self,
        program: &Program,
        name: &str,
        doc: Option<Bytes>,
        request: Bytes,
    ) -> Result<Bytes, ScriptError> {
        let function = format!("the show function {name} of _design/{}", program.design);
        let operation = Operation::Show { name, doc: doc.as_deref(), request: &request };
        let outcome = self.once(program, &function, operation).await?;
        let Outcome::Response(response) = outcome else { return Err(unexpected(&function)) };
        Ok(response)
    }

    /// Starts `lists.{name}`, and runs it until it asks for the first row. `head` is a JSON object.
    pub async fn list(
        &self,
        program: &Program,
        name: &str,
        head: Bytes,
        request: Bytes,
    ) -> Result<(List, ListOutput), ScriptError> {
        let function = format!("the list function {name} of _design/{}", program.design);
        let operation = Operation::List { name, head: &head, request: &request };
        let message = encode(program, operation).map_err(|_| too_large())?;
        let (to, answer) = self.talk(program, function, Class::List, message).await?;
        let output = listed(answer, &to.function)?;
        Ok((List { to }, output))
    }

    /// Starts `transactions.{name}` with JSON arguments, and runs it until it asks for something or ends.
    pub async fn transaction(
        &self,
        program: &Program,
        name: &str,
        arguments: &[u8],
        user_ctx: &[u8],
    ) -> Result<(Transaction, TransactionOutput), ScriptError> {
        let function = format!("the transaction function {name} of _design/{}", program.design);
        let operation = Operation::Transaction { name, arguments, user_ctx };
        let message = encode(program, operation).map_err(|_| too_large())?;
        let (to, answer) = self.talk(program, function, Class::Transaction, message).await?;
        let output = transacted(answer, &to.function)?;
        Ok((Transaction { to }, output))
    }

    /// Runs a `rewrites` that is a function; the rewritten request as a JSON object, or none.
    pub async fn rewrite(
        &self,
        program: &Program,
        request: Bytes,
    ) -> Result<Option<Bytes>, ScriptError> {
        let function = format!("the rewrites of _design/{}", program.design);
        let outcome =
            self.once(program, &function, Operation::Rewrite { request: &request }).await?;
        let Outcome::MaybeResponse(response) = outcome else { return Err(unexpected(&function)) };
        Ok(response)
    }

    /// Calls the function at `path` of the design document with JSON arguments; JSON.
    pub async fn call(
        &self,
        program: &Program,
        path: &[&str],
        arguments: Vec<Bytes>,
    ) -> Result<Bytes, ScriptError> {
        let function = format!("the function {} of _design/{}", path.join("."), program.design);
        let arguments = arguments.iter().map(|it| &**it).collect();
        let operation = Operation::Apply { path: path.to_vec(), arguments };
        let outcome = self.once(program, &function, operation).await?;
        let Outcome::Response(response) = outcome else { return Err(unexpected(&function)) };
        Ok(response)
    }

    /// Whether a source is a function; `name` is for the message alone.
    pub async fn compile(
        &self,
        program: &Program,
        kind: FunctionKind,
        name: &str,
        source: &str,
    ) -> Result<(), ScriptError> {
        let outcome = self.once(program, name, Operation::Compile { kind, source }).await?;
        if outcome == Outcome::Compiled { Ok(()) } else { Err(unexpected(name)) }
    }

    /// A call that has one result.
    async fn once(
        &self,
        program: &Program,
        function: &str,
        operation: Operation<'_>,
    ) -> Result<Outcome, ScriptError> {
        let message = encode(program, operation).map_err(|_| too_large())?;
        match self.send(program, function, Class::Short, message, None).await? {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Listed { .. } | Answer::Asked(_) => Err(unexpected(function)),
        }
    }

    /// A call with a result for each item. The worker does as many as it has time for; the rest
    /// is asked again.
    async fn in_parts<I, T>(
        &self,
        program: &Program,
        function: &str,
        items: &[I],
        encode: impl Fn(&[I]) -> Result<Vec<u8>, FrameError>,
        take: impl Fn(Outcome) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, ScriptError> {
        let mut results = Vec::with_capacity(items.len());
        while results.len() < items.len() {
            let message = encode(&items[results.len()..]).map_err(|_| too_large())?;
            let short = message.len() <= limits::SHORT_INPUT_BYTES;
            let class = if short { Class::Short } else { Class::Long };
            let answer = self.send(program, function, class, message, None).await?;
            let some = match answer {
                Answer::Done(outcome) => take(outcome),
                Answer::Listed { .. } | Answer::Asked(_) => None,
            };
            match some {
                Some(some) if !some.is_empty() && some.len() <= items.len() - results.len() => {
                    results.extend(some);
                }
                Some(_) | None => return Err(unexpected(function)),
            }
        }
        Ok(results)
    }

    /// Starts a function that goes to and fro.
    async fn talk(
        &self,
        program: &Program,
        function: String,
        class: Class,
        message: Vec<u8>,
    ) -> Result<(Speaker, Answer), ScriptError> {
        let (more, receiver) = mpsc::channel(1);
        let answer = self.send(program, &function, class, message, Some(receiver)).await?;
        Ok((Speaker { more, function }, answer))
    }

    async fn send(
        &self,
        program: &Program,
        function: &str,
        class: Class,
        request: Vec<u8>,
        more: Option<mpsc::Receiver<More>>,
    ) -> Result<Answer, ScriptError> {
        let (answer, answered) = oneshot::channel();
        let (program, function) = (program.clone(), function.to_owned());
        self.pool.0.submit(Job {
            class,
            program,
            request,
            function,
            answer,
            more,
            tried: false,
        })?;
        answered.await.unwrap_or(Err(ScriptError::Closed))
    }
}

impl List {
    /// Hands over rows (JSON objects), and runs until the function asks for more or ends.
    pub async fn rows(&mut self, rows: Vec<Bytes>) -> Result<ListOutput, ScriptError> {
        if rows.is_empty() {
            // The function would not notice.
            return Ok(ListOutput { response: None, chunk: Bytes::new(), ended: false });
        }
        self.say(&rows, false).await
    }

    /// Says that there are no more rows.
    pub async fn end(self) -> Result<ListOutput, ScriptError> {
        self.say(&[], true).await
    }

    async fn say(&self, rows: &[Bytes], last: bool) -> Result<ListOutput, ScriptError> {
        let rows = rows.iter().map(|row| &**row).collect();
        listed(self.to.say(&Request::ListRows { rows, last }).await?, &self.to.function)
    }
}

impl Transaction {
    /// Answers what it asked, JSON or what is to be thrown, and runs until it asks for more or ends.
    pub async fn answer(
        &mut self,
        answer: Result<Bytes, Thrown>,
    ) -> Result<TransactionOutput, ScriptError> {
        let answer = answer.as_deref().map_err(Thrown::clone);
        transacted(self.to.say(&Request::Answered { answer }).await?, &self.to.function)
    }
}

impl Speaker {
    async fn say(&self, request: &Request<'_>) -> Result<Answer, ScriptError> {
        let request = request.encode().map_err(|_| too_large())?;
        let (answer, answered) = oneshot::channel();
        let more = More { request, answer };
        self.more.send(more).await.map_err(|_| ScriptError::Closed)?;
        answered.await.unwrap_or(Err(ScriptError::Closed))
    }
}

fn transacted(answer: Answer, function: &str) -> Result<TransactionOutput, ScriptError> {
    match answer {
        Answer::Asked(question) => Ok(TransactionOutput::Asks(question)),
        Answer::Done(Outcome::Response(done)) => Ok(TransactionOutput::Done(done)),
        Answer::Done(_) | Answer::Listed { .. } => Err(unexpected(function)),
    }
}

fn listed(answer: Answer, function: &str) -> Result<ListOutput, ScriptError> {
    match answer {
        Answer::Listed { response, chunk, ended } => Ok(ListOutput { response, chunk, ended }),
        Answer::Done(_) | Answer::Asked(_) => Err(unexpected(function)),
    }
}

fn encode(program: &Program, operation: Operation<'_>) -> Result<Vec<u8>, FrameError> {
    Request::Call { key: program.key(), design: &program.design, operation }.encode()
}

fn too_large() -> ScriptError {
    ScriptError::TooLarge {
        what: "what the function is called with",
        max_bytes: limits::FRAME_BYTES_MAX,
    }
}

/// Cuts items so that each batch has at most so many bytes and items. What is too large alone is
/// alone.
fn batches<I>(items: &[I], bytes: impl Fn(&I) -> usize) -> impl Iterator<Item = &[I]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut sum = 0;
        let fits = rest.iter().take(limits::BATCH_ITEMS_MAX).take_while(|item| {
            sum += bytes(item);
            sum <= limits::BATCH_INPUT_BYTES
        });
        let (batch, more) = rest.split_at(fits.count().max(1));
        rest = more;
        Some(batch)
    })
}
