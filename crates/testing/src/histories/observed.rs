//! In which order the elements of each list came, as far as somebody saw it, and what contradicts that at once.

use std::collections::HashMap;

use super::{
    anomaly::AnomalyKind,
    check::Verdict,
    history::{Element, History, ListId, Operation, Outcome, Shown, Step},
};

/// What can be said of the lists of a history.
pub(super) struct Observed<'h> {
    writers: HashMap<Element, Writer>,
    lists: HashMap<ListId, List<'h>>,
    /// Of each operation, whether it has a place in the order: not if it was never answered and nobody saw its
    /// elements.
    counts: Vec<bool>,
}

/// Who appended an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer {
    pub(super) operation: usize,
    pub(super) list: ListId,
    /// Whether the operation appended nothing more to that list.
    pub(super) is_last: bool,
}

/// A list as it was seen.
#[derive(Debug, Default)]
pub(super) struct List<'h> {
    /// The longest read of it.
    pub(super) order: &'h [Element],
    /// Whose read that was.
    reader: usize,
    /// When the last of the reads that were answered began.
    last_read: u64,
    /// Operations that were made and appended what is in no read, though it may come to be in a later one.
    pub(super) unseen: Vec<usize>,
}

/// What an operation read of the states before it.
pub(super) struct Reads<'h> {
    pub(super) external: Vec<(ListId, &'h [Element])>,
    /// A list of which its steps contradict each other.
    contradiction: Option<ListId>,
}

impl<'h> Reads<'h> {
    pub(super) fn of(operation: &'h Operation) -> Self {
        let mut reads = Self { external: Vec::new(), contradiction: None };
        for (at, step) in operation.steps.iter().enumerate() {
            let Step::Read { list, elements } = step else { continue };
            let before = Operation::appended(&operation.steps[..at], *list);
            let own = before.clone().count();
            let Some(split) = elements.len().checked_sub(own) else {
                reads.contradiction = Some(*list);
                continue;
            };
            let (external, end) = elements.split_at(split);
            if !before.eq(end.iter().copied()) {
                reads.contradiction = Some(*list);
                continue;
            }
            match reads.external.iter().find(|(other, _)| other == list) {
                None => reads.external.push((*list, external)),
                Some((_, first)) if *first == external => {}
                Some(_) => reads.contradiction = Some(*list),
            }
        }
        reads
    }
}

impl Operation {
    fn appended(steps: &[Step], to: ListId) -> impl Iterator<Item = Element> + Clone {
        steps.iter().filter_map(move |step| match step {
            Step::Append { list, element } if *list == to => Some(*element),
            Step::Append { .. } | Step::Read { .. } => None,
        })
    }
}

impl<'h> Observed<'h> {
    pub(super) fn of(history: &'h History, verdict: &mut Verdict) -> Self {
        let mut observed = Self {
            writers: writers(history),
            lists: HashMap::new(),
            counts: history.operations.iter().map(|it| it.outcome != Outcome::Unknown).collect(),
        };
        observed.take_longest(history, verdict);
        observed.look_at_orders(history, verdict);
        observed.look_at_reads(history, verdict);
        observed.look_for_lost(history, verdict);
        verdict.unanswered_made = history
            .operations
            .iter()
            .zip(&observed.counts)
            .filter(|(operation, counts)| operation.outcome == Outcome::Unknown && **counts)
            .count();
        verdict.lists = observed.lists.len();
        verdict.elements = observed.lists.values().map(|it| it.order.len()).sum();
        observed
    }

    pub(super) fn counts(&self, operation: usize) -> bool {
        self.counts[operation]
    }

