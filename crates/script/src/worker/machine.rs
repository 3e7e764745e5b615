//! One runtime: the functions of one design document of one database.
//!
//! What the functions find around them is written in JavaScript, in `prelude.js`; here is what that
//! needs of the worker, and the calls. After a function has been interrupted or has run out of memory,
//! its runtime is not used again.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use rquickjs::{
    Array, Context, Ctx, Error, Exception, FromJs, Function, Object, Persistent,
    Result as JsResult, Runtime, String as JsString, Value,
    context::{EvalOptions, intrinsic},
    function::{Args, Opt},
};

use super::{
    channel::{Channel, cut},
    clock,
    text::Texts,
    values::{Freezer, Values},
};
use crate::{
    FunctionKind, ReduceLimit, Thrown,
    frame::FrameError,
    limits,
    message::{Failure, GroupRows, Hello, Outcome, ProgramKey},
};

const PRELUDE: &str = include_str!("prelude.js");

/// Evaluates a source in a scope that has the helpers, and nothing else of the prelude.
const WRAP: &str = "(function (emit, sum, log, toJSON, isArray, require, provides, registerType, \
     start, send, getRow) { return eval(arguments[11]); })";

/// Globals that would let a function measure or share what it should not.
const ABSENT: &[&str] = &["Atomics", "SharedArrayBuffer", "performance", "queueMicrotask"];

type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
    intrinsic::WeakRef,
);

/// A design document of one database, ready to be called.
pub(super) struct Machine {
    pub(super) key: ProgramKey,
    // Values go before the runtime that they are in.
    prelude: Persistent<Object<'static>>,
    seal: Persistent<Function<'static>>,
    freeze: Persistent<Function<'static>>,
    context: Context,
    runtime: Runtime,
    watch: Rc<Watch>,
    emitted: Rc<RefCell<Emitted>>,
    channel: Channel,
    limits: Hello,
    calls: u32,
}

/// The soft deadline.
#[derive(Debug, Default)]
struct Watch {
    running: Cell<Running>,
    interrupted: Cell<bool>,
}

/// Most functions end before the engine asks for the first time, and cost no look at a clock.
#[derive(Debug, Clone, Copy, Default)]
enum Running {
    #[default]
    Nothing,
    /// May run this long from when the engine asks for the first time.
    Fresh(Duration),
    Until(Duration),
}

/// Rows in the form in which they are sent.
#[derive(Debug, Default)]
struct Emitted {
    bytes: Vec<u8>,
    rows: u32,
    /// Where the rows of this document begin, while a map function runs.
    open_from: Option<usize>,
    overflowed: bool,
}

/// What a batch of map calls gave.
pub(super) struct Mapped {
    pub(super) docs: usize,
    pub(super) rows: Vec<u8>,
}

