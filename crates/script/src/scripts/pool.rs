//! Which call runs where.
//!
//! Calls wait in one queue, and each worker is a task that takes from it. The rules, in the order of the
//! queue:
//! - A *long* call finds no place where it would take the last one, so that a short call never
//!   waits for a batch of an index build.
//! - A call that has run for [`SLOW_AFTER`](limits::SLOW_AFTER) gives back its place: another process is
//!   started for those that wait, the slow one soon gets less of the processor, and until it has ended no
//!   other call of its database starts. So whoever loops delays nobody but themselves.
//! - A list function has a process beside the places, since its client decides how long it takes; so does a
//!   transaction function, since views that it asks for may have to be made in these places.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    hash::Hash,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::process::{Broken, Process, renice};
use crate::{
    Launcher, Program, ScriptError, ScriptSettings, limits,
    message::{Failure, Hello, Outcome, ProgramKey, Reply, Request},
};

#[derive(Debug)]
pub(super) struct Pool {
    launcher: Launcher,
    pub(super) settings: ScriptSettings,
    state: Mutex<State>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    queue: VecDeque<Job>,
    queued_bytes: usize,
    idle: Vec<Idle>,
    last_id: u64,
    /// Places taken, also by long calls.
    running: usize,
    long: usize,
    /// Calls that have a process of their own, by class and database.
    beside: HashMap<(Class, u64), usize>,
    /// By database.
    slow: HashMap<u64, usize>,
}

#[derive(Debug)]
struct Idle {
    id: u64,
    programs: Vec<ProgramKey>,
    give: oneshot::Sender<Job>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Short,
    Long,
    List,
    Transaction,
}

impl Class {
    /// Whether what it takes is its own, so that it may be slow.
    fn is_beside(self) -> bool {
        match self {
            Self::Short | Self::Long => false,
            Self::List | Self::Transaction => true,
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) class: Class,
    pub(super) program: Program,
    /// The message.
    pub(super) request: Vec<u8>,
    /// For messages to people: `map function of _design/x`.
    pub(super) function: String,
    pub(super) answer: oneshot::Sender<Result<Answer, ScriptError>>,
    /// What follows, for a function that goes to and fro.
    pub(super) more: Option<mpsc::Receiver<More>>,
    pub(super) tried: bool,
}

/// What a worker said.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Outcome),
    Listed { response: Option<bytes::Bytes>, chunk: bytes::Bytes, ended: bool },
    Asked(bytes::Bytes),
}

impl Answer {
    /// Whether the function waits for more.
    fn goes_on(&self) -> bool {
        match self {
            Self::Done(_) => false,
            Self::Listed { ended, .. } => !ended,
            Self::Asked(_) => true,
        }
    }
}

/// What a function that runs is told.
#[derive(Debug)]
pub(super) struct More {
    pub(super) request: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<Answer, ScriptError>>,
}