    pub(super) fn list(&self, list: ListId) -> Option<&List<'h>> {
        self.lists.get(&list)
    }

    /// All of them, always in the same order.
    pub(super) fn in_order(&self) -> Vec<(ListId, &List<'h>)> {
        let mut lists: Vec<_> = self.lists.iter().map(|(id, list)| (*id, list)).collect();
        lists.sort_unstable_by_key(|(id, _)| *id);
        lists
    }

    /// Who appended this, if somebody did and it may be seen in this list.
    pub(super) fn writer(&self, list: ListId, element: Element) -> Option<Writer> {
        self.writers.get(&element).copied().filter(|it| it.list == list)
    }

    /// The elements of a list in their order.
    pub(super) fn order(&self, list: ListId) -> &'h [Element] {
        self.lists.get(&list).map_or(&[][..], |it| it.order)
    }

    fn take_longest(&mut self, history: &'h History, verdict: &mut Verdict) {
        for (at, operation) in history.operations.iter().enumerate() {
            let reads = Reads::of(operation);
            if let Some(list) = reads.contradiction {
                verdict.add(AnomalyKind::Internal, || {
                    format!("of {list} its own steps do not agree:\n{}", named(history, at))
                });
            }
            // Before what is unanswered is judged, the others say what was seen.
            if operation.outcome == Outcome::Unknown {
                continue;
            }
            for (id, elements) in reads.external {
                let list = self.lists.entry(id).or_default();
                list.last_read = list.last_read.max(operation.began);
                if elements.len() > list.order.len() {
                    (list.order, list.reader) = (elements, at);
                }
            }
        }
    }

    /// Each order by itself: who wrote its elements.
    fn look_at_orders(&mut self, history: &History, verdict: &mut Verdict) {
        let mut lists: Vec<_> = self.lists.iter().map(|(id, list)| (*id, list)).collect();
        lists.sort_unstable_by_key(|(id, _)| *id);
        for (id, list) in lists {
            self.look_at_elements(history, (id, list.order, list.reader), verdict);
            for element in list.order {
                if let Some(writer) = self.writers.get(element) {
                    self.counts[writer.operation] = true;
                }
            }
        }
    }

    fn look_at_elements(
        &self,
        history: &History,
        (id, elements, reader): (ListId, &[Element], usize),
        verdict: &mut Verdict,
    ) {
        let mut sorted = elements.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            verdict.add(AnomalyKind::Duplicate, || {
                format!("{} is in {id} twice:\n{}", pair[0], named(history, reader))
            });
        }
        for element in elements {
            let Some(writer) = self.writer(id, *element) else {
                verdict.add(AnomalyKind::Unwritten, || {
                    format!("nobody appended {element} to {id}:\n{}", named(history, reader))
                });
                continue;
            };
            let is_refused =
                matches!(history.operations[writer.operation].outcome, Outcome::Refused { .. });
            if is_refused {
                verdict.add(AnomalyKind::RefusedRead, || {
                    format!(
                        "{element} in {id} was refused, and seen:\n{}\n{}",
                        named(history, writer.operation),
                        named(history, reader)
                    )
                });
            }
        }
    }

    /// Each read beside the order of its list, and beside other reads of the same state.
    fn look_at_reads(&self, history: &History, verdict: &mut Verdict) {
        let mut changed: HashMap<(ListId, usize), usize> = HashMap::new();
        for (at, operation) in history.operations.iter().enumerate() {
            if !self.counts[at] {
                continue;
            }
            for (id, elements) in Reads::of(operation).external {
                let (order, reader) =
                    self.lists.get(&id).map_or((&[][..], at), |it| (it.order, it.reader));
                if !order.starts_with(elements) {
                    self.look_at_elements(history, (id, elements, at), verdict);
                    verdict.add(AnomalyKind::IncompatibleOrders, || {
                        format!(
                            "{} is no beginning of {} in {id}:\n{}\n{}",
                            Shown(elements),
                            Shown(order),
                            named(history, at),
                            named(history, reader)
                        )
                    });
                    continue;
                }
                let last = elements.last().and_then(|it| Some((*it, self.writer(id, *it)?)));
                if let Some((element, writer)) = last
                    && !writer.is_last
                    && writer.operation != at
                {
                    verdict.add(AnomalyKind::IntermediateRead, || {
                        format!(
                            "{id} was seen up to {element}, behind which the same operation appended more:\n{}\n{}",
                            named(history, writer.operation),
                            named(history, at)
                        )
                    });
                }
                let is_made = !matches!(operation.outcome, Outcome::Refused { .. });
                if !is_made || !operation.appends().any(|(list, _)| list == id) {
                    continue;
                }
                if let Some(other) = changed.insert((id, elements.len()), at) {
                    verdict.add(AnomalyKind::LostUpdate, || {
                        format!(
                            "both read {id} as {} and changed it:\n{}\n{}",
                            Shown(elements),
                            named(history, other),
                            named(history, at)
                        )
                    });
                }
            }
        }
    }

    /// What was answered to be appended, and is in no read.
    fn look_for_lost(&mut self, history: &History, verdict: &mut Verdict) {
        let seen: std::collections::HashSet<Element> =
            self.lists.values().flat_map(|list| list.order).copied().collect();
        for (at, operation) in history.operations.iter().enumerate() {
            let Outcome::Made { ended } = operation.outcome else { continue };
            for (id, element) in operation.appends() {
                if seen.contains(&element) {
                    continue;
                }
                let list = self.lists.entry(id).or_default();
                if list.last_read > ended {
                    let last_read = list.last_read;
                    verdict.add(AnomalyKind::Lost, || {
                        let is_later = |it: &&Operation| {
                            it.began == last_read && it.outcome != Outcome::Unknown
                        };
                        let reader = history.operations.iter().position(|it| is_later(&it));
                        format!(
                            "{element} was appended to {id}, and is not there later:\n{}\n{}",
                            named(history, at),
                            reader.map(|reader| named(history, reader)).unwrap_or_default()
                        )
                    });
                } else if list.unseen.last() != Some(&at) {
                    list.unseen.push(at);
                }
            }
        }
    }
}

/// An operation with its place in the history, which is its name in explanations.
pub(super) fn named(history: &History, operation: usize) -> String {
    format!("  #{operation}: {}", history.operations[operation])
}

fn writers(history: &History) -> HashMap<Element, Writer> {
    let mut writers = HashMap::new();
    for (at, operation) in history.operations.iter().enumerate() {
        for (place, (list, element)) in operation.appends().enumerate() {
            let is_last = operation.appends().skip(place + 1).all(|(other, _)| other != list);
            let before = writers.insert(element, Writer { operation: at, list, is_last });
            assert!(before.is_none(), "{element} is appended twice in the history");
        }
    }
    writers
}