impl Machine {
    pub(super) fn new(
        key: ProgramKey,
        design: &str,
        source: &[u8],
        limits: Hello,
        channel: Channel,
    ) -> Result<Self, Failure> {
        let start = || -> JsResult<(Runtime, Context)> {
            let runtime = Runtime::new()?;
            let bytes = usize::try_from(limits.runtime_bytes_max).unwrap_or(usize::MAX);
            runtime.set_memory_limit(bytes);
            runtime.set_max_stack_size(limits::STACK_BYTES);
            let context = Context::custom::<Intrinsics>(&runtime)?;
            Ok((runtime, context))
        };
        let (runtime, context) = start().map_err(|_| Failure::Memory)?;
        let watch = Rc::<Watch>::default();
        let watched = Rc::clone(&watch);
        runtime.set_interrupt_handler(Some(Box::new(move || watched.is_late())));
        let emitted = Rc::<RefCell<Emitted>>::default();
        let id = format!("_design/{design}");
        let source: Rc<[u8]> = source.into();
        let native = Native {
            emitted: Rc::clone(&emitted),
            channel: channel.clone(),
            watch: Rc::clone(&watch),
            deadline: Duration::from_millis(limits.deadline_ms.into()),
            source,
            id: id.into(),
        };
        let made = context.with(|ctx| {
            let made = native.install(&ctx).and_then(|prelude| {
                let object: Object<'_> = ctx.globals().get("Object")?;
                Ok((
                    Persistent::save(&ctx, prelude),
                    Persistent::save(&ctx, object.get::<_, Function<'_>>("preventExtensions")?),
                    Persistent::save(&ctx, object.get::<_, Function<'_>>("freeze")?),
                ))
            });
            made.map_err(|_| Failure::Memory)
        });
        let (prelude, seal, freeze) = made?;
        let calls = 0;
        Ok(Self {
            key,
            prelude,
            seal,
            freeze,
            context,
            runtime,
            watch,
            emitted,
            channel,
            limits,
            calls,
        })
    }

    /// Bytes that it takes; slow.
    pub(super) fn memory_bytes(&self) -> usize {
        usize::try_from(self.runtime.memory_usage().malloc_size).unwrap_or(0)
    }

    /// How many calls it has had.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.limits.deadline_ms.into())
    }

    /// Runs something in the context, and says what went wrong in words.
    fn run<T>(
        &mut self,
        call: impl for<'js> FnOnce(&Ctx<'js>, &Call<'_, 'js>) -> Result<T, Wrong>,
    ) -> Result<T, Failure> {
        self.calls = self.calls.wrapping_add(1);
        self.watch.begin(self.deadline());
        let outcome = self.context.with(|ctx| {
            let restored = (|| -> JsResult<Call<'_, '_>> {
                let freezer = Freezer {
                    seal: self.seal.clone().restore(&ctx)?,
                    freeze: self.freeze.clone().restore(&ctx)?,
                };
                let prelude = self.prelude.clone().restore(&ctx)?;
                let texts = Texts::new(&ctx);
                Ok(Call { prelude, texts, freezer, machine: self })
            })();
            let outcome = match restored {
                Ok(made) => match call(&ctx, &made) {
                    Ok(value) => Ok(value),
                    Err(Wrong::Failure(failure)) => Err(failure),
                    Err(Wrong::Js(error)) => Err(made.failure(&ctx, &error)),
                },
                Err(_) => Err(Failure::Memory),
            };
            self.watch.end();
            outcome
        });
        // Promises have nothing to wait for, and must not gather.
        self.watch.begin(Duration::from_millis(10));
        while let Ok(true) = self.runtime.execute_pending_job() {}
        self.watch.end();
        outcome
    }

    pub(super) fn map(&mut self, maps: &[&str], docs: &[&[u8]]) -> Result<Mapped, Failure> {
        *self.emitted.borrow_mut() = Emitted::default();
        let docs = self.run(|ctx, call| {
            let functions = call.compiled("map", maps)?;
            let mut values = Values::new(ctx);
            let started = clock::now();
            let mut done = 0;
            for doc in docs {
                call.machine.watch.begin(call.machine.deadline());
                call.map_one(ctx, &mut values, &functions, doc)?;
                done += 1;
                if call.machine.emitted.borrow().bytes.len() > limits::BATCH_OUTPUT_BYTES
                    || clock::now() - started > limits::BATCH_TIME
                {
                    break;
                }
            }
            Ok(done)
        });
        let rows = std::mem::take(&mut self.emitted.borrow_mut().bytes);
        self.emitted.borrow_mut().open_from = None;
        Ok(Mapped { docs: docs?, rows })
    }

