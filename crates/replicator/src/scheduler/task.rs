//! The one task that starts jobs and sees them end.

use std::{cmp::Reverse, future, sync::Arc, time::Duration};

use settle_database::DatabaseChanged;
use settle_sync::{
    id::ReplicationId,
    job_pause,
    replication::{Ending, FailureKind, Outcome, ReplicationError},
    seq::Seq,
};
use tokio::{sync::broadcast::error::RecvError, task::JoinSet, time::MissedTickBehavior};

use super::{
    Ended, JobEventKind, Shared, State, Task,
    job::{Phase, Runs, Source},
};
use crate::{
    limits::{TURN, TURN_OF_WAITING, TURNS_LOOKED_AT_EVERY, WELL_AFTER},
    peer::Peer,
    run::{End, Running, Watched, run},
};

/// A run that has ended, and the source that it may rest on.
type Over = (ReplicationId, End, Arc<Peer>);

pub(super) async fn main(shared: Arc<Shared>) {
    let mut changes = shared.peers.site.store.changed();
    let mut runs: JoinSet<Over> = JoinSet::new();
    let mut turns = tokio::time::interval(TURNS_LOOKED_AT_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        shared.start_queued(&mut runs);
        let (are_queued, due) = {
            let state = shared.state();
            (!state.queue.is_empty(), state.retries.first().map(|(due, _)| *due))
        };
        let now = shared.peers.site.clock.monotonic();
        let retry = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_sub(now)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = shared.wake.notified() => {}
            Some(over) = runs.join_next() => match over {
                Ok((id, end, source)) => shared.over(&id, end, &source).await,
                // Which one, nobody knows any more. It holds its place until the server is started again.
                Err(error) => tracing::error!(%error, "a run of a replication panicked"),
            },
            change = changes.recv() => match change {
                Ok(change) => shared.changed(&change),
                Err(RecvError::Lagged(_)) => shared.look_at_all(),
                Err(RecvError::Closed) => break,
            },
            () = retry => shared.retry(),
            _ = turns.tick(), if are_queued => shared.end_turns(),
        }
    }
    shared.stop_all();
    while runs.join_next().await.is_some() {}
}

impl Shared {
    fn start_queued(&self, runs: &mut JoinSet<Over>) {
        let mut state = self.state();
        while state.running < self.settings.running_max && !state.is_closed {
            let Some(id) = state.queue.pop() else { break };
            self.start(&mut state, &id, runs);
        }
        let others_wait = !state.queue.is_empty();
        self.others_wait
            .send_if_modified(|known| std::mem::replace(known, others_wait) != others_wait);
    }

    fn start(&self, state: &mut State, id: &ReplicationId, runs: &mut JoinSet<Over>) {
        let site = &self.peers.site;
        let Some(entry) = state.jobs.get_mut(id) else { return };
        let [source, target] = match self.peers_of(&entry.task) {
            Ok(peers) => peers.map(Arc::new),
            Err((side, failure)) => {
                let (kind, reason) = (failure.kind, failure.reason);
                let error = ReplicationError::Request { side, what: "connect", kind, reason };
                return self.failed(state, id, error);
            }
        };
        state.runs += 1;
        state.running += 1;
        self.share_memory(state.running);
        let memory = self.memory_bytes_each.clone();
        let watched = Arc::new(Watched::new(memory, self.others_wait.subscribe()));
        entry.note(site.clock.now(), JobEventKind::Started);
        entry.phase = Phase::Running(Runs {
            watched: watched.clone(),
            since: site.clock.monotonic(),
            pid: format!("<0.{}.0>", state.runs),
        });
        let running = Running {
            id: id.clone(),
            job: entry.task.job.clone(),
            source: source.clone(),
            target,
            spool: Arc::new(self.spool.of_job(id)),
            clock: site.clock.clone(),
            entropy: site.entropy.clone(),
            stats: entry.progress.as_ref().map(|it| it.stats).unwrap_or_default(),
            watched,
        };
        let id = id.clone();
        runs.spawn(async move { (id, run(running).await, source) });
    }

    async fn over(&self, id: &ReplicationId, end: End, source: &Peer) {
        // Where it rests, if it does.
        let resting = match (&end, source) {
            (End::Rests { since }, Peer::Local(peer)) => {
                let number = peer.number().await.ok();
                number.map(|number| (Source { name: peer.name().clone(), number }, since.clone()))
            }
            (End::Rests { .. } | End::Ended(_), _) => None,
        };
        let is_gone = {
            let mut state = self.state();
            let is_gone = self.settle(&mut state, id, end, resting.clone());
            self.share_memory(state.running);
            is_gone
        };
        if is_gone {
            self.spool.forget(id).await;
        }
        if let (Some((_, since)), Peer::Local(peer)) = (resting, source)
            && peer.has_news(&since).await.unwrap_or(true)
        {
            // It came while the run ended, before anybody could tell.
            self.state().wake(id);
        }
    }

