//! One life: edits, runs of a replication and whatever goes wrong, then quiet, then what must hold.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use settle_model::{revision::RevId, time::Timestamp};
use settle_sync::{
    checkpoint::Checkpoint,
    job::Job,
    job_pause,
    limits::DOCUMENT_BYTES_MAX,
    replication::{
        Document, Ending, Failure, FailureKind, Fetched, Info, Input, Now, Output, Refusal,
        Replication, Reply, Request, RequestId, Run, Side, Want,
    },
};

use crate::{
    database::{Copy, Database, Quirks, Select},
    network::{Fate, Network},
    random::Random,
};

/// What a life was like, summed up over many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) lives: u64,
    requests: u64,
    runs: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    crashes: u64,
    restores: u64,
    checkpoints: u64,
    conflicts: u64,
    staged: u64,
    resumed: u64,
    timeouts: u64,
    split: u64,
    refused: u64,
    large: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.requests += other.requests;
        self.runs += other.runs;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.crashes += other.crashes;
        self.restores += other.restores;
        self.checkpoints += other.checkpoints;
        self.conflicts += other.conflicts;
        self.staged += other.staged;
        self.resumed += other.resumed;
        self.timeouts += other.timeouts;
        self.split += other.split;
        self.refused += other.refused;
        self.large += other.large;
    }

    /// A simulation in which nothing happens shows nothing.
    pub(crate) fn check(&self) {
        let all = [
            self.completed,
            self.failed,
            self.cancelled,
            self.crashes,
            self.restores,
            self.checkpoints,
            self.conflicts,
            self.staged,
            self.resumed,
            self.timeouts,
            self.split,
            self.refused,
            self.large,
        ];
        assert!(all.iter().all(|count| *count > 10), "{self:?}");
    }
}

#[derive(Debug)]
enum Event {
    /// A request comes to its database.
    Arrive {
        run: u64,
        id: RequestId,
        request: Request,
        fate: Doom,
    },
    Input {
        run: u64,
        input: Input,
    },
    Edit,
    Accident,
    Start,
}

/// What becomes of the answer.
#[derive(Debug)]
enum Doom {
    Deliver { twice: bool },
    Lose(Option<Failure>),
}

struct World {
    random: Random,
    time: Duration,
    /// Seconds that somebody has put the time of day forward.
    jumped: u64,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    kept: HashMap<u64, Event>,
    next_event: u64,
    source: Database,
    target: Database,
    copies: [Option<Copy>; 2],
    network: Network,
    job: Arc<Job>,
    select: Select,
    memory: usize,
    with_attachments: bool,
    quirks: Quirks,
    replication: Option<Replication>,
    run: u64,
    failures: u32,
    /// Bytes of attachments that wait at the target: run, document, revision, place.
    staged: BTreeMap<(u64, Arc<str>, RevId, usize), u64>,
    is_noisy: bool,
    /// A run that has ended is followed by another one.
    restarts: bool,
    summary: Summary,
}

