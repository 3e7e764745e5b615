//! What one server logged, in a process that runs several.
//!
//! A subscriber can only be set for a whole process or for a thread. So the one of the process
//! hands each event to the log that its thread belongs to, and every [`crate::TestServer`] has
//! threads of its own.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Registry,
    layer::{Context, Layer, SubscriberExt as _},
};

thread_local! {
    static MINE: RefCell<Option<Arc<Log>>> = const { RefCell::new(None) };
}

/// The warnings and errors of one server, a line each.
#[derive(Debug, Default)]
pub struct Log {
    lines: Mutex<Vec<(Level, String)>>,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            // A test that set a subscriber of its own reads its log itself.
            drop(tracing::subscriber::set_global_default(Registry::default().with(Divide)));
        });
        Arc::new(Self::default())
    }

    /// What this thread logs from now on is of this server.
    pub(crate) fn take_thread(self: &Arc<Self>) {
        MINE.with_borrow_mut(|mine| *mine = Some(self.clone()));
    }

    pub fn errors(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = lines.iter().filter(|(level, _)| *level == Level::ERROR);
        errors.map(|(_, line)| line.clone()).collect()
    }
}

struct Divide;

impl<S: Subscriber> Layer<S> for Divide {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut line = Line(format!("{level} {}:", event.metadata().target()));
        event.record(&mut line);
        MINE.with_borrow(|mine| {
            if let Some(log) = mine {
                let mut lines = log.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push((level, line.0));
            }
        });
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = &mut self.0;
        let written = match field.name() {
            "message" => write!(text, " {value:?}"),
            name => write!(text, " {name}={value:?}"),
        };
        written.expect("a string takes whatever is written");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_a_thread_logs_is_in_its_server_s_log_and_in_no_other() {
        let (mine, other) = (Log::new(), Log::new());
        let theirs = mine.clone();
        let failing = thread::spawn(move || {
            theirs.take_thread();
            tracing::error!(code = 7, "it broke");
            tracing::warn!("it nearly broke");
        });
        failing.join().unwrap();
        assert_eq!(mine.errors(), ["ERROR settle_testing::log::tests: it broke code=7"]);
        assert!(other.errors().is_empty());
    }
}