    /// Whether the job is no more.
    fn settle(
        &self,
        state: &mut State,
        id: &ReplicationId,
        end: End,
        resting: Option<(Source, Seq)>,
    ) -> bool {
        let now = self.peers.site.clock.now();
        let Some(entry) = state.jobs.get_mut(id) else { return true };
        if let Phase::Running(runs) = &entry.phase {
            entry.progress = runs.watched.progress().or_else(|| entry.progress.take());
        }
        if let Some(next) = entry.left() {
            self.end(state, id, end);
            let Some(next) = next else { return true };
            state.jobs.insert(id.clone(), next);
            state.enqueue(id);
            return false;
        }
        match end {
            End::Ended(Outcome { ending: Ending::Failed(error), .. })
                if !entry.task.ends_with_failure() =>
            {
                state.running -= 1;
                self.failed(state, id, error);
            }
            // Its turn was over.
            End::Ended(Outcome { ending: Ending::Cancelled, .. }) => {
                entry.note(now, JobEventKind::Stopped);
                state.running -= 1;
                state.enqueue(id);
            }
            End::Ended(_) => {
                self.end(state, id, end);
                return true;
            }
            End::Rests { .. } => {
                entry.failures = 0;
                state.running -= 1;
                match resting {
                    Some((source, since)) => {
                        let resting = state.resting.entry(source.name.clone()).or_default();
                        resting.insert(id.clone());
                        entry.phase = Phase::Resting { source, since };
                    }
                    // The source is gone; the next run will say so.
                    None => state.enqueue(id),
                }
            }
        }
        false
    }

    /// Tells those who wait that a job is no more.
    fn end(&self, state: &mut State, id: &ReplicationId, end: End) {
        let Some(entry) = state.forget(id) else { return };
        let ended = match end {
            End::Ended(outcome) => Ended { task: entry.task, outcome, progress: entry.progress },
            End::Rests { .. } => entry.cancelled(),
        };
        state.tell(&ended);
    }

    /// Has the job wait, longer each time. It has no place.
    fn failed(&self, state: &mut State, id: &ReplicationId, error: ReplicationError) {
        let site = &self.peers.site;
        let Some(entry) = state.jobs.get_mut(id) else { return };
        let now = site.clock.monotonic();
        if let Phase::Running(runs) = &entry.phase
            && now.saturating_sub(runs.since) >= WELL_AFTER
        {
            entry.failures = 0;
        }
        entry.failures += 1;
        let mut chance = [0; 8];
        site.entropy.fill(&mut chance);
        let mut pause = job_pause(entry.failures, u64::from_ne_bytes(chance));
        if let ReplicationError::Request {
            kind: FailureKind::Busy { retry_after: Some(retry_after) },
            ..
        } = &error
        {
            pause = pause.max(*retry_after);
        }
        let reason = error.to_string();
        tracing::warn!(replication = %id, reason, "a replication failed");
        entry.note(site.clock.now(), JobEventKind::Crashed { reason });
        let due = now + pause;
        entry.phase = Phase::Waiting { due };
        state.retries.insert((due, id.clone()));
    }

    /// Starts again those whose pause is over.
    fn retry(&self) {
        let now = self.peers.site.clock.monotonic();
        let mut state = self.state();
        while let Some((due, id)) = state.retries.first().cloned() {
            if due > now {
                break;
            }
            state.retries.pop_first();
            state.enqueue(&id);
        }
    }

    /// Wakes those that rest on a database.
    fn changed(&self, change: &DatabaseChanged) {
        let mut state = self.state();
        let Some(resting) = state.resting.get(&change.name) else { return };
        let is_news = |id: &&ReplicationId| match state.jobs.get(*id).map(|it| &it.phase) {
            // It may be one that it has seen.
            Some(Phase::Resting { source, since }) => {
                let seen = source.number == change.number && since.integer() >= change.sequence;
                change.sequence.is_none() || !seen
            }
            Some(Phase::Queued | Phase::Running(_) | Phase::Waiting { .. }) | None => false,
        };
        for id in resting.iter().filter(is_news).cloned().collect::<Vec<_>>() {
            state.wake(&id);
        }
    }

    /// Wakes all that rest: who knows what has changed.
    fn look_at_all(&self) {
        let mut state = self.state();
        for id in state.resting.values().flatten().cloned().collect::<Vec<_>>() {
            state.wake(&id);
        }
    }

    /// Takes places from as many jobs as are queued.
    fn end_turns(&self) {
        let now = self.peers.site.clock.monotonic();
        let state = self.state();
        if state.running < self.settings.running_max {
            return;
        }
        let mut over: Vec<(Duration, &Runs)> = Vec::new();
        let mut ending = 0;
        for entry in state.jobs.values() {
            let Phase::Running(runs) = &entry.phase else { continue };
            if runs.watched.cancel.is_cancelled() {
                ending += 1;
                continue;
            }
            let turn = if runs.watched.is_idle() { TURN_OF_WAITING } else { TURN };
            let beyond = now.saturating_sub(runs.since).checked_sub(turn);
            over.extend(beyond.map(|beyond| (beyond, runs)));
        }
        // Those that have been at it longest.
        over.sort_by_key(|(beyond, _)| Reverse(*beyond));
        for (_, runs) in over.into_iter().take(state.queue.len().saturating_sub(ending)) {
            runs.watched.cancel.cancel();
        }
    }

    fn stop_all(&self) {
        for entry in self.state().jobs.values() {
            if let Phase::Running(runs) = &entry.phase {
                runs.watched.cancel.cancel();
            }
        }
    }
}

impl State {
    /// Has a job go on that rests.
    fn wake(&mut self, id: &ReplicationId) {
        let Some(entry) = self.jobs.get(id) else { return };
        if let Phase::Resting { source, .. } = &entry.phase {
            let source = source.name.clone();
            self.rest_no_more(&source, id);
            self.enqueue(id);
        }
    }
}

impl Task {
    /// A request that somebody waits for is answered with the failure.
    fn ends_with_failure(&self) -> bool {
        self.place.is_none() && !self.job.continuous
    }
}