pub(crate) fn live(seed: u64) -> Summary {
    let mut world = World::new(seed);
    world.noise();
    world.quiet();
    world.check_leaves();
    if world.random.percent(50) {
        world.set_back();
        world.quiet();
        world.check_leaves();
    }
    world.summary.lives = 1;
    world.summary
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let with_attachments = random.percent(40);
        let winners = random.percent(15);
        let ids = random
            .percent(15)
            .then(|| (0..20).map(|_| format!("doc{}", random.below(60))).collect::<Vec<_>>());
        let job = format!(
            r#"{{"source":"a","target":"b","continuous":{},"worker_batch_size":{},
            "worker_processes":{},"http_connections":{},"retries_per_request":{},
            "connection_timeout":{},"checkpoint_interval":{},"use_bulk_get":{}}}"#,
            random.percent(50),
            random.between(1, 60),
            random.between(1, 4),
            random.between(1, 8),
            random.between(1, 6),
            random.between(2_000, 30_000),
            random.between(500, 30_000),
            random.percent(85),
        );
        let mut world = Self {
            time: Duration::ZERO,
            jumped: 0,
            events: BinaryHeap::new(),
            kept: HashMap::new(),
            next_event: 0,
            source: Database::new(1),
            target: Database::new(1),
            copies: [None, None],
            network: Network::drawn(&mut random),
            job: Arc::new(Job::parse(job.as_bytes()).unwrap()),
            select: Select { ids, winners },
            memory: (256 << 10) << random.below(5),
            with_attachments,
            quirks: Quirks::drawn(&mut random),
            replication: None,
            run: 0,
            failures: 0,
            staged: BTreeMap::new(),
            is_noisy: true,
            restarts: true,
            summary: Summary::default(),
            random,
        };
        for _ in 0..world.random.below(150) {
            let at_target = world.random.percent(10);
            world.edit(at_target);
        }
        world
    }

    fn edit(&mut self, at_target: bool) {
        let database = if at_target { &mut self.target } else { &mut self.source };
        database.edit(&mut self.random, self.with_attachments);
    }

    /// Some minutes in which everything goes on at once.
    fn noise(&mut self) {
        self.after(Duration::ZERO, Event::Start);
        for _ in 0..self.random.below(100) {
            let time = Duration::from_millis(self.random.below(300_000));
            self.after(time, Event::Edit);
        }
        if self.random.percent(50) {
            self.copies[1] = Some(self.target.copy());
        }
        for _ in 0..self.random.below(12) {
            let time = Duration::from_millis(self.random.below(300_000));
            self.after(time, Event::Accident);
        }
        self.run_until(Duration::from_secs(300), |_| false);
    }

    /// Nobody writes, nothing goes wrong, and the replication has to come to its end.
    fn quiet(&mut self) {
        self.is_noisy = false;
        self.restarts = true;
        self.network = Network::quiet();
        let before = self.summary.requests;
        if self.replication.is_none() {
            self.after(Duration::ZERO, Event::Start);
        }
        if self.job.continuous {
            let end = self.time + Duration::from_secs(7_200);
            self.run_until(end, |world| {
                world.replication.as_ref().is_some_and(|replication| {
                    let progress = replication.progress();
                    world.source.is_at_end(&progress.through_seq)
                        && progress.through_seq == progress.checkpointed_source_seq
                })
            });
            assert!(self.time < end, "it does not come to its end: {:?}", self.replication);
            let run = self.run;
            self.restarts = false;
            self.after(Duration::ZERO, Event::Input { run, input: Input::Cancel });
            self.run_until(self.time + Duration::from_secs(60), |it| it.replication.is_none());
        } else {
            // The run that is under way may have read the changes before the last edit.
            for _ in 0..2 {
                let completed = self.summary.completed;
                let end = self.time + Duration::from_secs(7_200);
                self.run_until(end, |it| it.summary.completed > completed);
                assert!(self.time < end, "it does not complete: {:?}", self.replication);
            }
        }
        assert!(self.replication.is_none(), "it ends when it is told to");
        self.kept.clear();
        self.events.clear();
        let requests = self.summary.requests - before;
        assert!(requests < 4_000, "{requests} requests in quiet");
    }

    /// One side is set back to an earlier state, or loses its checkpoint.
    fn set_back(&mut self) {
        let database = if self.random.percent(50) { &mut self.target } else { &mut self.source };
        if self.random.percent(40) {
            database.lose_checkpoint();
            return;
        }
        let at_target = self.random.percent(60);
        let place = usize::from(at_target);
        let copy = self.copies[place].take();
        let database = if at_target { &mut self.target } else { &mut self.source };
        let Some(copy) = copy else { return };
        database.restore(copy);
        self.summary.restores += 1;
        for _ in 0..self.random.below(20) {
            self.edit(false);
        }
    }

    fn check_leaves(&self) {
        for (id, revs) in self.source.selected(u64::MAX, &self.select) {
            for rev in revs {
                if &*id == "forbidden" {
                    continue;
                }
                assert!(self.target.has(&id, &rev), "{id} {rev} is not on the target");
                if let (Some(there), Some(here)) =
                    (self.target.leaf(&id, &rev), self.source.leaf(&id, &rev))
                {
                    assert_eq!(there, here, "{id} {rev}");
                }
            }
        }
    }

    fn after(&mut self, pause: Duration, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        self.events.push(Reverse((self.time + pause, number)));
        self.kept.insert(number, event);
    }

    fn run_until(&mut self, end: Duration, is_done: impl Fn(&Self) -> bool) {
        while !is_done(self) {
            let event = self.events.peek().map(|Reverse((time, _))| *time);
            let wake = self.replication.as_ref().and_then(Replication::wake_at);
            let next = event.into_iter().chain(wake).min().unwrap_or(Duration::MAX);
            if next >= end {
                self.time = self.time.max(end);
                return;
            }
            self.time = self.time.max(next);
            if event.is_some_and(|time| time <= next) {
                let Reverse((_, number)) = self.events.pop().unwrap();
                let Some(event) = self.kept.remove(&number) else { continue };
                self.happen(event);
            } else {
                self.tell(Input::Tick);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Edit => {
                let at_target = self.random.percent(10);
                self.edit(at_target);
            }
            Event::Accident => self.accident(),
            Event::Input { run, input } => {
                if run == self.run {
                    self.tell(input);
                }
            }
            Event::Arrive { run, id, request, fate } => self.arrive(run, id, request, fate),
        }
    }

    fn start(&mut self) {
        if self.replication.is_some() {
            return;
        }
        self.run += 1;
        self.summary.runs += 1;
        let mut run = Run::new(format!("session{}", self.run), self.random.next());
        run.memory_bytes_max = self.memory;
        self.replication = Some(Replication::new(self.job.clone(), run, self.now()));
        self.tell(Input::Tick);
    }

    fn now(&self) -> Now {
        let seconds = 1_700_000_000 + self.time.as_secs() + self.jumped;
        Now { monotonic: self.time, time_of_day: Timestamp::from_seconds(seconds) }
    }

    fn accident(&mut self) {
        match self.random.below(8) {
            7 => self.source.purge(&mut self.random),
            0 => {
                self.source.crash();
                self.cut(Side::Source);
            }
            1 | 2 => {
                self.target.crash();
                self.cut(Side::Target);
            }
            3 => {
                // The replicator crashes, and is started again later; its requests are on their way.
                self.replication = None;
                self.summary.crashes += 1;
                let pause = Duration::from_millis(self.random.below(5_000));
                self.after(pause, Event::Start);
            }
            4 => self.jumped += self.random.below(1_000_000),
            5 => self.time += Duration::from_secs(self.random.below(600)), // it was asleep
            _ if self.random.percent(50) => {
                let place = usize::from(self.random.percent(60));
                let database = if place == 0 { &self.source } else { &self.target };
                self.copies[place] = Some(database.copy());
            }
            _ => {
                let run = self.run;
                self.after(Duration::ZERO, Event::Input { run, input: Input::Cancel });
            }
        }
    }

    /// A database has crashed: what was on its way to it is lost.
    fn cut(&mut self, side: Side) {
        self.summary.crashes += 1;
        for event in self.kept.values_mut() {
            if let Event::Arrive { run, id, request, .. } = event
                && request.side() == side
            {
                let failure = Failure { kind: FailureKind::Lost, reason: "crash".to_owned() };
                let answer = Err(failure);
                *event = Event::Input { run: *run, input: Input::Answer { request: *id, answer } };
            }
        }
    }

    fn tell(&mut self, input: Input) {
        let now = self.now();
        let Some(replication) = &mut self.replication else { return };
        let outputs = replication.handle(now, input);
        let bytes = replication.memory_bytes();
        let alone = bytes == DOCUMENT_BYTES_MAX;
        assert!(bytes <= self.memory || alone, "{bytes} bytes");
        self.summary.large += u64::from(alone);
        for output in outputs {
            match output {
                Output::Send { id, request } => self.send(id, request),
                Output::Abandon { .. } => self.summary.timeouts += 1,
                Output::Refused(refusal) => {
                    self.summary.refused += 1;
                    assert_eq!(refusal.error, "forbidden", "{refusal:?}");
                }
                Output::End(outcome) => {
                    self.replication = None;
                    self.staged.clear();
                    let pause = match outcome.ending {
                        Ending::Completed => {
                            self.summary.completed += 1;
                            self.failures = 0;
                            Duration::from_millis(self.random.below(30_000))
                        }
                        Ending::Cancelled => {
                            self.summary.cancelled += 1;
                            Duration::from_secs(1)
                        }
                        Ending::Failed(_) => {
                            self.summary.failed += 1;
                            self.failures += 1;
                            job_pause(self.failures.min(3), self.random.next())
                        }
                    };
                    if self.restarts {
                        self.after(pause, Event::Start);
                    }
                    return;
                }
            }
        }
    }

    fn send(&mut self, id: RequestId, request: Request) {
        self.summary.requests += 1;
        let run = self.run;
        let latency = self.network.latency(&mut self.random);
        let fate = match self.network.fate(&mut self.random) {
            Fate::Answered => Doom::Deliver { twice: false },
            Fate::AnsweredTwice => Doom::Deliver { twice: true },
            Fate::AnswerLost(failure) => Doom::Lose(failure),
            Fate::Dropped(None) => return,
            Fate::Dropped(Some(failure)) => {
                self.partly_staged(run, id, &request);
                let input = Input::Answer { request: id, answer: Err(failure) };
                return self.after(latency, Event::Input { run, input });
            }
        };
        self.after(latency, Event::Arrive { run, id, request, fate });
    }

    /// A transfer that is cut has brought some of it.
    fn partly_staged(&mut self, run: u64, id: RequestId, request: &Request) {
        let Request::Stage { document, attachment, from } = request else { return };
        let length = document.attachments[*attachment].length;
        let received = from + (length - from) / 2;
        let key = (run, document.id.clone(), document.rev.clone(), *attachment);
        let there = self.staged.entry(key).or_default();
        assert!(*from <= *there, "what is skipped is in place");
        *there = (*there).max(received);
        let input = Input::Progress { request: id, received };
        self.after(Duration::ZERO, Event::Input { run, input });
    }

    fn arrive(&mut self, run: u64, id: RequestId, request: Request, fate: Doom) {
        if let Request::Changes { since, limit, wait: Some(wait) } = &request
            && self.source.changes(since, *limit, &self.select, &self.quirks).rows.is_empty()
            && !wait.is_zero()
        {
            let pause = Duration::from_secs(1).min(*wait);
            let (since, limit, wait) = (since.clone(), *limit, Some(*wait - pause));
            let request = Request::Changes { since, limit, wait };
            return self.after(pause, Event::Arrive { run, id, request, fate });
        }
        let answer = self.serve(run, &request);
        let latency = self.network.latency(&mut self.random);
        match fate {
            Doom::Lose(None) => {}
            Doom::Lose(Some(failure)) => {
                let input = Input::Answer { request: id, answer: Err(failure) };
                self.after(latency, Event::Input { run, input });
            }
            Doom::Deliver { twice } => {
                let input = || Input::Answer { request: id, answer: answer.clone() };
                if twice {
                    let later = latency + Duration::from_millis(self.random.below(3_000));
                    self.after(later, Event::Input { run, input: input() });
                }
                self.after(latency, Event::Input { run, input: input() });
            }
        }
    }

    fn serve(&mut self, run: u64, request: &Request) -> Result<Reply, Failure> {
        let failure = |kind| Failure { kind, reason: "so it is".to_owned() };
        let too_many = |count: usize, max: usize| {
            if count > max { Err(failure(FailureKind::TooLarge)) } else { Ok(()) }
        };
        Ok(match request {
            Request::Create => Reply::Done,
            Request::Info(side) => {
                let database = self.database(*side);
                Reply::Info(Info {
                    instance_start_time: database.timeline.to_string(),
                    update_seq: database.update_seq(),
                })
            }
            Request::ReadCheckpoint(side) => match self.database(*side).checkpoint() {
                None if self.random.percent(50) => return Err(failure(FailureKind::NotFound)),
                found => Reply::Checkpoint(found),
            },
            Request::Changes { since, limit, .. } => {
                Reply::Page(self.source.changes(since, *limit, &self.select, &self.quirks))
            }
            Request::Diff(revs) => Reply::Missing(self.target.missing(revs)),
            Request::Fetch(fetch) => {
                if fetch.bulk && !self.quirks.knows_bulk {
                    return Err(failure(FailureKind::NotFound));
                }
                if !fetch.bulk {
                    let first = &fetch.wants[0].id;
                    assert!(fetch.wants.iter().all(|want| want.id == *first), "one document");
                }
                let mut left = fetch.bytes_max;
                let mut results = Vec::new();
                for want in &fetch.wants {
                    let found = self.fetch(want, fetch.attachments);
                    let bytes = match &found {
                        Fetched::Documents(documents) => {
                            documents.iter().map(Document::bytes).sum()
                        }
                        Fetched::Missing | Fetched::Failed { .. } | Fetched::TooLarge => 0,
                    };
                    if bytes > fetch.bytes_max {
                        results.push(Fetched::TooLarge);
                    } else if bytes > left {
                        break;
                    } else {
                        left -= bytes;
                        results.push(found);
                    }
                }
                Reply::Fetched(results)
            }
            Request::Stage { document, attachment, from } => {
                self.summary.staged += 1;
                self.summary.resumed += u64::from(*from > 0);
                let key = (run, document.id.clone(), document.rev.clone(), *attachment);
                let has_ended = run != self.run || self.replication.is_none();
                let there = self.staged.entry(key).or_default();
                assert!(has_ended || *from <= *there, "what is skipped is in place");
                *there = document.attachments[*attachment].length;
                Reply::Done
            }
            Request::Write(documents) => {
                if documents.len() > self.quirks.request_documents_max {
                    self.summary.split += 1;
                }
                too_many(documents.len(), self.quirks.request_documents_max)?;
                let results: Vec<_> = documents.iter().map(|it| self.write(it, &[])).collect();
                Reply::Written(results.into_iter().filter_map(Result::err).collect())
            }
            Request::WriteStaged { document, staged } => {
                for place in staged {
                    let key = (run, document.id.clone(), document.rev.clone(), *place);
                    if run == self.run && self.replication.is_some() {
                        let there = self.staged.get(&key).copied();
                        assert_eq!(there, Some(document.attachments[*place].length), "is staged");
                    }
                }
                Reply::Written(self.write(document, staged).err().into_iter().collect())
            }
            Request::Commit(Side::Source) if self.quirks.refuses_commits => {
                self.source.commit(); // it is always durable
                return Err(failure(FailureKind::Refused));
            }
            Request::Commit(side) => Reply::Committed(match side {
                Side::Source => self.source.commit(),
                Side::Target => self.target.commit(),
            }),
            Request::WriteCheckpoint { side, rev, checkpoint } => {
                if *side == Side::Source && self.quirks.refuses_checkpoints {
                    return Err(failure(FailureKind::Forbidden));
                }
                self.check_checkpoint(checkpoint);
                let database = match side {
                    Side::Source => &mut self.source,
                    Side::Target => &mut self.target,
                };
                match database.write_checkpoint(rev.as_deref(), checkpoint) {
                    Some(rev) => {
                        self.summary.checkpoints += 1;
                        Reply::CheckpointWritten(rev)
                    }
                    None => {
                        self.summary.conflicts += 1;
                        return Err(failure(FailureKind::Conflict));
                    }
                }
            }
        })
    }

    fn database(&self, side: Side) -> &Database {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn fetch(&mut self, want: &Want, with_attachments: bool) -> Fetched {
        if self.is_noisy && self.random.percent(self.quirks.lags) {
            return Fetched::Missing;
        }
        self.source.fetch(want, with_attachments && self.quirks.sends_attachments)
    }

    fn write(&mut self, document: &Document, staged: &[usize]) -> Result<(), Refusal> {
        if self.is_noisy && self.random.percent(self.network.broken / 4) {
            return Err(Refusal {
                id: document.id.clone(),
                rev: Some(document.rev.clone()),
                error: "timeout".to_owned(),
                reason: "so it is".to_owned(),
            });
        }
        let key = (document.id.clone(), document.rev.clone());
        let content = self.source.bodies[&key].clone();
        self.target.write(document, staged, &content)
    }

    /// It says no more than what is durable on the target.
    fn check_checkpoint(&self, checkpoint: &Checkpoint) {
        // What was counted before the source lost something says nothing of what it has now.
        let Some(up_to) = self.source.resolve(&checkpoint.source_last_seq) else { return };
        for (id, revs) in self.source.selected(up_to, &self.select) {
            for rev in revs {
                let there = &*id == "forbidden" || self.target.has_durably(&id, &rev);
                assert!(there, "the checkpoint passes {id} {rev}, which is not there");
            }
        }
    }
}
