//! Lives made from a seed: operations in a serial order, whose times overlap at random around their places in it.

use std::collections::HashMap;

use proptest::prelude::*;
use settle_model::time::{Entropy as _, SeededEntropy};

use super::super::*;

const CLIENTS: u32 = 8;
const LISTS: u32 = 4;

struct Life {
    random: SeededEntropy,
    lists: HashMap<ListId, Vec<Element>>,
    elements: u32,
    history: History,
}

impl Life {
    fn of(seed: u64, operations: u64) -> History {
        let mut life = Self {
            random: SeededEntropy::new(seed),
            lists: HashMap::new(),
            elements: 0,
            history: History::default(),
        };
        let mut free_from = HashMap::new();
        for place in 1..=operations {
            // The operation itself is at this time, its request before it, its answer behind it.
            let time = place * 1_000;
            let client = life.below(CLIENTS);
            let free = free_from.get(&client).copied().unwrap_or(0);
            let began = free.max(time - u64::from(life.below(4_000)).min(time)) + 1;
            let ended = time + 1 + u64::from(life.below(4_000));
            if began > time {
                continue;
            }
            free_from.insert(client, ended);
            life.act(client, began, ended);
        }
        life.look(operations * 1_000 + 10_000);
        life.history
    }

    fn below(&self, end: u32) -> u32 {
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        u32::from_le_bytes(bytes) % end
    }

    fn act(&mut self, client: u32, began: u64, ended: u64) {
        let outcome = match self.below(10) {
            0 => Outcome::Refused { ended },
            1 => Outcome::Unknown,
            _ => Outcome::Made { ended },
        };
        let is_made = match outcome {
            Outcome::Made { .. } => true,
            Outcome::Refused { .. } => false,
            Outcome::Unknown => self.below(2) == 0,
        };
        let before = self.lists.clone();
        let mut steps = Vec::new();
        for _ in 0..=self.below(3) {
            let list = ListId(self.below(LISTS));
            if self.below(2) == 0 {
                let elements = self.lists.get(&list).cloned().unwrap_or_default().into();
                steps.push(Step::Read { list, elements });
            } else {
                let element = Element(self.elements);
                self.elements += 1;
                self.lists.entry(list).or_default().push(element);
                steps.push(Step::Append { list, element });
            }
        }
        if !is_made {
            self.lists = before;
        }
        self.history.operations.push(Operation { client, began, outcome, steps });
    }

    /// Reads everything at the end.
    fn look(&mut self, at: u64) {
        let steps = self
            .lists
            .iter()
            .map(|(list, elements)| Step::Read { list: *list, elements: elements.clone().into() });
        let steps = steps.collect();
        let outcome = Outcome::Made { ended: at + 1 };
        self.history.operations.push(Operation { client: 99, began: at, outcome, steps });
    }
}

/// Whether something could be made wrong, which it then is.
fn corrupt(history: &mut History, kind: usize, pick: usize) -> bool {
    let last = history.operations.len() - 1;
    let reads = reads(history);
    // Those that say something of the operations before.
    let longer: Vec<(usize, usize)> = reads
        .iter()
        .copied()
        .filter(|place| {
            let operation = &history.operations[place.0];
            let is_own = |element: &Element| operation.appends().any(|(_, own)| own == *element);
            let elements = elements(history, *place);
            operation.outcome != Outcome::Unknown
                && elements.len() > 1
                && !elements.iter().any(is_own)
        })
        .collect();
    let Some(place) = longer.get(pick % longer.len().max(1)).copied() else { return false };
    let mut changed = elements(history, place).to_vec();
    let at = pick / 7 % changed.len();
    match kind {
        // A read that shows another order than that at the end.
        0 if place.0 != last => {
            let at = at.min(changed.len() - 2);
            changed.swap(at, at + 1);
        }
        // One that misses an element from the midst.
        1 if place.0 != last && at + 1 < changed.len() => drop(changed.remove(at)),
        // One with something twice.
        2 => changed.push(changed[at]),
        // One with something that nobody wrote.
        3 => changed.push(Element(u32::MAX)),
        // One that does not know of what was answered before it began.
        4 => {
            let began = history.operations[place.0].began;
            let old = |element: &Element| is_answered_before(history, *element, began);
            let Some(at) = changed.iter().rposition(old) else { return false };
            changed.truncate(at);
        }
        // What was seen was refused.
        5 => {
            let writer = writer(history, changed[at]);
            if writer == place.0 {
                return false;
            }
            let operation = &mut history.operations[writer];
            let Outcome::Made { ended } = operation.outcome else { return false };
            operation.outcome = Outcome::Refused { ended };
            return true;
        }
        // What was acknowledged is gone from every read.
        6 => {
            let gone = changed[at];
            let operation = &history.operations[writer(history, gone)];
            let Outcome::Made { .. } = operation.outcome else { return false };
            let writer = writer(history, gone);
            for (operation, step) in reads {
                if operation != writer {
                    let left = elements(history, (operation, step)).iter();
                    let left = left.copied().filter(|it| *it != gone).collect();
                    set(history, (operation, step), left);
                }
            }
            return true;
        }
        _ => return false,
    }
    set(history, place, changed);
    true
}

/// Operations and steps.
fn reads(history: &History) -> Vec<(usize, usize)> {
    let operations = history.operations.iter().enumerate();
    let steps = operations.flat_map(|(at, operation)| {
        operation.steps.iter().enumerate().map(move |(step, it)| ((at, step), it))
    });
    steps.filter(|(_, it)| matches!(it, Step::Read { .. })).map(|(place, _)| place).collect()
}

fn elements(history: &History, (operation, step): (usize, usize)) -> &[Element] {
    match &history.operations[operation].steps[step] {
        Step::Read { elements, .. } => elements,
        Step::Append { .. } => &[],
    }
}

fn set(history: &mut History, (operation, step): (usize, usize), to: Vec<Element>) {
    if let Step::Read { elements, .. } = &mut history.operations[operation].steps[step] {
        *elements = to.into();
    }
}

fn writer(history: &History, element: Element) -> usize {
    let wrote = |it: &Operation| it.appends().any(|(_, other)| other == element);
    history.operations.iter().position(wrote).expect("somebody wrote it")
}

fn is_answered_before(history: &History, element: Element, time: u64) -> bool {
    let outcome = history.operations[writer(history, element)].outcome;
    matches!(outcome, Outcome::Made { ended } if ended < time)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_done_in_an_order_is_never_blamed(seed in any::<u64>()) {
        let verdict = check(&Life::of(seed, 60));
        prop_assert!(verdict.anomalies.is_empty(), "{}", verdict.anomalies[0]);
    }

    #[test]
    fn one_thing_that_is_wrong_is_found(seed in any::<u64>(), kind in 0..7_usize, pick in 0..10_000_usize) {
        let mut history = Life::of(seed, 60);
        if corrupt(&mut history, kind, pick) {
            let verdict = check(&history);
            prop_assert!(!verdict.anomalies.is_empty(), "kind {kind}: {history:#?}");
        }
    }
}
