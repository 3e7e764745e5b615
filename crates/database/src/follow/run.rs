//! The task of a follower.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    ChangeBatch, End, FollowOptions, Pace, Phase, Status, Step, StepError, Wish,
    batch::{self, Bounds},
    with_sources,
};
use crate::{Database, Subscription, error::StorageError, record::state::State, tasks::Tasks};

pub(super) fn start(
    database: Database,
    step: Box<dyn Step>,
    options: FollowOptions,
    wishes: watch::Receiver<Wish>,
    status: watch::Sender<Status>,
) {
    let tasks = database.inner.shared.tasks.clone();
    let mut follower = Running {
        subscription: database.subscribe(),
        tasks: tasks.clone(),
        database,
        step,
        options,
        wishes,
        status,
    };
    tasks.spawn(async move {
        let end = follower.run().await;
        if let End::Failed { reason } = &end {
            let (database, follower) = (follower.database.name(), &follower.options.name);
            tracing::warn!(%database, %follower, reason, "a follower has ended");
        }
        follower.publish(|status| status.phase = Phase::Ended(end));
    });
}

struct Running {
    database: Database,
    step: Box<dyn Step>,
    options: FollowOptions,
    wishes: watch::Receiver<Wish>,
    status: watch::Sender<Status>,
    subscription: Subscription,
    tasks: Tasks,
}

/// Why a round was left.
enum Left {
    End(End),
    /// To be tried again.
    Failed {
        reason: String,
    },
    Paused,
}

impl From<StorageError> for Left {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Gone => Self::End(End::Gone),
            StorageError::Read(_)
            | StorageError::Record(_)
            | StorageError::Clear(_)
            | StorageError::Full { .. }
            | StorageError::NotWritten { .. }
            | StorageError::Unknown { .. }
            | StorageError::Contended
            | StorageError::Moved
            | StorageError::Inconsistent { .. } => Self::Failed { reason: with_sources(&error) },
        }
    }
}

impl From<StepError> for Left {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Retry { reason } => Self::Failed { reason },
            StepError::Fatal { reason } => Self::End(End::Failed { reason }),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.publish(|status| {
            if !matches!(status.phase, Phase::Ended(_)) {
                // The step panicked, or the runtime goes down.
                let reason = "the follower was torn down".to_owned();
                status.phase = Phase::Ended(End::Failed { reason });
            }
        });
    }
}

