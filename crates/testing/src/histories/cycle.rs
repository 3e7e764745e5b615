//! Circles: operations each of which must be before the next one, and the last before the first.

use super::{
    anomaly::AnomalyKind,
    check::Verdict,
    graph::{Graph, Reason, Reasons, explain},
    history::History,
    observed::{Observed, named},
};

/// From how many places a shortest circle is looked for. Where a server is at fault, operations by the thousand are
/// in circles with each other, and any short one says it.
const STARTS_MAX: usize = 64;

/// Edges with where they lead, the last one to where the first begins.
type Circle = Vec<(u32, Reason)>;

/// Adds one circle for every set of operations that are in circles with each other.
pub(super) fn find(
    history: &History,
    observed: &Observed<'_>,
    graph: &Graph,
    verdict: &mut Verdict,
) {
    let nodes: Vec<u32> = (0..).take(graph.node_count()).collect();
    for component in components(graph, &nodes, ANY) {
        if verdict.is_full() {
            return;
        }
        let (kind, circle) = narrowest(graph, &component);
        verdict.add(kind, || tell(history, observed, graph, &circle));
    }
}

const ANY: Reasons =
    Reasons::of(&[Reason::Appended, Reason::Seen, Reason::Unseen, Reason::Client, Reason::Time]);

/// The circle with the fewest kinds of reasons, which is the worst thing that can be said of the server.
fn narrowest(graph: &Graph, component: &[u32]) -> (AnomalyKind, Circle) {
    let appended = Reasons::of(&[Reason::Appended]);
    let seen = Reasons::of(&[Reason::Appended, Reason::Seen]);
    let unseen = Reasons::of(&[Reason::Appended, Reason::Seen, Reason::Unseen]);
    if let Some(circle) = shortest(graph, component, appended) {
        return (AnomalyKind::G0, circle);
    }
    if let Some(circle) = shortest(graph, component, seen) {
        return (AnomalyKind::G1c, circle);
    }
    if let Some(circle) = with_one_unseen(graph, component, unseen, seen) {
        return (AnomalyKind::GSingle, circle);
    }
    if let Some(circle) = shortest(graph, component, unseen) {
        return (AnomalyKind::G2, circle);
    }
    let circle = shortest(graph, component, ANY).expect("a component has a circle");
    (AnomalyKind::InTime, circle)
}

/// A short circle of edges of these kinds inside the component.
fn shortest(graph: &Graph, component: &[u32], reasons: Reasons) -> Option<Circle> {
    let part = smallest(graph, component, reasons)?;
    let mut search = Search::within(graph, &part);
    for start in starts(&part, |node| graph.is_operation(node)) {
        search.look(start, start, reasons, &[]);
    }
    search.best
}

/// A short circle with a single edge of something unseen; `others` are the kinds of the rest.
fn with_one_unseen(
    graph: &Graph,
    component: &[u32],
    reasons: Reasons,
    others: Reasons,
) -> Option<Circle> {
    let part = smallest(graph, component, reasons)?;
    let mut search = Search::within(graph, &part);
    let unseen = |node: u32| {
        graph.edges_of(node).iter().copied().filter(|(_, reason)| *reason == Reason::Unseen)
    };
    for start in starts(&part, |node| unseen(node).next().is_some()) {
        for first in unseen(start) {
            search.look(first.0, start, others, &[first]);
        }
    }
    search.best
}

fn smallest(graph: &Graph, component: &[u32], reasons: Reasons) -> Option<Vec<u32>> {
    components(graph, component, reasons).into_iter().min_by_key(Vec::len)
}

/// Some of the nodes that are wanted, from all over the part.
fn starts(part: &[u32], is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    let wanted: Vec<u32> = part.iter().copied().filter(|node| is_wanted(*node)).collect();
    wanted.iter().copied().step_by(wanted.len().div_ceil(STARTS_MAX).max(1)).collect()
}

/// Breadth-first searches, of which the shortest circle is kept.
struct Search<'g> {
    graph: &'g Graph,
    /// Of each node: not to be visited, not visited yet, or anything else.
    marks: Vec<u32>,
    visited: Vec<(u32, Reason)>,
    best: Option<Circle>,
}

const OUTSIDE: u32 = u32::MAX;
const UNVISITED: u32 = u32::MAX - 1;

impl<'g> Search<'g> {
    fn within(graph: &'g Graph, part: &[u32]) -> Self {
        Self { graph, marks: inside(graph, part), visited: Vec::new(), best: None }
    }

