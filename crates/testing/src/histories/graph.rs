//! Which operations came before which, and how that is known.
//!
//! Nodes are the operations, and behind them, for time, the ends of operations in their order: an operation is before
//! its own end, each end before the next one, and the last end before an operation began is before that operation.

use super::{
    history::{Element, History, ListId},
    observed::{Observed, Reads},
};

/// How it is known that one was before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// It appended an element, and the other one the next.
    Appended,
    /// It appended what the other one saw.
    Seen,
    /// It did not see what the other one appended.
    Unseen,
    /// A client did one after the other.
    Client,
    /// It had ended when the other one began.
    Time,
}

/// Some of the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reasons(u8);

impl Reasons {
    pub(super) const fn of(reasons: &[Reason]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < reasons.len() {
            bits |= 1 << reasons[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    pub(super) fn contain(self, reason: Reason) -> bool {
        self.0 & 1 << reason as u8 != 0
    }
}

type Edge = (u32, u32, Reason);

/// Edges by where they begin.
pub(super) struct Graph {
    /// Of each node, where its edges begin; one more at the end.
    starts: Vec<u32>,
    targets: Vec<(u32, Reason)>,
    operations: usize,
}

impl Graph {
    pub(super) fn of(history: &History, observed: &Observed<'_>) -> Self {
        let mut edges = Vec::new();
        add_appends(observed, &mut edges);
        for at in (0..history.operations.len()).filter(|at| observed.counts(*at)) {
            add_reads(history, observed, at, &mut edges);
        }
        add_clients(history, observed, &mut edges);
        let operations = history.operations.len();
        let ends = add_time(history, observed, &mut edges);
        Self::build(operations, operations + ends, &edges)
    }

    fn build(operations: usize, nodes: usize, edges: &[Edge]) -> Self {
        let mut starts = vec![0; nodes + 1];
        for (from, _, _) in edges {
            starts[*from as usize + 1] += 1;
        }
        for at in 0..nodes {
            starts[at + 1] += starts[at];
        }
        let mut free = starts.clone();
        let mut targets = vec![(0, Reason::Time); edges.len()];
        for (from, to, reason) in edges {
            let place = &mut free[*from as usize];
            targets[*place as usize] = (*to, *reason);
            *place += 1;
        }
        Self { starts, targets, operations }
    }

    pub(super) fn edge_count(&self) -> usize {
        self.targets.len()
    }

    pub(super) fn node_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether the node is an operation, not a point in time.
    pub(super) fn is_operation(&self, node: u32) -> bool {
        (node as usize) < self.operations
    }

    pub(super) fn edges_of(&self, node: u32) -> &[(u32, Reason)] {
        let node = node as usize;
        &self.targets[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

fn add(edges: &mut Vec<Edge>, from: usize, to: usize, reason: Reason) {
    if from != to {
        edges.push((node(from), node(to), reason));
    }
}

fn node(at: usize) -> u32 {
    u32::try_from(at).expect("a history of four billion operations does not fit into memory")
}

fn add_appends(observed: &Observed<'_>, edges: &mut Vec<Edge>) {
    for (id, list) in observed.in_order() {
        for pair in list.order.windows(2) {
            let writers = (observed.writer(id, pair[0]), observed.writer(id, pair[1]));
            if let (Some(first), Some(second)) = writers {
                add(edges, first.operation, second.operation, Reason::Appended);
            }
        }
        let last = list.order.last().and_then(|it| observed.writer(id, *it));
        for unseen in &list.unseen {
            if let Some(last) = last {
                add(edges, last.operation, *unseen, Reason::Appended);
            }
        }
    }
}

fn add_reads(history: &History, observed: &Observed<'_>, at: usize, edges: &mut Vec<Edge>) {
    for (id, elements) in Reads::of(&history.operations[at]).external {
        let order = observed.order(id);
        if !order.starts_with(elements) {
            continue;
        }
        if let Some(writer) = elements.last().and_then(|it| observed.writer(id, *it)) {
            add(edges, writer.operation, at, Reason::Seen);
        }
        if let Some(next) = order.get(elements.len()) {
            if let Some(writer) = observed.writer(id, *next) {
                add(edges, at, writer.operation, Reason::Unseen);
            }
        } else if let Some(list) = observed.list(id) {
            for unseen in &list.unseen {
                add(edges, at, *unseen, Reason::Unseen);
            }
        }
    }
}

/// Where time does not say it, as within one request.
fn add_clients(history: &History, observed: &Observed<'_>, edges: &mut Vec<Edge>) {
    let mut last = std::collections::HashMap::new();
    for (at, operation) in history.operations.iter().enumerate() {
        if !observed.counts(at) {
            continue;
        }
        if let Some((before, ended)) = last.get(&operation.client)
            && *ended >= operation.began
        {
            add(edges, *before, at, Reason::Client);
        }
        // Nobody knows when what is unanswered ended.
        if let Some(ended) = operation.outcome.ended() {
            last.insert(operation.client, (at, ended));
        }
    }
}

/// Gives the number of nodes that stand for ends.
fn add_time(history: &History, observed: &Observed<'_>, edges: &mut Vec<Edge>) -> usize {
    let operations = history.operations.len();
    let counting = || (0..operations).filter(|at| observed.counts(*at));
    let ended = |at: usize| Some((history.operations[at].outcome.ended()?, at));
    let mut ends: Vec<(u64, usize)> = counting().filter_map(ended).collect();
    ends.sort_unstable();
    for (place, (_, at)) in ends.iter().enumerate() {
        add(edges, *at, operations + place, Reason::Time);
        if place > 0 {
            add(edges, operations + place - 1, operations + place, Reason::Time);
        }
    }
    for at in counting() {
        let began = history.operations[at].began;
        let before = ends.partition_point(|(ended, _)| *ended < began);
        if before > 0 {
            add(edges, operations + before - 1, at, Reason::Time);
        }
    }
    ends.len()
}

/// The sentence that says why `from` was before `to`.
pub(super) fn explain(
    history: &History,
    observed: &Observed<'_>,
    (from, to): (usize, usize),
    reason: Reason,
) -> String {
    let known = match reason {
        Reason::Appended => appended(history, observed, from, to).map(|(list, first, second)| {
            format!("#{from} appended {first} to {list}, and #{to} {second} behind it")
        }),
        Reason::Seen => Reads::of(&history.operations[to]).external.into_iter().find_map(|it| {
            let (list, element) = (it.0, *it.1.last()?);
            (observed.writer(list, element)?.operation == from)
                .then(|| format!("#{from} appended {element} to {list}, and #{to} saw it"))
        }),
        Reason::Unseen => {
            Reads::of(&history.operations[from]).external.into_iter().find_map(|it| {
                let (list, elements) = it;
                let element = missed(history, observed, (list, elements), to)?;
                Some(format!("#{from} read {list} without {element}, which #{to} appended"))
            })
        }
        Reason::Client => {
            let client = history.operations[from].client;
            Some(format!("client {client} did #{from} before #{to}"))
        }
        Reason::Time => Some(format!("#{from} had ended when #{to} began")),
    };
    known.expect("an edge has the reason that it was made for")
}

fn appended(
    history: &History,
    observed: &Observed<'_>,
    from: usize,
    to: usize,
) -> Option<(ListId, Element, Element)> {
    history.operations[from].appends().find_map(|(list, first)| {
        let order = observed.order(list);
        let place = order.iter().position(|it| *it == first)?;
        let second = match order.get(place + 1) {
            Some(next) => *next,
            None => unseen(history, observed, list, to)?,
        };
        let is_next = history.operations[to].appends().any(|it| it == (list, second));
        is_next.then_some((list, first, second))
    })
}

fn missed(
    history: &History,
    observed: &Observed<'_>,
    (list, elements): (ListId, &[Element]),
    by: usize,
) -> Option<Element> {
    match observed.order(list).get(elements.len()) {
        Some(next) => {
            history.operations[by].appends().any(|it| it == (list, *next)).then_some(*next)
        }
        None => unseen(history, observed, list, by),
    }
}

/// What an operation appended to a list, of which nobody saw it.
fn unseen(
    history: &History,
    observed: &Observed<'_>,
    list: ListId,
    operation: usize,
) -> Option<Element> {
    let is_unseen = observed.list(list)?.unseen.contains(&operation);
    let order = observed.order(list);
    let mut appends = history.operations[operation].appends();
    let found = appends.find(|(to, element)| *to == list && !order.contains(element));
    found.filter(|_| is_unseen).map(|(_, element)| element)
}