    pub(super) fn reduce(
        &mut self,
        source: &str,
        groups: &[GroupRows<'_>],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let reducer = call.compiled("reduce", &[source])?.remove(0);
            call.items(groups, |group| {
                let keys = Array::new(ctx.clone())?;
                let values = Array::new(ctx.clone())?;
                let mut made = Values::new(ctx);
                let mut input = 0;
                for (index, (key, id, value)) in group.rows()?.into_iter().enumerate() {
                    input += key.len() + id.len() + value.len() + 8;
                    let pair = Array::new(ctx.clone())?;
                    pair.set(0, made.make(key)?)?;
                    pair.set(1, JsString::from_str(ctx.clone(), id)?)?;
                    keys.set(index, pair)?;
                    values.set(index, made.make(value)?)?;
                }
                call.reduce_one(ctx, &reducer, keys.into_value(), values, input)
            })
            .map(Outcome::Values)
        })
    }

    pub(super) fn rereduce(
        &mut self,
        source: &str,
        groups: &[Vec<&[u8]>],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let reducer = call.compiled("reduce", &[source])?.remove(0);
            call.items(groups, |group| {
                let values = Array::new(ctx.clone())?;
                let mut made = Values::new(ctx);
                let mut input = 0;
                for (index, value) in group.iter().enumerate() {
                    input += value.len() + 1;
                    values.set(index, made.make(value)?)?;
                }
                call.reduce_one(ctx, &reducer, Value::new_null(ctx.clone()), values, input)
            })
            .map(Outcome::Values)
        })
    }

    pub(super) fn filter(
        &mut self,
        name: &str,
        request: &[u8],
        docs: &[&[u8]],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let request = values.make(request)?;
            let filter = call.function("filter")?;
            call.items(docs, |doc| {
                let doc = values.make(doc)?;
                Ok(filter.call::<_, bool>((name, doc, request.clone()))?)
            })
            .map(Outcome::Flags)
        })
    }

    pub(super) fn map_filter(&mut self, view: &str, docs: &[&[u8]]) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let filter = call.function("mapFilter")?;
            call.items(docs, |doc| {
                let doc = values.make(doc)?;
                Ok(filter.call::<_, bool>((view, doc))?)
            })
            .map(Outcome::Flags)
        })
    }

    pub(super) fn validate(
        &mut self,
        user_ctx: &[u8],
        security: &[u8],
        edits: &[(&[u8], Option<&[u8]>)],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let validate = call.function("validate")?;
            call.items(edits, |(new, old)| {
                let new = values.make(new)?;
                let old = values.make(old.unwrap_or(b"null"))?;
                let (user_ctx, security) = (values.make(user_ctx)?, values.make(security)?);
                let verdict: Option<Vec<String>> =
                    validate.call::<_, Option<Vec<String>>>((new, old, user_ctx, security))?;
                Ok(match verdict {
                    None => Ok(()),
                    Some(pair) => Err(thrown(pair)),
                })
            })
            .map(Outcome::Verdicts)
        })
    }

    pub(super) fn update(
        &mut self,
        name: &str,
        doc: Option<&[u8]>,
        request: &[u8],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let doc = values.make(doc.unwrap_or(b"null"))?;
            let request = values.make(request)?;
            let pair: Array<'_> = call.function("update")?.call((name, doc, request))?;
            let document = call.texts.text(&pair.get(0)?)?.filter(|text| text != b"null");
            Ok(Outcome::Updated {
                document: document.map(Bytes::from),
                response: call.response(&pair.get(1)?)?,
            })
        })
    }

    pub(super) fn show(
        &mut self,
        name: &str,
        doc: Option<&[u8]>,
        request: &[u8],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let doc = values.make(doc.unwrap_or(b"null"))?;
            let request = values.make(request)?;
            let response: Value<'_> = call.function("show")?.call((name, doc, request))?;
            Ok(Outcome::Response(call.response(&response)?))
        })
    }

    /// The response that was set since the last row, and the last text.
    pub(super) fn list(
        &mut self,
        name: &str,
        head: &[u8],
        request: &[u8],
    ) -> Result<(Option<Bytes>, Bytes), Failure> {
        self.channel.begin_rows();
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let (head, request) = (values.make(head)?, values.make(request)?);
            let pair: Array<'_> = call.function("list")?.call((name, head, request))?;
            let response = call.texts.text(&pair.get(0)?)?.map(Bytes::from);
            let chunk = utf8(&pair.get::<JsString<'_>>(1)?)?;
            Ok((response, chunk.into()))
        })
    }

    pub(super) fn rewrite(&mut self, request: &[u8]) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let request = Values::new(ctx).make(request)?;
            let response: Value<'_> = call.function("rewrite")?.call((request,))?;
            Ok(Outcome::MaybeResponse(call.texts.text(&response)?.map(Bytes::from)))
        })
    }

    pub(super) fn apply(&mut self, path: &[&str], arguments: &[&[u8]]) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let array = Array::new(ctx.clone())?;
            for (index, argument) in arguments.iter().enumerate() {
                array.set(index, values.make(argument)?)?;
            }
            let result: Value<'_> = call.function("apply")?.call((path.to_vec(), array))?;
            let text = call.texts.text(&result)?.unwrap_or_else(|| b"null".to_vec());
            Ok(Outcome::Response(text.into()))
        })
    }

    /// What is to be written, and what the function gave back or why it refused.
    pub(super) fn transaction(
        &mut self,
        name: &str,
        arguments: &[u8],
        user_ctx: &[u8],
    ) -> Result<Outcome, Failure> {
        self.run(|ctx, call| {
            let mut values = Values::new(ctx);
            let (arguments, user_ctx) = (values.make(arguments)?, values.make(user_ctx)?);
            let done: Value<'_> =
                call.function("transaction")?.call((name, arguments, user_ctx))?;
            Ok(Outcome::Response(call.response(&done)?))
        })
    }

    pub(super) fn compile(&mut self, kind: FunctionKind, source: &str) -> Result<Outcome, Failure> {
        self.run(|_, call| {
            call.compiled(kind.name(), &[source])?;
            Ok(Outcome::Compiled)
        })
    }
}