    /// From a node to another one, or back to itself. `before` is what leads from the end to the start.
    fn look(&mut self, start: u32, end: u32, reasons: Reasons, before: &[(u32, Reason)]) {
        let is_longer = |length: usize, best: &Option<Circle>| {
            best.as_ref().is_some_and(|best| length + before.len() >= best.len())
        };
        self.visited.push((start, Reason::Time));
        self.marks[start as usize] = 0;
        let mut places = vec![0];
        let (mut at, mut level_end, mut length) = (0, 1, 1);
        'search: while at < self.visited.len() && !is_longer(length, &self.best) {
            let (node, _) = self.visited[at];
            for (to, reason) in self.graph.edges_of(node) {
                if !reasons.contain(*reason) {
                    continue;
                }
                if *to == end {
                    self.best = Some(self.path(&places, at, (*to, *reason), before));
                    break 'search;
                }
                if self.marks[*to as usize] == UNVISITED {
                    self.marks[*to as usize] = 0;
                    self.visited.push((*to, *reason));
                    places.push(at);
                }
            }
            at += 1;
            if at == level_end {
                (level_end, length) = (self.visited.len(), length + 1);
            }
        }
        for (node, _) in self.visited.drain(..) {
            self.marks[node as usize] = UNVISITED;
        }
    }

    fn path(
        &self,
        places: &[usize],
        mut at: usize,
        last: (u32, Reason),
        before: &[(u32, Reason)],
    ) -> Circle {
        let mut path = vec![last];
        while at > 0 {
            path.push(self.visited[at]);
            at = places[at];
        }
        path.reverse();
        let mut circle = before.to_vec();
        circle.append(&mut path);
        circle
    }
}

fn inside(graph: &Graph, part: &[u32]) -> Vec<u32> {
    let mut marks = vec![OUTSIDE; graph.node_count()];
    for node in part {
        marks[*node as usize] = UNVISITED;
    }
    marks
}

/// Sets of nodes, of those given, each of which leads to all others of its set by edges of these kinds; sets of more
/// than one. Tarjan's algorithm, with a stack of its own since paths are as long as the history.
fn components(graph: &Graph, nodes: &[u32], reasons: Reasons) -> Vec<Vec<u32>> {
    // When it was first visited; of nodes that are done, as of those that are not asked for, `OUTSIDE`.
    let mut index = inside(graph, nodes);
    let mut lowest = vec![0; graph.node_count()];
    let (mut open, mut path, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 0;
    for root in nodes {
        if index[*root as usize] != UNVISITED {
            continue;
        }
        path.push((*root, 0));
        while let Some((node, edge)) = path.last_mut() {
            let (node, place) = (*node, *node as usize);
            if *edge == 0 {
                (index[place], lowest[place]) = (next, next);
                next += 1;
                open.push(node);
            }
            let unvisited = graph.edges_of(node)[*edge..].iter().position(|(to, reason)| {
                *edge += 1;
                let to = index[*to as usize];
                if !reasons.contain(*reason) || to == OUTSIDE {
                    return false;
                }
                if to != UNVISITED {
                    lowest[place] = lowest[place].min(to);
                }
                to == UNVISITED
            });
            if unvisited.is_some() {
                let (to, _) = graph.edges_of(node)[*edge - 1];
                path.push((to, 0));
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                let parent = *parent as usize;
                lowest[parent] = lowest[parent].min(lowest[place]);
            }
            if lowest[place] == index[place] {
                let begin = open.iter().rposition(|it| *it == node).expect("it was put there");
                let component = open.split_off(begin);
                for node in &component {
                    index[*node as usize] = OUTSIDE;
                }
                if component.len() > 1 {
                    found.push(component);
                }
            }
        }
    }
    found
}

/// The operations of a circle, and why each is before the next.
fn tell(history: &History, observed: &Observed<'_>, graph: &Graph, circle: &Circle) -> String {
    let mut edges: Vec<(u32, Reason)> = circle.clone();
    // So that it begins behind an operation, and time is between two of them.
    let first = edges.iter().position(|(to, _)| graph.is_operation(*to));
    edges.rotate_left(first.expect("time alone does not go in circles") + 1);
    let mut from = edges.last().map_or(0, |(to, _)| *to as usize);
    let (mut operations, mut reasons) = (Vec::new(), Vec::new());
    for (to, reason) in edges.into_iter().filter(|(to, _)| graph.is_operation(*to)) {
        let to = to as usize;
        operations.push(named(history, from));
        reasons.push(format!("  {}", explain(history, observed, (from, to), reason)));
        from = to;
    }
    operations.append(&mut reasons);
    operations.join("\n")
}
