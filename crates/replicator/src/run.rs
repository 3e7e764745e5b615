//! One run of a job: the state machine is given time and answers, and its requests are carried out side by side.
//!
//! A continuous job whose source is a database of this site need not wait for changes in a run: it *rests* when it
//! has caught up, after a last checkpoint, and is nothing but a record until the source changes. So ten thousand
//! of them cost nothing while nobody writes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use settle_model::time::{Clock, Entropy};
use settle_sync::{
    id::ReplicationId,
    job::Job,
    replication::{
        Ending, Failure, Input, Now, Outcome, Output, Replication, Reply, Request, RequestId, Run,
        Side,
    },
    seq::Seq,
    stats::{Progress, Stats},
};
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    limits::{PROGRESS_TOLD_EVERY, REST_AFTER},
    peer::Peer,
    spool::JobSpool,
};

/// What a run needs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: ReplicationId,
    pub(crate) job: Arc<Job>,
    pub(crate) source: Arc<Peer>,
    pub(crate) target: Arc<Peer>,
    pub(crate) spool: Arc<JobSpool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// What earlier runs have counted.
    pub(crate) stats: Stats,
    pub(crate) watched: Arc<Watched>,
}

/// What others see of a run, and tell it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Write a last checkpoint, and end.
    pub(crate) cancel: CancellationToken,
    progress: Mutex<Option<Progress>>,
    /// It waits for changes, and has nothing else to do.
    is_idle: AtomicBool,
    /// Bytes of documents that it may hold, as all others.
    memory_bytes_max: Arc<AtomicUsize>,
    /// Whether other jobs wait for a place.
    others_wait: watch::Receiver<bool>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    Ended(Outcome),
    /// Everything up to here is done; the source is a database of this site.
    Rests {
        since: Seq,
    },
}

impl Watched {
    pub(crate) fn new(
        memory_bytes_max: Arc<AtomicUsize>,
        others_wait: watch::Receiver<bool>,
    ) -> Self {
        Self {
            cancel: CancellationToken::new(),
            progress: Mutex::new(None),
            is_idle: AtomicBool::new(false),
            memory_bytes_max,
            others_wait,
        }
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When somebody else needs the place, or nothing has happened for a while.
    async fn time_to_rest(&self) {
        let mut others_wait = self.others_wait.clone();
        // An error says that the scheduler is gone.
        let waited = tokio::time::timeout(REST_AFTER, others_wait.wait_for(|it| *it));
        drop(waited.await);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }
}

/// Runs until the end. Dropping this is like a crash of the run, which harms nothing.
pub(crate) async fn run(running: Running) -> End {
    let mut session = [0; 16];
    let mut seed = [0; 8];
    running.entropy.fill(&mut session);
    running.entropy.fill(&mut seed);
    let run = Run {
        session_id: hex::encode(session),
        seed: u64::from_ne_bytes(seed),
        memory_bytes_max: running.watched.memory_bytes_max.load(Ordering::Relaxed),
        stats: running.stats,
    };
    let now = now(&*running.clock);
    let mut driver = Driver {
        machine: Replication::new(running.job.clone(), run, now),
        requests: JoinSet::new(),
        handles: HashMap::new(),
        pulse: Arc::new(Pulse::default()),
        waiting: None,
        is_cancelled: false,
        told: Duration::ZERO,
        running,
    };
    let end = driver.drive().await;
    driver.tell_progress();
    end
}

struct Driver {
    running: Running,
    machine: Replication,
    requests: JoinSet<(RequestId, Result<Reply, Failure>)>,
    handles: HashMap<RequestId, AbortHandle>,
    pulse: Arc<Pulse>,
    /// The request that waits for changes of a database of this site, and from where on.
    waiting: Option<(RequestId, Seq)>,
    is_cancelled: bool,
    /// When the progress was last told.
    told: Duration,
}

/// Requests that went on since somebody looked, and how many bytes of an attachment are in place.
#[derive(Debug, Default)]
struct Pulse {
    beats: Mutex<HashMap<RequestId, u64>>,
    beat: Notify,
}

impl Pulse {
    fn beats(&self, request: RequestId, received: u64) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.insert(request, received);
        self.beat.notify_one();
    }