/// What went wrong while a call ran.
enum Wrong {
    Js(Error),
    Failure(Failure),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Js(error)
    }
}

impl From<FrameError> for Wrong {
    fn from(error: FrameError) -> Self {
        Self::Failure(Failure::BadResult(format!("was called with a damaged message: {error}")))
    }
}

/// What every call needs.
struct Call<'m, 'js> {
    prelude: Object<'js>,
    texts: Texts<'js>,
    freezer: Freezer<'js>,
    machine: &'m Machine,
}

impl<'js> Call<'_, 'js> {
    fn function(&self, name: &str) -> JsResult<Function<'js>> {
        self.prelude.get(name)
    }

    fn compiled(&self, kind: &str, sources: &[&str]) -> JsResult<Vec<Function<'js>>> {
        let compiled = self.function("compiled")?;
        sources.iter().map(|&source| compiled.call((kind, source))).collect()
    }

    /// Works on as many items as there is time for, each with a deadline of its own.
    fn items<I, T>(
        &self,
        items: &[I],
        mut work: impl FnMut(&I) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let started = clock::now();
        let mut done = Vec::with_capacity(items.len());
        for item in items {
            self.machine.watch.begin(self.machine.deadline());
            done.push(work(item)?);
            if clock::now() - started > limits::BATCH_TIME {
                break;
            }
        }
        Ok(done)
    }

    /// One document through all map functions, into the rows to send.
    fn map_one(
        &self,
        ctx: &Ctx<'js>,
        values: &mut Values<'js>,
        functions: &[Function<'js>],
        doc: &[u8],
    ) -> Result<(), Wrong> {
        let doc = values.make_frozen(doc, &self.freezer)?;
        let emitted = &self.machine.emitted;
        let count = u32::try_from(functions.len()).unwrap_or(u32::MAX);
        let doc_start = {
            let mut emitted = emitted.borrow_mut();
            emitted.bytes.extend_from_slice(&count.to_le_bytes());
            emitted.bytes.len()
        };
        for function in functions {
            let start = emitted.borrow_mut().open(doc_start);
            let mut args = Args::new(ctx.clone(), 1);
            args.push_arg(doc.clone())?;
            let called = function.call_arg::<Value<'js>>(args);
            let overflowed = emitted.borrow().overflowed;
            let message = match called {
                Ok(_) if !overflowed => {
                    emitted.borrow_mut().close(start);
                    continue;
                }
                Ok(_) => "emitted too many bytes".to_owned(),
                Err(error) => self.lesser(ctx, &error)?,
            };
            let id = doc.as_object().and_then(|doc| doc.get::<_, String>("_id").ok());
            let message = match id {
                Some(id) => format!("{message} with doc._id {id}"),
                None => message,
            };
            emitted.borrow_mut().fail(start, &message);
        }
        Ok(())
    }

    /// What a map function threw, in words, unless it must fail the call.
    fn lesser(&self, ctx: &Ctx<'js>, error: &Error) -> Result<String, Wrong> {
        let caught = self.caught(ctx, error)?;
        let text: String = self.function("lesserText")?.call((caught,))?;
        Ok(text)
    }

    /// What was thrown; or that it was not the function's to throw.
    fn caught(&self, ctx: &Ctx<'js>, error: &Error) -> Result<Value<'js>, Wrong> {
        let caught = if error.is_exception() {
            ctx.catch()
        } else {
            Exception::from_message(ctx.clone(), &error.to_string())?.into_object().into_value()
        };
        if self.machine.watch.interrupted.get() {
            return Err(Wrong::Failure(Failure::Deadline));
        }
        if is_out_of_memory(&caught) {
            return Err(Wrong::Failure(Failure::Memory));
        }
        Ok(caught)
    }

    fn reduce_one(
        &self,
        ctx: &Ctx<'js>,
        reducer: &Function<'js>,
        keys: Value<'js>,
        values: Array<'js>,
        input: usize,
    ) -> Result<Bytes, Wrong> {
        let again = keys.is_null();
        let reduce = self.function("reduce")?;
        let result: Value<'js> = match reduce.call((reducer.clone(), keys, values, again)) {
            Ok(result) => result,
            Err(error) => {
                // The prelude catches what may be caught.
                let caught = self.caught(ctx, &error)?;
                return Err(Wrong::Js(ctx.throw(caught)));
            }
        };
        let text = self.texts.text(&result)?.unwrap_or_else(|| b"null".to_vec());
        self.check_shrinking(input, text.len())?;
        Ok(text.into())
    }

    /// CouchDB's `reduce_limit`.
    fn check_shrinking(&self, input: usize, output: usize) -> Result<(), Wrong> {
        if output <= limits::REDUCE_OUTPUT_BYTES || output * limits::REDUCE_RATIO <= input {
            return Ok(());
        }
        let reason = format!(
            "Reduce output must shrink more rapidly: input size: {input} output size: {output}"
        );
        match self.machine.limits.reduce_limit {
            ReduceLimit::Refuse => {
                let error = "reduce_overflow_error".to_owned();
                Err(Wrong::Failure(Failure::Thrown(Thrown { error, reason })))
            }
            ReduceLimit::Log => {
                self.machine.channel.log(&format!("reduce_overflow_error: {reason}"));
                Ok(())
            }
            ReduceLimit::Off => Ok(()),
        }
    }

    fn response(&self, value: &Value<'js>) -> Result<Bytes, Wrong> {
        match self.texts.text(value)? {
            Some(text) => Ok(text.into()),
            None => {
                Err(Wrong::Failure(Failure::BadResult("gave back no object as response".into())))
            }
        }
    }

    /// Of an exception that ended a call.
    fn failure(&self, ctx: &Ctx<'js>, error: &Error) -> Failure {
        let caught = match self.caught(ctx, error) {
            Ok(caught) => caught,
            Err(Wrong::Failure(failure)) => return failure,
            Err(Wrong::Js(_)) => return Failure::Memory,
        };
        let described = self
            .function("describe")
            .and_then(|describe| describe.call::<_, Vec<String>>((caught,)));
        let words = match described {
            Ok(words) => words,
            // Even looking at it throws.
            Err(error) => match self.caught(ctx, &error) {
                Err(Wrong::Failure(failure)) => return failure,
                Err(Wrong::Js(_)) => return Failure::Memory,
                Ok(_) => vec!["unnamed_error".to_owned(), "it cannot be looked at".to_owned()],
            },
        };
        match &words[..] {
            [missing, kind, name] if missing == "missing" => {
                Failure::Missing { kind: kind.clone(), name: name.clone() }
            }
            [error, reason] if error == "compilation_error" => {
                Failure::Compilation(cut(reason, limits::ERROR_TEXT_BYTES_MAX).to_owned())
            }
            _ => Failure::Thrown(thrown(words)),
        }
    }
}