impl Pool {
    pub(super) fn new(launcher: Launcher, settings: ScriptSettings) -> Arc<Self> {
        Arc::new(Self {
            launcher,
            settings,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Puts a call in the queue.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> Result<(), ScriptError> {
        let mut state = self.state();
        if state.closed {
            return Err(ScriptError::Closed);
        }
        let bytes = state.queued_bytes + job.request.len();
        if state.queue.len() >= limits::WAITING_CALLS_MAX
            || (bytes > limits::WAITING_BYTES_MAX && !state.queue.is_empty())
        {
            return Err(ScriptError::Busy);
        }
        state.queued_bytes = bytes;
        state.queue.push_back(job);
        self.hand_out(&mut state);
        Ok(())
    }

    /// From now on every call fails, and the workers end.
    pub(super) fn begin_close(&self) {
        let mut state = self.state();
        state.closed = true;
        for job in state.queue.drain(..) {
            drop(job.answer.send(Err(ScriptError::Closed)));
        }
        state.idle.clear();
        drop(state);
        self.closing.cancel();
    }

    pub(super) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Long calls at once.
    pub(super) fn long_max(&self) -> usize {
        self.settings.workers.saturating_sub(1).max(1)
    }

    /// Gives what can run to idle workers, or to new ones.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        while let Some(job) = self.next_job(state) {
            let key = job.program.key();
            let idle = state.idle.iter().rposition(|it| it.programs.contains(&key));
            let idle = idle.or_else(|| state.idle.len().checked_sub(1));
            let left = match idle.map(|at| state.idle.swap_remove(at)) {
                Some(idle) => idle.give.send(job).err(),
                None => Some(job),
            };
            if let Some(job) = left {
                let pool = Arc::clone(self);
                drop(self.tasks.spawn(async move { pool.work(job).await }));
            }
        }
    }

    /// Takes the first call that may run now, and a place for it.
    fn next_job(&self, state: &mut State) -> Option<Job> {
        let at = state.queue.iter().position(|job| {
            let database = job.program.database;
            !state.slow.contains_key(&database)
                && match job.class {
                    Class::Short => state.running < self.settings.workers,
                    Class::Long => {
                        state.running < self.settings.workers && state.long < self.long_max()
                    }
                    Class::List => {
                        state.has_process(job.class, database, limits::LIST_PROCESSES_MAX)
                    }
                    Class::Transaction => {
                        state.has_process(job.class, database, limits::TRANSACTION_PROCESSES_MAX)
                    }
                }
        })?;
        let job = state.queue.remove(at)?;
        state.queued_bytes -= job.request.len();
        if job.answer.is_closed() {
            return self.next_job(state); // nobody waits for it any more
        }
        state.take_place(job.class, job.program.database);
        Some(job)
    }

    /// The life of one worker, from its first call.
    async fn work(self: Arc<Self>, mut job: Job) {
        let hello = Hello {
            deadline_ms: u32::try_from(self.settings.deadline.as_millis()).unwrap_or(u32::MAX),
            runtime_bytes_max: self.settings.runtime_bytes_max as u64,
            worker_bytes_max: self.settings.worker_bytes_max as u64,
            reduce_limit: self.settings.reduce_limit,
        };
        let mut process = match Process::start(&self.launcher) {
            Ok(process) => process,
            Err(error) => return self.refuse(job, ScriptError::Launch(Arc::new(error))),
        };
        let greeted = tokio::select! {
            greeted = process.greet(hello) => {
                greeted.map_err(|error| ScriptError::Launch(Arc::new(error)))
            }
            () = self.closing.cancelled() => Err(ScriptError::Closed),
        };
        if let Err(error) = greeted {
            process.kill().await;
            return self.refuse(job, error);
        }
        loop {
            let (class, database) = (job.class, job.program.database);
            let mut slow = false;
            let after = self.serve(&mut process, job, &mut slow).await;
            let done = Ended { class, database, was_slow: slow };
            match after {
                After::Usable if !process.is_reniced() => {}
                After::Usable | After::Ended => {
                    self.end(done, None);
                    process.kill().await;
                    return;
                }
                After::Again(job) => {
                    self.end(done, Some(job));
                    process.kill().await;
                    return;
                }
            }
            match self.next(&process, done).await {
                Some(next) => job = next,
                None => {
                    process.kill().await;
                    return;
                }
            }
        }
    }

    /// A call that found no worker.
    fn refuse(self: &Arc<Self>, job: Job, error: ScriptError) {
        let database = job.program.database;
        self.end(Ended { class: job.class, database, was_slow: false }, None);
        drop(job.answer.send(Err(error)));
    }

    /// One call, to its end.
    async fn serve(
        self: &Arc<Self>,
        process: &mut Process,
        mut job: Job,
        slow: &mut bool,
    ) -> After {
        let key = job.program.key();
        let database = job.program.database;
        let mut asked = self.exchange(process, &job, slow).await;
        if let Ok(Reply::NeedProgram) = asked {
            let Program { design, source, .. } = &job.program;
            let program = Request::Program { key, design, source }.encode();
            let message = program.map(|mut message| {
                message.extend_from_slice(&job.request);
                message
            });
            asked = match message {
                Ok(message) => self.exchange_message(process, &job, &message, slow).await,
                Err(_) => Err(Trouble::Error(ScriptError::TooLarge {
                    what: "the design document",
                    max_bytes: limits::FRAME_BYTES_MAX,
                })),
            };
            if let Ok(Reply::NeedProgram) = asked {
                // There is no room for it.
                asked = Err(Trouble::Error(ScriptError::Memory {
                    function: job.function.clone(),
                    limit_bytes: self.settings.runtime_bytes_max,
                }));
            }
        }
        process.remember(key);
        let reply = match asked {
            Ok(reply) => reply,
            Err(Trouble::Error(error)) => {
                drop(job.answer.send(Err(error)));
                return After::Usable;
            }
            Err(Trouble::NotAsked) if !job.tried => {
                job.tried = true;
                return After::Again(job);
            }
            Err(Trouble::NotAsked) => {
                let status = "it had ended before".to_owned();
                let function = job.function.clone();
                drop(job.answer.send(Err(ScriptError::Died { function, status })));
                return After::Ended;
            }
            Err(Trouble::Dead(error)) => {
                drop(job.answer.send(Err(error)));
                return After::Ended;
            }
        };
        let Job { answer, more, function, program, .. } = job;
        let answered = self.answer(reply, &function, &program);
        let goes_on = answered.as_ref().is_ok_and(Answer::goes_on);
        drop(answer.send(answered));
        if !goes_on {
            return After::Usable;
        }
        let Some(mut more) = more else { return After::Ended };
        loop {
            let next = tokio::select! {
                next = more.recv() => next,
                () = self.closing.cancelled() => None,
            };
            // The client has gone, in the middle of the function.
            let Some(More { request, answer }) = next else { return After::Ended };
            let reply = self.await_reply(process, &function, database, &request, None).await;
            let (answered, usable) = match reply {
                Ok(reply) => (self.answer(reply, &function, &program), true),
                Err(Trouble::Error(error)) => (Err(error), true),
                Err(Trouble::Dead(error)) => (Err(error), false),
                Err(Trouble::NotAsked) => {
                    let status = "it ended in between".to_owned();
                    (Err(ScriptError::Died { function: function.clone(), status }), false)
                }
            };
            let goes_on = answered.as_ref().is_ok_and(Answer::goes_on);
            drop(answer.send(answered));
            if !usable {
                return After::Ended;
            }
            if !goes_on {
                return After::Usable;
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        process: &mut Process,
        job: &Job,
        slow: &mut bool,
    ) -> Result<Reply, Trouble> {
        self.exchange_message(process, job, &job.request, slow).await
    }

    async fn exchange_message(
        self: &Arc<Self>,
        process: &mut Process,
        job: &Job,
        message: &[u8],
        slow: &mut bool,
    ) -> Result<Reply, Trouble> {
        let watch = (!job.class.is_beside() && !*slow).then_some((job.class, slow));
        self.await_reply(process, &job.function, job.program.database, message, watch).await
    }

    /// Asks, and waits: first as long as a call should take, then as long as it may, then no longer.
    async fn await_reply(
        self: &Arc<Self>,
        process: &mut Process,
        function: &str,
        database: u64,
        message: &[u8],
        watch: Option<(Class, &mut bool)>,
    ) -> Result<Reply, Trouble> {
        let deadline = self.settings.deadline;
        let mut reniced = false;
        let waited = {
            let id = process.id();
            let mut asking = pin!(process.ask(message));
            let mut waited = self.wait(limits::SLOW_AFTER, asking.as_mut()).await;
            if let Waited::Late = waited {
                let is_slow = watch.is_some_and(|(class, slow)| {
                    *slow |= self.mark_slow(class, database);
                    *slow
                });
                let time = limits::RENICE_AFTER - limits::SLOW_AFTER;
                waited = self.wait(time, asking.as_mut()).await;
                if let Waited::Late = waited {
                    if is_slow {
                        reniced = true;
                        renice(id);
                    }
                    let whole = deadline + limits::BATCH_TIME + limits::KILL_GRACE;
                    let time = whole.saturating_sub(limits::RENICE_AFTER);
                    waited = self.wait(time, asking.as_mut()).await;
                }
            }
            waited
        };
        if reniced {
            process.set_reniced();
        }
        let function = function.to_owned();
        match waited {
            Waited::Done(Ok(reply)) => Ok(reply),
            Waited::Done(Err(Broken::NotAsked)) => Err(Trouble::NotAsked),
            // One that had been idle may have been about to end. Functions change nothing, so that the
            // call is run again costs time alone, and that happens once.
            Waited::Done(Err(Broken::Midway(error)))
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) && process.has_served() =>
            {
                Err(Trouble::NotAsked)
            }
            Waited::Done(Err(Broken::Midway(error))) => {
                let status = process.how_it_ended(&error).await;
                Err(Trouble::Dead(ScriptError::Died { function, status }))
            }
            Waited::Late => Err(Trouble::Dead(ScriptError::Deadline { function, after: deadline })),
            Waited::Closing => Err(Trouble::Dead(ScriptError::Closed)),
        }
    }

    async fn wait(
        &self,
        time: Duration,
        asking: Pin<&mut impl Future<Output = Result<Reply, Broken>>>,
    ) -> Waited {
        tokio::select! {
            done = timeout(time, asking) => done.map_or(Waited::Late, Waited::Done),
            () = self.closing.cancelled() => Waited::Closing,
        }
    }

    /// What a reply means to the caller.
    fn answer(
        &self,
        reply: Reply,
        function: &str,
        program: &Program,
    ) -> Result<Answer, ScriptError> {
        let note = |log: Vec<String>| {
            for line in log {
                let (database, design) = (program.database, &*program.design);
                tracing::info!(target: "settle_script::log", database, design, "{line}");
            }
        };
        match reply {
            Reply::Done { log, outcome } => {
                note(log);
                Ok(Answer::Done(outcome))
            }
            Reply::Listed { log, response, chunk, ended } => {
                note(log);
                Ok(Answer::Listed { response, chunk, ended })
            }
            Reply::Asked { log, question } => {
                note(log);
                Ok(Answer::Asked(question))
            }
            Reply::Failed { log, failure } => {
                note(log);
                Err(self.error(failure, function.to_owned(), program))
            }
            Reply::Ready { .. } | Reply::NeedProgram => Err(unexpected(function)),
        }
    }

    fn error(&self, failure: Failure, function: String, program: &Program) -> ScriptError {
        match failure {
            Failure::Compilation(message) => ScriptError::Compilation { function, message },
            Failure::Missing { kind, name } => {
                ScriptError::Missing { kind, name, design: program.design.to_string() }
            }
            Failure::Thrown(thrown) => ScriptError::Thrown(thrown),
            Failure::Deadline => ScriptError::Deadline { function, after: self.settings.deadline },
            Failure::Memory => {
                ScriptError::Memory { function, limit_bytes: self.settings.runtime_bytes_max }
            }
            Failure::BadResult(problem) => ScriptError::BadResult { function, problem },
            Failure::TooLarge => ScriptError::TooLarge {
                what: "what the function gives back",
                max_bytes: limits::FRAME_BYTES_MAX,
            },
        }
    }

    /// A call gives back its place though it goes on. Not if too many have done so.
    fn mark_slow(self: &Arc<Self>, class: Class, database: u64) -> bool {
        let mut state = self.state();
        if state.slow.values().sum::<usize>() >= limits::SLOW_PROCESSES_MAX {
            return false;
        }
        *state.slow.entry(database).or_default() += 1;
        state.give_place(class, database);
        self.hand_out(&mut state);
        true
    }

    /// A call has ended, and its worker with it. `again` is for another one.
    fn end(self: &Arc<Self>, ended: Ended, again: Option<Job>) {
        let mut state = self.state();
        state.finish(ended);
        if let Some(job) = again {
            if state.closed {
                drop(job.answer.send(Err(ScriptError::Closed)));
                return;
            }
            state.queued_bytes += job.request.len();
            state.queue.push_front(job);
        }
        self.hand_out(&mut state);
    }

    /// A call has ended; the next one for its worker, or none when that should end.
    async fn next(self: &Arc<Self>, process: &Process, ended: Ended) -> Option<Job> {
        let (id, mut given) = {
            let mut state = self.state();
            // In one step, lest another worker be started for what this one can do.
            state.finish(ended);
            if state.closed {
                return None;
            }
            let next = self.next_job(&mut state);
            self.hand_out(&mut state);
            if next.is_some() {
                return next;
            }
            if state.idle.len() >= self.settings.workers {
                return None;
            }
            let (give, given) = oneshot::channel();
            state.last_id += 1;
            let id = state.last_id;
            state.idle.push(Idle { id, programs: process.programs().to_vec(), give });
            (id, given)
        };
        tokio::select! {
            given = &mut given => return given.ok(),
            () = process.stirs() => {}
            () = sleep(limits::IDLE_TIME) => {}
            () = self.closing.cancelled() => {}
        }
        {
            let mut state = self.state();
            if let Some(at) = state.idle.iter().position(|it| it.id == id) {
                drop(state.idle.swap_remove(at));
                return None;
            }
        }
        // It was given one at this very moment.
        given.await.ok()
    }
}

pub(super) fn unexpected(function: &str) -> ScriptError {
    let status = "it answered something else".to_owned();
    ScriptError::Died { function: function.to_owned(), status }
}

impl State {
    fn finish(&mut self, Ended { class, database, was_slow }: Ended) {
        if was_slow {
            count_down(&mut self.slow, &database);
        } else {
            self.give_place(class, database);
        }
    }

    /// Whether another call that has a process of its own may run.
    fn has_process(&self, class: Class, database: u64, max: usize) -> bool {
        let all = self.beside.iter().filter(|((it, _), _)| *it == class).map(|(_, count)| count);
        let of_this = self.beside.get(&(class, database)).copied().unwrap_or_default();
        all.sum::<usize>() < max && of_this < limits::PROCESSES_OF_ONE_MAX
    }

    fn take_place(&mut self, class: Class, database: u64) {
        match class {
            Class::Short => self.running += 1,
            Class::Long => {
                self.running += 1;
                self.long += 1;
            }
            Class::List | Class::Transaction => {
                *self.beside.entry((class, database)).or_default() += 1;
            }
        }
    }

    fn give_place(&mut self, class: Class, database: u64) {
        match class {
            Class::Short => self.running -= 1,
            Class::Long => {
                self.running -= 1;
                self.long -= 1;
            }
            Class::List | Class::Transaction => count_down(&mut self.beside, &(class, database)),
        }
    }
}

fn count_down<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    let left = counts.get_mut(key).map(|count| {
        *count -= 1;
        *count
    });
    if left == Some(0) {
        counts.remove(key);
    }
}

/// A call that has ended.
#[derive(Clone, Copy)]
struct Ended {
    class: Class,
    database: u64,
    /// Whether it has given back its place before.
    was_slow: bool,
}

/// What to do with a worker after a call.
enum After {
    Usable,
    Ended,
    /// It had ended before; the call is for another one.
    Again(Job),
}

enum Trouble {
    /// The worker has ended, and has perhaps not begun.
    NotAsked,
    Dead(ScriptError),
    /// The worker is well.
    Error(ScriptError),
}

enum Waited {
    Done(Result<Reply, Broken>),
    Late,
    Closing,
}