    fn take(&self) -> HashMap<RequestId, u64> {
        std::mem::take(&mut self.beats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Driver {
    async fn drive(&mut self) -> End {
        let mut inputs = vec![Input::Tick];
        loop {
            let memory = self.running.watched.memory_bytes_max.load(Ordering::Relaxed);
            self.machine.set_memory_bytes_max(memory);
            for input in inputs {
                let outputs = self.machine.handle(now(&*self.running.clock), input);
                for output in outputs {
                    if let Some(end) = self.carry_out(output) {
                        return end;
                    }
                }
            }
            inputs = self.next().await;
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<End> {
        match output {
            Output::Send { id, request } => self.send(id, request),
            Output::Abandon { id } => {
                if let Some(handle) = self.handles.remove(&id) {
                    handle.abort();
                }
            }
            Output::Refused(refusal) => {
                let (id, error, reason) = (&refusal.id, &refusal.error, &refusal.reason);
                tracing::info!(replication = %self.running.id, document = %id, error, reason,
                    "the target did not take a revision");
            }
            Output::End(outcome) => {
                let rests = self.waiting.take().filter(|_| {
                    !self.running.watched.cancel.is_cancelled()
                        && outcome.ending == Ending::Cancelled
                });
                return Some(match rests {
                    Some((_, since)) => End::Rests { since },
                    None => End::Ended(outcome),
                });
            }
        }
        None
    }

    fn send(&mut self, id: RequestId, request: Request) {
        if let (Request::Changes { since, wait: Some(_), .. }, Peer::Local(_)) =
            (&request, &*self.running.source)
        {
            self.waiting = Some((id, since.clone()));
        }
        let side = request.side();
        let peer = match side {
            Side::Source => self.running.source.clone(),
            Side::Target => self.running.target.clone(),
        };
        let source = self.running.source.clone();
        let (spool, pulse) = (self.running.spool.clone(), self.pulse.clone());
        let handle = self.requests.spawn(async move {
            let progress = || pulse.beats(id, 0);
            let answer = match &request {
                Request::Stage { document, attachment, .. } => {
                    let (source, attachment) = (&source, *attachment);
                    let fetch = |from| source.attachment(document, attachment, from);
                    let received = |bytes| pulse.beats(id, bytes);
                    spool.stage(document, attachment, fetch, &received).await
                }
                Request::WriteStaged { document, staged } => match spool.staged(document, staged) {
                    Ok(spooled) => {
                        let written = peer.write_staged(document, &spooled, &progress).await;
                        if written.is_ok() {
                            spool.remove_staged(document, staged).await;
                        }
                        written
                    }
                    Err(failure) => Err(failure),
                },
                Request::Create
                | Request::Info(_)
                | Request::ReadCheckpoint(_)
                | Request::Changes { .. }
                | Request::Diff(_)
                | Request::Fetch(_)
                | Request::Write(_)
                | Request::Commit(_)
                | Request::WriteCheckpoint { .. } => peer.ask(&request, &progress).await,
            };
            (id, answer)
        });
        self.handles.insert(id, handle);
    }

    /// Waits for something to happen.
    async fn next(&mut self) -> Vec<Input> {
        let wake_at = self.machine.wake_at().unwrap_or_default();
        let sleep = wake_at.saturating_sub(self.running.clock.monotonic());
        let is_idle = self.machine.is_waiting();
        self.running.watched.is_idle.store(is_idle, Ordering::Relaxed);
        self.tell_progress_now_and_then(is_idle);
        let may_rest = is_idle && self.waiting.is_some() && !self.is_cancelled;
        let running = &self.running;
        tokio::select! {
            biased;
            () = running.watched.cancel.cancelled(), if !self.is_cancelled => {
                self.is_cancelled = true;
                vec![Input::Cancel]
            }
            Some(joined) = self.requests.join_next() => self.answered(joined),
            () = self.pulse.beat.notified() => {
                let beats = self.pulse.take().into_iter();
                beats.map(|(request, received)| Input::Progress { request, received }).collect()
            }
            () = running.watched.time_to_rest(), if may_rest => {
                self.is_cancelled = true;
                vec![Input::Cancel]
            }
            () = tokio::time::sleep(sleep) => vec![Input::Tick],
        }
    }

    fn answered(
        &mut self,
        joined: Result<(RequestId, Result<Reply, Failure>), tokio::task::JoinError>,
    ) -> Vec<Input> {
        let (request, answer) = match joined {
            Ok(answered) => answered,
            Err(error) if error.is_cancelled() => return Vec::new(),
            Err(error) => {
                // The machine finds out by the request's time limit.
                tracing::error!(replication = %self.running.id, %error, "a request panicked");
                return Vec::new();
            }
        };
        self.handles.remove(&request);
        if self.waiting.as_ref().is_some_and(|(waiting, _)| *waiting == request)
            && !self.is_cancelled
        {
            self.waiting = None;
        }
        vec![Input::Answer { request, answer }]
    }

    fn tell_progress_now_and_then(&mut self, is_idle: bool) {
        let now = self.running.clock.monotonic();
        if is_idle || now.saturating_sub(self.told) >= PROGRESS_TOLD_EVERY {
            self.told = now;
            self.tell_progress();
        }
    }

    fn tell_progress(&self) {
        let progress = self.machine.progress();
        let mut told = self.running.watched.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *told = Some(progress);
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { monotonic: clock.monotonic(), time_of_day: clock.now() }
}