/// The engine throws `null` where there is no room for an error either.
fn is_out_of_memory(caught: &Value<'_>) -> bool {
    if caught.is_null() {
        return true;
    }
    if !caught.is_error() {
        return false;
    }
    let member = |name: &str| {
        let error = caught.as_object()?;
        error.get::<_, String>(name).ok()
    };
    member("name").is_some_and(|name| name == "InternalError")
        && member("message").is_some_and(|message| message == "out of memory")
}

fn thrown(words: Vec<String>) -> Thrown {
    let mut words = words.into_iter();
    let mut next = || {
        let word = words.next().unwrap_or_default();
        cut(&word, limits::ERROR_TEXT_BYTES_MAX).to_owned()
    };
    Thrown { error: next(), reason: next() }
}

/// A string with U+FFFD for lone surrogates.
fn utf8(text: &JsString<'_>) -> JsResult<Vec<u8>> {
    let text = text.clone().to_cstring()?;
    let mut out = Vec::with_capacity(text.len());
    super::text::push_utf8(&mut out, text.as_ref());
    Ok(out)
}

impl Watch {
    /// A function may run this long from now on.
    fn begin(&self, time: Duration) {
        self.interrupted.set(false);
        self.running.set(Running::Fresh(time));
    }

    fn end(&self) {
        self.running.set(Running::Nothing);
    }

