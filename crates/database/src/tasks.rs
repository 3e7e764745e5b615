//! Background work with a common end: whoever stops the store waits for it.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Spawns tasks and waits for them. Clones share one set.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: Arc<watch::Sender<bool>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), stopping: Arc::new(watch::Sender::new(false)) }
    }
}

impl Tasks {
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.tracker.spawn(task));
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends when [`stop`](Self::stop) is called; for loops that run as long as the store.
    pub async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }

    /// Asks loops to end, and waits for every task, loop or not.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        self.tracker.close();
        self.tracker.wait().await;
    }
}
