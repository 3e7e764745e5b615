//! One run of a replication, from the first request to the last checkpoint.
//!
//! ```text
//!            ┌ changes ─► rows ─► portions ─► diff ─► fetch ─┬──────────► write ─┐
//!  opening ──┤                                               └─ stage ──► write ─┤── through ─► end
//!            └───────────────────── checkpoints ◄────────────────────────────────┘
//! ```
//!
//! - *Opening*: who are the two databases, and where did the last run stop (`opening`).
//! - *Changes* are read in pages, ahead of what is worked on (`feed`).
//! - *Portions* of rows go their way side by side (`copying`): the target says which revisions it
//!   lacks, these are fetched and written. Attachments that are large are *staged* first, one at a
//!   time, and go on where they stopped when the link was cut.
//! - Everything up to the *through* sequence is done: the portions up to there, without a gap. Only that
//!   becomes a checkpoint, after both sides have said that what they hold is durable (`saving`).
//!
//! Each thing to do is a task in the queue of the peer that is asked (`task`, `peer`). A request that fails for a passing reason is tried again after a pause, in halves if it carried
//! several documents: so one that the peer chokes on is found, and a slow link gets what it can
//! carry. When a request fails too often, the run ends, after a last checkpoint if that is possible.
//! Whoever runs the job starts the next run after [`crate::job_pause`].
//!
//! How to drive it: hand each [`Input`] to [`Replication::handle`] and carry out what it returns; hand
//! in [`Input::Tick`] at the time that [`Replication::wake_at`] says. Answers may come in any order,
//! twice, or never. Dropping a replication at any time is safe; [`Input::Cancel`] is more polite.
//!
//! Source: CouchDB's replicator (`couch_replicator_worker`, `_scheduler_job`, `_changes_reader`,
//! `_httpc`) and PouchDB's (`pouchdb-replication`). Different here: changes are
//! read in pages, as PouchDB does, so that a page that is lost is asked for again; attachments go on
//! where they stopped; a refusal of one document that will pass (a time-out inside the target) is
//! tried again, where CouchDB counts it and goes on.

mod copying;
mod feed;
mod message;
mod opening;
mod outcome;
mod peer;
mod refused;
mod saving;
mod task;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use self::{
    copying::Portion,
    feed::Feed,
    message::Failing,
    opening::Opening,
    peer::Peer,
    saving::Saves,
    task::{Attachments, Flight, Task, Work},
};
pub use self::{
    message::{
        Attachment, Document, Failure, FailureKind, Fetch, Fetched, Info, Input, Now, Output, Page,
        Refusal, Reply, Request, RequestId, Row, Side, Want,
    },
    outcome::{Ending, Outcome, ReplicationError},
};
use crate::{
    backoff::Chance,
    job::Job,
    limits::{MEMORY_BYTES_DEFAULT, RETRY_AFTER_MAX},
    seq::Seq,
    stats::{Progress, Stats},
};

/// What a run needs besides its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Another one each time.
    pub session_id: String,
    /// A random number, that pauses are drawn from.
    pub seed: u64,
    /// Bytes of documents that are held at a time. One that is larger is held alone.
    pub memory_bytes_max: usize,
    /// What earlier runs of the job have counted.
    pub stats: Stats,
}

/// The state machine. Small while nothing is to be done.
#[derive(Debug)]
pub struct Replication {
    job: Arc<Job>,
    run: Run,
    chance: Chance,
    started: Now,
    now: Now,
    phase: Phase,
    peers: [Peer; 2],
    flights: BTreeMap<RequestId, Flight>,
    next_request: u64,
    outputs: Vec<Output>,
    opening: Opening,
    feed: Feed,
    /// Those that are under way, and those that are done behind one that is not.
    portions: BTreeMap<u64, Portion>,
    next_portion: u64,
    /// Bytes of documents that were read and are not yet settled.
    held: usize,
    /// Bytes that requests under way may bring.
    reserved: usize,
    /// Whether the source knows requests for many documents.
    bulk: bool,
    saves: Saves,
    start_seq: Seq,
    source_seq: Seq,
    through_seq: Seq,
    stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Opening,
    Running,
    /// The last checkpoint is written.
    Ending(Ending),
    Ended,
}