    /// Somebody else works. Gives how much longer the function may run; `None` where nothing runs.
    fn pause(&self) -> Option<Duration> {
        match self.running.replace(Running::Nothing) {
            Running::Nothing => None,
            Running::Fresh(time) => Some(time),
            Running::Until(until) => Some(until.saturating_sub(clock::spent())),
        }
    }

    /// Asked by the engine every few thousand steps.
    fn is_late(&self) -> bool {
        let late = match self.running.get() {
            Running::Nothing => false,
            Running::Fresh(time) => {
                self.running.set(Running::Until(clock::spent() + time));
                false
            }
            Running::Until(until) => clock::spent() > until,
        };
        if late {
            self.interrupted.set(true);
        }
        late
    }
}

impl Emitted {
    /// A map function begins; gives where its rows will be.
    fn open(&mut self, doc_start: usize) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[1, 0, 0, 0, 0]);
        self.rows = 0;
        self.open_from = Some(doc_start);
        self.overflowed = false;
        start
    }

    /// It has ended well.
    fn close(&mut self, start: usize) {
        self.bytes[start + 1..start + 5].copy_from_slice(&self.rows.to_le_bytes());
        self.open_from = None;
    }

    /// It has not: its rows are taken back.
    fn fail(&mut self, start: usize, message: &str) {
        let message = cut(message, limits::LOG_LINE_BYTES_MAX);
        self.bytes.truncate(start);
        self.bytes.push(0);
        let length = u32::try_from(message.len()).expect("it was cut");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(message.as_bytes());
        self.open_from = None;
    }
}

/// What the prelude needs of the worker.
struct Native {
    emitted: Rc<RefCell<Emitted>>,
    channel: Channel,
    watch: Rc<Watch>,
    deadline: Duration,
    source: Rc<[u8]>,
    id: Rc<str>,
}