impl Running {
    async fn run(&mut self) -> End {
        loop {
            let left = match self.work().await {
                Ok(()) => self.wait(Phase::Idle).await,
                Err(Left::Paused) => self.wait(Phase::Paused).await,
                Err(left) => Err(left),
            };
            match left {
                Ok(()) | Err(Left::Paused) => {}
                Err(Left::End(end)) => return end,
                Err(Left::Failed { reason }) => {
                    if let Some(end) = self.back_off(reason).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Rounds until there is nothing to do.
    async fn work(&mut self) -> Result<(), Left> {
        loop {
            self.check()?;
            let position = match self.position() {
                Some(position) => position,
                None => self.load().await?,
            };
            let horizon = self.database.sequence();
            let asked = match self.options.pace {
                Pace::Live => horizon,
                Pace::OnDemand => self.wishes.borrow().reach.min(horizon),
            };
            if asked <= self.complete() {
                return Ok(());
            }
            self.publish(|status| {
                status.phase = Phase::Working;
                status.round = Some((position, horizon));
            });
            self.round(position, horizon).await?;
            // What a collector has taken away during the round may have been superseded in it.
            let is_complete = history_floor(&self.database).await? <= horizon;
            self.publish(|status| {
                status.round = None;
                status.failures = 0;
                if is_complete {
                    status.complete = status.complete.max(horizon);
                }
            });
        }
    }

    /// Asks the step where it stands.
    async fn load(&mut self) -> Result<u64, Left> {
        let sequence = self.database.sequence();
        let position = self.step.cursor().await?;
        self.publish(|status| {
            status.position = Some(position);
            // Before the end, an earlier process may have left in the middle of a round.
            if position >= sequence {
                status.complete = status.complete.max(position);
            }
        });
        Ok(position)
    }

    async fn round(&mut self, mut position: u64, horizon: u64) -> Result<(), Left> {
        let mut ahead = None;
        while position < horizon {
            self.check()?;
            let batch = match ahead.take() {
                Some(batch) => batch,
                None => read(&self.database, &self.options, position, horizon).await?,
            };
            let (until, changes) = (batch.until, batch.changes.len());
            let Self { database, options, step, .. } = self;
            let (applied, next) = tokio::join!(step.apply(batch), async {
                if until < horizon {
                    Some(read(database, options, until, horizon).await)
                } else {
                    None
                }
            });
            if let Err(error) = applied {
                // It may be there nevertheless.
                self.publish(|status| status.position = None);
                return Err(error.into());
            }
            position = until;
            let now = self.database.inner.shared.clock.now();
            self.publish(|status| {
                status.position = Some(until);
                status.failures = 0;
                status.changes += changes as u64;
                status.batches += 1;
                status.applied = Some(now);
            });
            ahead = next.transpose()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Left> {
        // An error says that the last handle is gone.
        let is_held = self.wishes.has_changed().is_ok();
        let wish = *self.wishes.borrow();
        if wish.stopped || !is_held || self.tasks.is_stopping() {
            return Err(Left::End(End::Stopped));
        }
        if self.database.is_dropped() {
            return Err(Left::End(End::Gone));
        }
        if wish.paused {
            return Err(Left::Paused);
        }
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.status.borrow().position
    }

    fn complete(&self) -> u64 {
        self.status.borrow().complete
    }

    /// Until there may be something to do.
    async fn wait(&mut self, phase: Phase) -> Result<(), Left> {
        let complete = self.complete();
        let is_paused = phase == Phase::Paused;
        self.publish(|status| {
            if phase == Phase::Idle {
                status.failures = 0;
            }
            status.phase = phase;
            status.round = None;
        });
        let wants_changes =
            self.options.pace == Pace::Live || self.wishes.borrow().reach > complete;
        // Beyond the last of all sequences it ends only when the database is dropped.
        let seen = if wants_changes && !is_paused { complete } else { u64::MAX };
        tokio::select! {
            is_there = self.subscription.after(seen) => {
                if is_there { Ok(()) } else { Err(Left::End(End::Gone)) }
            }
            is_held = self.wishes.changed() => {
                is_held.map_err(|_| Left::End(End::Stopped))
            }
            () = self.tasks.stopping() => Err(Left::End(End::Stopped)),
        }
    }

    async fn back_off(&mut self, reason: String) -> Option<End> {
        let failures = self.status.borrow().failures + 1;
        let delay = self.options.backoff.delay(failures, &*self.database.inner.shared.entropy);
        let (database, follower) = (self.database.name(), &self.options.name);
        let delay_ms = delay.as_millis();
        tracing::warn!(%database, %follower, reason, delay_ms, "a follower tries again later");
        self.publish(|status| {
            status.phase = Phase::Waiting;
            status.round = None;
            status.failures = failures;
            status.last_error = Some(reason);
        });
        self.sleep(delay).await
    }

    /// Unless it is to end.
    async fn sleep(&mut self, delay: Duration) -> Option<End> {
        let sleep = tokio::time::sleep(delay);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return None,
                is_held = self.wishes.changed() => {
                    if is_held.is_err() || self.wishes.borrow().stopped {
                        return Some(End::Stopped);
                    }
                }
                () = self.tasks.stopping() => return Some(End::Stopped),
            }
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }
}

async fn history_floor(database: &Database) -> Result<u64, StorageError> {
    let key = database.inner.keys.state();
    let value = database.inner.shared.engine.get(key.clone()).await?;
    Ok(State::decode(&key, &value.ok_or(StorageError::Gone)?)?.history_floor)
}

async fn read(
    database: &Database,
    options: &FollowOptions,
    since: u64,
    horizon: u64,
) -> Result<ChangeBatch, StorageError> {
    let bounds = Bounds {
        count_max: options.batch_count_max.max(1),
        bytes_max: options.batch_bytes_max.max(1),
    };
    batch::read(&database.inner, since, horizon, options.form, bounds).await
}
