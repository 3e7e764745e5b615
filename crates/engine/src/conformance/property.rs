//! Random histories of batches, clearings and reads, on the engine and on an ordered map.

use std::{collections::BTreeMap, fmt::Write as _, ops::Bound, sync::Arc};

use proptest::{
    prelude::{Just, Strategy, any},
    prop_oneof,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::Runtime;

use super::{Maker, support::Notes};
use crate::{
    Batch, Cleared, Direction, Engine, Expected, Operation, Outcome, Plan, Precondition, Progress,
    Scan, Step, Urgency, Visit,
};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Act {
    Commit(Batch),
    Clear {
        start: Vec<u8>,
        end: Vec<u8>,
        budget: usize,
    },
    /// `mood` decides what the visitor wants at each row.
    Read {
        steps: Vec<Step>,
        mood: u8,
    },
}

pub(super) fn an_engine_answers_as_an_ordered_map_would(runtime: &Runtime, maker: &dyn Maker) {
    let config =
        Config { cases: maker.history_count(), failure_persistence: None, ..Config::default() };
    let histories = proptest::collection::vec(act(), 1..24);
    let result = TestRunner::new(config).run(&histories, |history| {
        runtime.block_on(replay(maker.create(), history));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

async fn replay(engine: Arc<dyn Engine>, history: Vec<Act>) {
    let mut model = Model::new();
    for act in history {
        match act {
            Act::Commit(batch) => {
                let expected = apply(&mut model, &batch);
                assert_eq!(engine.commit(batch).await, expected);
            }
            Act::Clear { start, end, budget } => {
                clear(&engine, &mut model, start, end, budget).await;
            }
            Act::Read { steps, mood } => {
                let expected = visits(&model, &steps, mood);
                assert_eq!(read(&engine, steps, mood).await, expected);
            }
        }
        assert_eq!(engine.stats().keys, model.len() as u64);
    }
}

fn apply(model: &mut Model, batch: &Batch) -> Outcome {
    for (index, Precondition { key, expected }) in batch.preconditions.iter().enumerate() {
        let holds = match expected {
            Expected::Absent => !model.contains_key(key),
            Expected::Present => model.contains_key(key),
            Expected::Equals(value) => model.get(key) == Some(value),
        };
        if !holds {
            return Outcome::Refused { precondition: index };
        }
    }
    for operation in &batch.operations {
        match operation {
            Operation::Put { key, value } => drop(model.insert(key.clone(), value.clone())),
            Operation::Delete { key } => drop(model.remove(key)),
        }
    }
    Outcome::Committed
}

/// The engine chooses how far it clears; it must take a first part of the range.
async fn clear(
    engine: &Arc<dyn Engine>,
    model: &mut Model,
    start: Vec<u8>,
    end: Vec<u8>,
    budget: usize,
) {
    let before = engine.stats().keys;
    let cleared = engine.clear(start.clone(), end.clone(), budget).await.expect("clears");
    let gone = usize::try_from(before - engine.stats().keys).expect("few");
    let in_range: Vec<_> =
        model.keys().filter(|key| **key >= start && **key < end).cloned().collect();
    match cleared {
        Cleared::Done => assert_eq!(gone, in_range.len()),
        Cleared::More => assert!((1..in_range.len()).contains(&gone)),
    }
    for key in &in_range[..gone] {
        model.remove(key);
    }
}

/// What the plan visits, by its definition.
fn visits(model: &Model, steps: &[Step], mood: u8) -> Vec<String> {
    let mut notes = Vec::new();
    'plan: for (index, step) in steps.iter().enumerate() {
        let mut rows: Vec<(&[u8], Option<&Vec<u8>>)> = match step {
            Step::Get(key) => vec![(key, model.get(key))],
            Step::Scan(scan) => {
                let is_in = |key: &&Vec<u8>| {
                    (match &scan.start {
                        Bound::Included(start) => *key >= start,
                        Bound::Excluded(start) => *key > start,
                        Bound::Unbounded => true,
                    }) && (match &scan.end {
                        Bound::Included(end) => *key <= end,
                        Bound::Excluded(end) => *key < end,
                        Bound::Unbounded => true,
                    })
                };
                let keys = model.keys().filter(is_in);
                keys.map(|key| (key.as_slice(), model.get(key))).collect()
            }
        };
        if matches!(step, Step::Scan(Scan { direction: Direction::Descending, .. })) {
            rows.reverse();
        }
        let is_descending =
            matches!(step, Step::Scan(Scan { direction: Direction::Descending, .. }));
        let mut at = 0;
        while let Some(&(key, value)) = rows.get(at) {
            at += 1;
            let mut line = note(index, key, value.map(Vec::as_slice));
            loop {
                let wish = wish(&line, notes.len(), mood);
                notes.push(line);
                match wish {
                    Visit::Next | Visit::Pause => break,
                    Visit::Seek(_) if matches!(step, Step::Get(_)) => break,
                    Visit::Seek(sought) => {
                        at = rows.partition_point(|(key, _)| match is_descending {
                            true => *key > sought.as_slice(),
                            false => *key < sought.as_slice(),
                        });
                        break;
                    }
                    Visit::NextStep => continue 'plan,
                    Visit::Stop => break 'plan,
                    Visit::Follow(key) => {
                        line = note(index, &key, model.get(&key).map(Vec::as_slice));
                    }
                }
            }
        }
    }
    notes
}

async fn read(engine: &Arc<dyn Engine>, steps: Vec<Step>, mood: u8) -> Vec<String> {
    let mut plan = Plan::new(steps);
    let mut count = 0;
    let mut notes = Notes::wishing(move |line| {
        count += 1;
        wish(line, count - 1, mood)
    });
    loop {
        let progress;
        (notes, progress) = engine.read(plan.clone(), notes).await.expect("reads");
        match progress {
            Progress::Done => return notes.lines,
            Progress::Paused(resume) => plan.resume = Some(resume),
        }
    }
}

fn note(step: usize, key: &[u8], value: Option<&[u8]>) -> String {
    let mut line = format!("{step} {}", key.escape_ascii());
    match value {
        Some(value) => write!(line, "={}", value.escape_ascii()).expect("a string takes all"),
        None => line.push_str(" is absent"),
    }
    line
}

/// Mostly on; at some rows something else. From a letter the next one is followed, so chains end;
/// after some visits nothing is sought any more, so walks do.
fn wish(line: &str, visits_before: usize, mood: u8) -> Visit {
    const SOUGHT: [&[u8]; 8] = [b"", b"\0", b"a", b"ab", b"b", b"c\xFF", b"\xFF", &[b'b'; 600]];
    let mood = mood.wrapping_add(visits_before.to_le_bytes()[0]);
    let sum = line.bytes().fold(mood, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    match sum {
        0..=40 => Visit::Pause,
        41..=50 => Visit::NextStep,
        51..=54 => Visit::Stop,
        55..=90 => match line.split(' ').nth(1).and_then(|key| key.bytes().next()) {
            Some(b'a') => Visit::Follow(vec![b'b']),
            Some(b'b') => Visit::Follow(vec![b'c']),
            Some(b'\\') => Visit::Follow(vec![b'a']),
            Some(_) | None => Visit::Next,
        },
        91..=130 if visits_before < 40 => Visit::Seek(SOUGHT[usize::from(sum % 8)].to_vec()),
        91.. => Visit::Next,
    }
}

fn act() -> impl Strategy<Value = Act> {
    let commit = (
        proptest::collection::vec((key(), expected()), 0..3),
        proptest::collection::vec(operation(), 0..12),
        any::<bool>(),
    )
        .prop_map(|(preconditions, operations, is_urgent)| {
            let preconditions =
                preconditions.into_iter().map(|(key, expected)| Precondition { key, expected });
            let urgency = if is_urgent { Urgency::Foreground } else { Urgency::Background };
            Act::Commit(Batch { preconditions: preconditions.collect(), operations, urgency })
        });
    let clear = (key(), key(), 0_usize..40).prop_map(|(start, end, budget)| Act::Clear {
        start,
        end,
        budget,
    });
    let read = (proptest::collection::vec(step(), 0..4), any::<u8>())
        .prop_map(|(steps, mood)| Act::Read { steps, mood });
    prop_oneof![4 => commit, 1 => clear, 4 => read]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (key(), value()).prop_map(|(key, value)| Operation::Put { key, value }),
        1 => key().prop_map(|key| Operation::Delete { key }),
    ]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![Just(Expected::Absent), Just(Expected::Present), value().prop_map(Expected::Equals)]
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    prop_oneof![
        key().prop_map(Step::Get),
        (bound(), bound(), direction).prop_map(|(start, end, direction)| Step::Scan(Scan {
            start,
            end,
            direction
        })),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

/// Few enough that histories meet them again; some as long as keys can be.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = || proptest::sample::select(&[0_u8, b'a', b'b', b'c', 0xFF][..]);
    prop_oneof![
        9 => proptest::collection::vec(byte(), 1..4),
        1 => byte().prop_map(|byte| vec![byte; crate::key::LENGTH_MAX]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::sample::select(&["", "1", "2"][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => Just(vec![b'x'; 3_000]),
        1 => Just(vec![b'y'; 20_000]),
    ]
}