impl Native {
    /// Evaluates the prelude; gives its calls.
    fn install<'js>(&self, ctx: &Ctx<'js>) -> JsResult<Object<'js>> {
        let globals = ctx.globals();
        for name in ABSENT {
            globals.remove(*name)?;
        }
        let native = Object::new(ctx.clone())?;
        native.set("emit", self.emit(ctx)?)?;
        native.set("functionsMax", limits::FUNCTIONS_MAX)?;
        native.set("wrap", script::<Function<'_>>(ctx, WRAP)?)?;

        let channel = self.channel.clone();
        let log = Function::new(ctx.clone(), move |text: String| channel.log(&text))?;
        native.set("log", log)?;

        let (source, id) = (Rc::clone(&self.source), Rc::clone(&self.id));
        let design = move |ctx: Ctx<'js>| -> JsResult<Value<'js>> {
            let design = Values::new(&ctx).make(&source)?;
            if let Some(object) = design.as_object()
                && !object.contains_key("_id")?
            {
                object.set("_id", &*id)?;
            }
            Ok(design)
        };
        native.set("design", Function::new(ctx.clone(), design)?)?;

        let channel = self.channel.clone();
        native.set("rowIsHere", Function::new(ctx.clone(), move || channel.row_is_here())?)?;

        let channel = self.channel.clone();
        let (watch, deadline) = (Rc::clone(&self.watch), self.deadline);
        let row = move |ctx: Ctx<'js>| -> JsResult<Value<'js>> {
            let row = channel.row().map_err(|error| gone(&ctx, &error))?;
            watch.begin(deadline);
            match row {
                Some(row) => Values::new(&ctx).make(&row),
                None => Ok(Value::new_null(ctx)),
            }
        };
        native.set("row", Function::new(ctx.clone(), row)?)?;

        let channel = self.channel.clone();
        let listed =
            move |ctx: Ctx<'js>, response: Value<'js>, chunk: JsString<'js>| -> JsResult<()> {
                let response = Texts::new(&ctx).text(&response)?.map(Bytes::from);
                let chunk = Bytes::from(utf8(&chunk)?);
                if chunk.len() > limits::OUTPUT_BYTES_MAX {
                    return Err(Exception::throw_range(
                        &ctx,
                        "too many bytes were sent between two rows",
                    ));
                }
                channel.listed(response, chunk, false).map_err(|error| gone(&ctx, &error))
            };
        native.set("listed", Function::new(ctx.clone(), listed)?)?;

        let channel = self.channel.clone();
        let (watch, deadline) = (Rc::clone(&self.watch), self.deadline);
        let ask = move |ctx: Ctx<'js>, question: Value<'js>| -> JsResult<Value<'js>> {
            let question = Texts::new(&ctx).text(&question)?.unwrap_or_default();
            let left = watch.pause();
            let answer = channel.ask(question.into()).map_err(|error| gone(&ctx, &error))?;
            watch.begin(left.unwrap_or(deadline));
            match answer {
                Ok(answer) => Values::new(&ctx).make(&answer),
                Err(Thrown { error, reason }) => {
                    let pair = Object::new(ctx.clone())?;
                    pair.set("error", error)?;
                    pair.set("reason", reason)?;
                    Err(ctx.throw(pair.into_value()))
                }
            }
        };
        native.set("ask", Function::new(ctx.clone(), ask)?)?;

        let prelude: Function<'js> = script(ctx, PRELUDE)?;
        prelude.call((native,))
    }

    fn emit<'js>(&self, ctx: &Ctx<'js>) -> JsResult<Function<'js>> {
        let emitted = Rc::clone(&self.emitted);
        let scratch = RefCell::new(Vec::new());
        let emit =
            move |ctx: Ctx<'js>, key: Opt<Value<'js>>, value: Opt<Value<'js>>| -> JsResult<()> {
                let Some(doc_start) = emitted.borrow().open_from else { return Ok(()) };
                let used = emitted.borrow().bytes.len() - doc_start;
                let room = limits::OUTPUT_BYTES_MAX.saturating_sub(used);
                // A `toJSON` may emit too, so nothing is borrowed while values are written.
                let mut row = scratch.take();
                row.clear();
                let written = write_row(&Texts::new(&ctx), &mut row, key.0, value.0, room);
                let fits = row.len() <= room;
                if written.is_ok() && fits {
                    let mut emitted = emitted.borrow_mut();
                    emitted.bytes.extend_from_slice(&row);
                    emitted.rows += 1;
                }
                *scratch.borrow_mut() = row;
                written?;
                if !fits {
                    emitted.borrow_mut().overflowed = true;
                    return Err(Exception::throw_range(&ctx, "one document emits too many bytes"));
                }
                Ok(())
            };
        Function::new(ctx.clone(), emit)
    }
}

/// Length and text of key and value.
fn write_row<'js>(
    texts: &Texts<'js>,
    row: &mut Vec<u8>,
    key: Option<Value<'js>>,
    value: Option<Value<'js>>,
    room: usize,
) -> JsResult<()> {
    for (part, is_value) in [(key, false), (value, true)] {
        let start = row.len();
        row.extend_from_slice(&[0; 4]);
        match part {
            // As CouchDB's `error_to_json`.
            Some(error) if is_value && error.is_error() => {
                let error = error.as_object().expect("errors are objects");
                let (name, message): (Value<'_>, Value<'_>) =
                    (error.get("name")?, error.get("message")?);
                row.extend_from_slice(b"{\"error\":");
                texts.write(row, &name, room)?;
                row.extend_from_slice(b",\"message\":");
                texts.write(row, &message, room)?;
                row.push(b'}');
            }
            Some(part) => texts.write(row, &part, room)?,
            None => row.extend_from_slice(b"null"),
        }
        let length = u32::try_from(row.len() - start - 4).unwrap_or(u32::MAX);
        row[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}

fn gone(ctx: &Ctx<'_>, error: &std::io::Error) -> Error {
    Exception::throw_message(ctx, &format!("nobody listens any more: {error}"))
}

fn script<'js, T: FromJs<'js>>(ctx: &Ctx<'js>, source: &str) -> JsResult<T> {
    let mut options = EvalOptions::default();
    options.strict = false; // sources decide for themselves
    options.filename = Some("settle".into());
    ctx.eval_with_options(source, options)
}