impl Run {
    pub fn new(session_id: String, seed: u64) -> Self {
        let stats = Stats::default();
        Self { session_id, seed, memory_bytes_max: MEMORY_BYTES_DEFAULT, stats }
    }
}

impl Replication {
    pub fn new(job: Arc<Job>, run: Run, now: Now) -> Self {
        let peer = || Peer::new(job.worker_batch_size, job.http_connections);
        let mut replication = Self {
            chance: Chance(run.seed),
            started: now,
            now,
            phase: Phase::Opening,
            peers: [peer(), peer()],
            flights: BTreeMap::new(),
            next_request: 0,
            outputs: Vec::new(),
            opening: Opening::default(),
            feed: Feed::new(),
            portions: BTreeMap::new(),
            next_portion: 0,
            held: 0,
            reserved: 0,
            bulk: job.use_bulk_get,
            saves: Saves::default(),
            start_seq: Seq::zero(),
            source_seq: Seq::zero(),
            through_seq: Seq::zero(),
            stats: run.stats,
            job,
            run,
        };
        replication.open();
        replication
    }

    /// Takes one input, and says what is to be done now.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        if self.phase == Phase::Ended {
            return Vec::new();
        }
        self.now = Now { monotonic: self.now.monotonic.max(now.monotonic), ..now };
        match input {
            Input::Tick => {}
            Input::Answer { request, answer } => self.answered(request, answer),
            Input::Progress { request, received } => self.progressed(request, received),
            Input::Cancel if matches!(self.phase, Phase::Ending(_)) => {} // it is at that
            Input::Cancel => self.end(Ending::Cancelled),
        }
        self.expire();
        self.advance();
        mem::take(&mut self.outputs)
    }

    /// When [`Input::Tick`] is due, by the monotonic clock; `None` when the replication has ended.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.phase == Phase::Ended {
            return None;
        }
        let deadlines = self.flights.values().map(|flight| flight.deadline);
        let waiting = self.peers.iter().filter_map(|peer| peer.wake_at(self.now.monotonic));
        let saves = self.phase == Phase::Running && self.saves.saving.is_none() && self.has_news();
        let save = saves.then_some(self.saves.due);
        deadlines.chain(waiting).chain(save).min()
    }

    pub fn progress(&self) -> Progress {
        let open: usize = self.portions.values().map(Portion::open_rows).sum();
        let read = u64::try_from(self.feed.rows() + open).unwrap_or(u64::MAX);
        Progress {
            stats: self.stats,
            changes_pending: self.feed.pending.map(|pending| pending.saturating_add(read)),
            source_seq: self.source_seq.clone(),
            through_seq: self.through_seq.clone(),
            checkpointed_source_seq: self.saves.saved_seq.clone(),
        }
    }

    /// Lets it hold more or less from now on: a host shares its memory out among its runs.
    pub fn set_memory_bytes_max(&mut self, bytes: usize) {
        self.run.memory_bytes_max = bytes;
    }

    /// Bytes of documents in memory, and those that requests under way may bring.
    pub fn memory_bytes(&self) -> usize {
        self.held + self.reserved
    }

    /// Whether everything that is known of is done, and the source is asked to say when there is more.
    pub fn is_waiting(&self) -> bool {
        let waits =
            |flight: &Flight| matches!(flight.work.task, Task::Changes { wait: Some(_), .. });
        self.phase == Phase::Running
            && self.portions.is_empty()
            && self.feed.rows() == 0
            && !self.flights.is_empty()
            && self.flights.values().all(waits)
    }

    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        &mut self.peers[side.place()]
    }

    fn answered(&mut self, id: RequestId, answer: Result<Reply, Failure>) {
        let Some(flight) = self.land(id) else { return };
        match answer {
            Ok(reply) => self.replied(flight, reply),
            Err(failure) => self.failed(flight, failure),
        }
    }

    /// Takes a request out of those under way.
    fn land(&mut self, id: RequestId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        self.reserved -= flight.reserved;
        if flight.work.task.takes_a_place() {
            self.peer(flight.side).in_flight -= 1;
        }
        Some(flight)
    }

    fn progressed(&mut self, id: RequestId, received: u64) {
        let deadline = self.now.monotonic + self.job.connection_timeout;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.deadline = flight.deadline.max(deadline);
        let Task::Stage { staging, .. } = &mut flight.work.task else { return };
        staging.received = received;
        if received > staging.furthest {
            staging.furthest = received;
            flight.work.tries = 0;
            let side = flight.side;
            self.peer(side).is_alive();
        }
    }

    /// Gives up requests that make no progress.
    fn expire(&mut self) {
        let now = self.now.monotonic;
        let late = self.flights.iter().filter(|(_, flight)| flight.deadline <= now);
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            let Some(flight) = self.land(id) else { continue };
            self.outputs.push(Output::Abandon { id });
            let reason = "no progress within the time limit".to_owned();
            self.failed(flight, Failure { kind: FailureKind::TimedOut, reason });
        }
    }

    /// Does what can be done without another input.
    fn advance(&mut self) {
        if self.phase == Phase::Running {
            self.read_ahead();
            self.start_portions();
            self.save_if_due();
            if self.is_complete() {
                self.end(Ending::Completed);
            }
        }
        for side in Side::BOTH {
            self.send_ready(side);
        }
    }

    fn is_complete(&self) -> bool {
        self.feed.is_done() && self.portions.is_empty() && self.saves.saving.is_none()
    }

    /// Sends what waits for `side`, as far as it may be asked now.
    fn send_ready(&mut self, side: Side) {
        while self.phase != Phase::Ended
            && self.now.monotonic >= self.peers[side.place()].not_before
        {
            let Some(work) = self.take_ready(side) else { break };
            self.send(side, work);
        }
    }

    fn take_ready(&mut self, side: Side) -> Option<Work> {
        let peer = &self.peers[side.place()];
        let has_place = peer.in_flight < peer.pace.together();
        let is_staging = self.flights.values().any(|it| matches!(it.work.task, Task::Stage { .. }));
        let mut no_memory = false;
        let ready = |work: &Work| {
            if self.now.monotonic < work.not_before {
                return false;
            }
            if let Task::Fetch { large, .. } = &work.task {
                // In their order, or a large one would never find room.
                let bytes = self.memory_bytes() + self.fetch_bytes(*large);
                no_memory |= bytes > self.run.memory_bytes_max && self.memory_bytes() > 0;
                return has_place && !no_memory;
            }
            let is_second = is_staging && matches!(work.task, Task::Stage { .. });
            (has_place || !work.task.takes_a_place()) && !is_second
        };
        let found = peer.queue.iter().position(ready);
        if no_memory {
            self.flush_all();
        }
        self.peers[side.place()].queue.remove(found?)
    }

    fn send(&mut self, side: Side, mut work: Work) {
        if let Some(rest) = self.split_for_sending(&mut work) {
            self.peer(side).queue.push_front(rest);
        }
        let request = self.request(&work.task);
        let mut limit = self.job.connection_timeout;
        if let Request::Changes { wait: Some(wait), .. } = &request {
            limit += *wait;
        }
        let reserved = if let Request::Fetch(fetch) = &request { fetch.bytes_max } else { 0 };
        self.reserved += reserved;
        if work.task.takes_a_place() {
            self.peer(side).in_flight += 1;
        }
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let sent = self.now.monotonic;
        let flight = Flight { work, side, sent, deadline: sent + limit, reserved };
        self.flights.insert(id, flight);
        self.outputs.push(Output::Send { id, request });
    }

    fn request(&self, task: &Task) -> Request {
        match task {
            Task::Create => Request::Create,
            Task::Info(side) => Request::Info(*side),
            Task::ReadCheckpoint(side) => Request::ReadCheckpoint(*side),
            Task::Changes { limit, wait } => {
                Request::Changes { since: self.feed.since.clone(), limit: *limit, wait: *wait }
            }
            Task::Diff { rows, .. } => {
                Request::Diff(rows.iter().map(|it| (it.id.clone(), it.revs.clone())).collect())
            }
            Task::Fetch { wants, attachments, single, large, .. } => Request::Fetch(Fetch {
                wants: wants.clone(),
                bulk: self.bulk && !single,
                attachments: *attachments == Attachments::Inside,
                bytes_max: self.fetch_bytes(*large),
            }),
            Task::Stage { staging, .. } => Request::Stage {
                document: staging.document.clone(),
                attachment: staging.attachments[staging.next],
                from: staging.received,
            },
            Task::Write { documents, .. } => Request::Write(documents.clone()),
            Task::WriteStaged { staging, .. } => Request::WriteStaged {
                document: staging.document.clone(),
                staged: staging.attachments.clone(),
            },
            Task::Commit(side) => Request::Commit(*side),
            Task::WriteCheckpoint { side, checkpoint } => Request::WriteCheckpoint {
                side: *side,
                rev: self.saves.revs[side.place()].clone(),
                checkpoint: checkpoint.clone(),
            },
        }
    }

    fn replied(&mut self, flight: Flight, reply: Reply) {
        let took = self.now.monotonic.saturating_sub(flight.sent);
        match (flight.work.task, reply) {
            (Task::Create, Reply::Done) => {
                self.alive(Side::Target, took, 0, 0);
                self.ask_info(Side::Target);
            }
            (Task::Info(side), Reply::Info(info)) => {
                self.alive(side, took, 0, 0);
                self.got_info(side, info);
            }
            (Task::ReadCheckpoint(side), Reply::Checkpoint(found)) => {
                self.alive(side, took, 0, 0);
                self.got_checkpoint(side, found);
            }
            (Task::Changes { limit, wait }, Reply::Page(page)) => {
                self.peer(Side::Source).is_alive();
                self.got_page(page, limit, wait.map(|_| took));
            }
            (Task::Diff { portion, rows }, Reply::Missing(missing)) => {
                self.alive(Side::Target, took, rows.len(), 0);
                self.got_missing(portion, &rows, &missing);
            }
            (
                Task::Fetch { portion, wants, attachments, single, large },
                Reply::Fetched(results),
            ) if !results.is_empty() => {
                let bytes = results.iter().map(Fetched::bytes).sum();
                self.alive(Side::Source, took, results.len(), bytes);
                let bulk = self.bulk && !single;
                self.got_documents(portion, wants, results, attachments, bulk, large);
            }
            (Task::Stage { portion, staging }, Reply::Done) => {
                self.peer(Side::Source).is_alive();
                self.got_attachment(portion, staging);
            }
            (Task::Write { portion, documents }, Reply::Written(refusals)) => {
                let bytes = documents.iter().map(|it| it.bytes()).sum();
                self.alive(Side::Target, took, documents.len(), bytes);
                self.wrote(portion, documents, None, refusals, flight.work.tries);
            }
            (Task::WriteStaged { portion, staging }, Reply::Written(refusals)) => {
                self.peer(Side::Target).is_alive();
                let document = staging.document.clone();
                let tries = flight.work.tries;
                self.wrote(portion, vec![document], Some(staging), refusals, tries);
            }
            (Task::Commit(side), Reply::Committed(start)) => {
                self.peer(side).is_alive();
                self.committed(side, Some(&start));
            }
            (Task::WriteCheckpoint { side, .. }, Reply::CheckpointWritten(rev)) => {
                self.peer(side).is_alive();
                self.checkpoint_written(side, rev);
            }
            (task, _) => {
                let reason = "the reply is not one to this request".to_owned();
                let work = Work { task, ..flight.work };
                let flight = Flight { work, ..flight };
                self.failed(flight, Failure { kind: FailureKind::Broken, reason });
            }
        }
    }

    fn alive(&mut self, side: Side, took: Duration, documents: usize, bytes: usize) {
        let peer = self.peer(side);
        peer.is_alive();
        peer.pace.answered(documents, bytes, took);
    }

    fn failed(&mut self, flight: Flight, failure: Failure) {
        let Flight { mut work, side, sent, .. } = flight;
        if failure.kind.failing() != Failing::Passing {
            return self.refused(work, side, failure);
        }
        let may_wait = match &self.phase {
            Phase::Ending(Ending::Cancelled | Ending::Failed(_)) => false,
            Phase::Opening | Phase::Running | Phase::Ending(_) | Phase::Ended => true,
        };
        let (now, chance) = (self.now.monotonic, self.chance.next());
        let peer = self.peer(side);
        peer.failed(now, sent, failure.kind, chance);
        let (gives_up, halves) = if let FailureKind::Busy { retry_after } = failure.kind {
            let too_long = retry_after.is_some_and(|it| it > RETRY_AFTER_MAX);
            (too_long || peer.is_busy_too_long(now), None)
        } else {
            let halves = work.task.split();
            work.tries += u32::from(halves.is_none());
            (peer.failures > self.job.retries_per_request, halves)
        };
        if !may_wait || gives_up || work.tries > self.job.retries_per_request {
            return self.give_up(&work, side, failure);
        }
        if let Some(half) = halves {
            self.count_in(&half);
            self.peer(side).queue.push_front(Work::new(half));
        }
        self.peer(side).queue.push_front(work);
    }

    /// What is done about an answer that will not change.
    fn refused(&mut self, work: Work, side: Side, failure: Failure) {
        match work.task {
            Task::ReadCheckpoint(side) if failure.kind == FailureKind::NotFound => {
                self.got_checkpoint(side, None);
            }
            Task::WriteCheckpoint { side, ref checkpoint } => {
                let checkpoint = checkpoint.clone();
                if !self.checkpoint_refused(side, failure.kind, &checkpoint) {
                    self.give_up(&work, side, failure);
                }
            }
            Task::Diff { .. }
            | Task::Fetch { .. }
            | Task::Stage { .. }
            | Task::Write { .. }
            | Task::WriteStaged { .. } => self.copying_refused(work, side, failure),
            Task::Commit(Side::Source) if failure.kind != FailureKind::NotFound => {
                // Who may only read there can still be sent what there is.
                self.committed(Side::Source, None);
            }
            Task::Create
            | Task::Info(_)
            | Task::ReadCheckpoint(_)
            | Task::Changes { .. }
            | Task::Commit(_) => self.give_up(&work, side, failure),
        }
    }

    fn give_up(&mut self, work: &Work, side: Side, failure: Failure) {
        let Failure { kind, reason } = failure;
        let what = work.task.what();
        self.end(Ending::Failed(ReplicationError::Request { side, what, kind, reason }));
    }

    /// Stops everything, and writes the last checkpoint.
    fn end(&mut self, ending: Ending) {
        let was_open = self.phase != Phase::Opening;
        match &self.phase {
            Phase::Opening | Phase::Running => self.phase = Phase::Ending(ending),
            Phase::Ending(Ending::Completed) => {
                self.phase = Phase::Ending(ending);
                return self.finish();
            }
            // The first reason counts. If this is a second one, the checkpoint could not be written.
            Phase::Ending(_) => return self.finish(),
            Phase::Ended => return,
        }
        self.stop_work();
        if was_open && self.has_news() {
            self.save();
        } else {
            self.finish();
        }
    }

    /// Forgets all that waits or is under way.
    fn stop_work(&mut self) {
        for (id, _) in mem::take(&mut self.flights) {
            self.outputs.push(Output::Abandon { id });
        }
        for peer in &mut self.peers {
            peer.queue = VecDeque::new();
            peer.in_flight = 0;
        }
        self.portions = BTreeMap::new();
        self.feed.stop();
        (self.held, self.reserved) = (0, 0);
        self.saves.saving = None;
    }

    fn finish(&mut self) {
        let Phase::Ending(ending) = mem::replace(&mut self.phase, Phase::Ended) else { return };
        self.stop_work();
        let checkpoint = self.saves.checkpoint.as_deref().cloned();
        self.outputs.push(Output::End(Outcome {
            checkpoint,
            recorded: self.saves.recorded,
            ending,
        }));
    }
}

impl Fetched {
    fn bytes(&self) -> usize {
        match self {
            Self::Documents(documents) => documents.iter().map(Document::bytes).sum(),
            Self::Missing | Self::Failed { .. } | Self::TooLarge => 0,
        }
    }
}
