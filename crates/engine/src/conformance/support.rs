//! What the cases are written in.

use std::{ops::Bound, sync::Arc};

use crate::{Batch, Direction, Engine, Outcome, Plan, Progress, Scan, Step, Visit, Visitor};

/// Says which case a panic came from.
pub(super) struct NamedOnPanic(pub(super) &'static str);

impl Drop for NamedOnPanic {
    #[expect(clippy::print_stderr, reason = "this is the report of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the engine does not keep to: {}", self.0);
        }
    }
}

/// Notes each visit as `step key=value`, and answers with what `wish` says.
pub(super) struct Notes {
    pub(super) lines: Vec<String>,
    wish: Box<dyn FnMut(&str) -> Visit + Send>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self::wishing(|_| Visit::Next)
    }

    /// `wish` is called with the line just noted.
    pub(super) fn wishing(wish: impl FnMut(&str) -> Visit + Send + 'static) -> Self {
        Self { lines: Vec::new(), wish: Box::new(wish) }
    }
}

impl Visitor for Notes {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let key = key.escape_ascii();
        let line = match value {
            Some(value) => format!("{step} {key}={}", value.escape_ascii()),
            None => format!("{step} {key} is absent"),
        };
        self.lines.push(line);
        (self.wish)(self.lines.last().expect("just pushed"))
    }
}

/// Reads one slice and joins what was visited with `; `; a pause is shown as `…`.
pub(super) async fn slice(
    engine: &Arc<dyn Engine>,
    plan: Plan,
    notes: Notes,
) -> (String, Progress) {
    let (notes, progress) = engine.read(plan, notes).await.expect("a sound engine reads");
    let mut text = notes.lines.join("; ");
    if matches!(progress, Progress::Paused(_)) {
        text.push_str(" …");
    }
    (text, progress)
}

pub(super) async fn read(engine: &Arc<dyn Engine>, steps: Vec<Step>) -> String {
    slice(engine, Plan::new(steps), Notes::new()).await.0
}

pub(super) async fn read_all(engine: &Arc<dyn Engine>) -> String {
    read(engine, vec![scan(Bound::Unbounded, Bound::Unbounded, Direction::Ascending)]).await
}

pub(super) fn get(key: &str) -> Step {
    Step::Get(key.into())
}

pub(super) fn scan(start: Bound<&str>, end: Bound<&str>, direction: Direction) -> Step {
    let owned = |bound: Bound<&str>| bound.map(|key| key.as_bytes().to_vec());
    Step::Scan(Scan { start: owned(start), end: owned(end), direction })
}

pub(super) fn scan_prefix(prefix: &str) -> Step {
    Step::Scan(Scan::prefix(prefix.as_bytes(), Direction::Ascending))
}

/// A batch from words: `a=1` puts, `-a` deletes.
pub(super) fn batch(words: &str) -> Batch {
    let mut batch = Batch::default();
    for word in words.split_whitespace() {
        match (word.strip_prefix('-'), word.split_once('=')) {
            (Some(key), _) => batch.delete(key.into()),
            (None, Some((key, value))) => batch.put(key.into(), value.into()),
            (None, None) => panic!("{word:?} is no operation"),
        }
    }
    batch
}

pub(super) async fn commit(engine: &Arc<dyn Engine>, batch: Batch) {
    assert_eq!(engine.commit(batch).await, Outcome::Committed);
}

pub(super) fn number_value(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}
