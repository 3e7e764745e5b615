//! The choice of an index, and of the part of it that is read.
//!
//! An index can be used if the selector or the sort make every document that is found have all of
//! the index's fields, and if the index is in the order of the sort. Of those that can, one with the
//! longest run of narrowed fields is taken, then one with the fewest fields, then the first by name;
//! all documents only where there is no other.
//!
//! A request that shows conflicts and selects only documents which have some is answered from the list of these,
//! unless it names an index of its own: they are few. That is not CouchDB's, which looks at every document.
//!
//! Source: `mango_cursor:create/4`, `mango_idx:get_usable_indexes/4`, `mango_idx_view:is_usable/3` and
//! `mango_cursor_view:choose_best_index/1`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    error::MangoError,
    index::{Index, sort_indexes},
    range::{FieldRange, Ranges, field_ranges, indexable_paths},
    request::FindRequest,
    trace::{Reason, Trace},
};
use crate::selector::{Comparison, Condition, FieldPath, Node, Selector};

/// What a plan is made for: an explanation has no use for errors that it can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Find,
    Explain,
}

/// How documents are found.
#[derive(Debug, Clone)]
pub struct Plan {
    /// None only in an explanation.
    pub index: Option<Arc<Index>>,
    pub ranges: Ranges,
    /// The index holds all that is asked for: no document is read.
    pub covering: bool,
    /// Every row of the range is found: no selector has to be asked.
    pub exact: bool,
    /// Rows are read from the last to the first.
    pub descending: bool,
    pub(crate) trace: Trace,
}

/// An index with the ranges of its first fields.
struct Composite {
    index: Arc<Index>,
    ranges: Vec<FieldRange>,
    /// Narrowed fields that the index does not help with.
    missed: usize,
}

/// Chooses among `indexes`, which are sorted.
pub fn plan(
    request: &FindRequest,
    indexes: &[Arc<Index>],
    partitioned_database: bool,
    purpose: Purpose,
) -> Result<Plan, MangoError> {
    let with_conflicts = with_conflicts(request, indexes);
    let indexes = with_conflicts.as_deref().unwrap_or(indexes);
    let selector = &request.selector;
    let named = |index: &Index| is_named(index, &request.use_index);
    let in_partition = request.partition.is_some();
    let considered: Vec<_> =
        indexes.iter().filter(|it| !it.is_partial() || named(it)).cloned().collect();
    let in_scope: Vec<_> =
        considered.iter().filter(|it| is_in_scope(it, in_partition)).cloned().collect();
    let verdicts: Vec<_> =
        in_scope.iter().map(|it| (it.clone(), reasons_against(it, request))).collect();
    let usable: Vec<_> =
        verdicts.iter().filter(|it| it.1.is_empty()).map(|it| it.0.clone()).collect();
    if usable.is_empty() && purpose == Purpose::Find {
        return Err(MangoError::NoIndexForSort { partitioned_database, in_partition });
    }
    let asked_for: Vec<_> = usable.iter().filter(|it| named(it)).cloned().collect();
    let filtered = if !asked_for.is_empty() {
        asked_for
    } else if request.allow_fallback || (request.use_index.is_empty() && usable.len() > 1) {
        usable.clone()
    } else if request.use_index.is_empty() {
        return Err(MangoError::NoIndexNamed);
    } else {
        return Err(MangoError::IndexUnsuitable { index: named_index(&request.use_index) });
    };
    let mut trace = Trace { all: indexes.to_vec(), in_scope, verdicts, usable, ..Trace::default() };
    let only = |wanted: fn(&Index) -> bool| -> Vec<_> {
        filtered.iter().filter(|it| wanted(it)).cloned().collect()
    };
    let conflicts = only(|it| matches!(it, Index::Conflicts));
    let json = only(|it| matches!(it, Index::Json(_)));
    let of_type = [conflicts, json].into_iter().find(|it| !it.is_empty());
    let of_type = of_type.unwrap_or_else(|| filtered.clone());
    trace.filtered = filtered;
    trace.of_type.clone_from(&of_type);
    let Some(chosen) = choose(of_type, selector.node(), &mut trace) else {
        let (ranges, index) = (Ranges::default(), None);
        let descending = false;
        return Ok(Plan { index, ranges, covering: false, exact: false, descending, trace });
    };
    let nothing = finds_nothing(selector.node());
    let ranges = Ranges { fields: chosen.ranges, nothing };
    let covering = chosen.index.covers(request.required_fields().as_deref());
    let exact = match &*chosen.index {
        Index::AllDocs | Index::Conflicts => false,
        Index::Json(index) => {
            // Escaped and ended.
            let partition = request.partition.as_ref().map_or(0, |it| 2 * it.len() + 2);
            ranges.is_exact(selector.node(), &index.definition, partition)
        }
    };
    let descending = request.sort_descends();
    Ok(Plan { index: Some(chosen.index), ranges, covering, exact, descending, trace })
}

/// All indexes, where one of them is the list of documents in conflict.
fn with_conflicts(request: &FindRequest, indexes: &[Arc<Index>]) -> Option<Vec<Arc<Index>>> {
    // Without the option documents have no such field.
    if !request.conflicts {
        return None;
    }
    let field = FieldPath::parse("_conflicts").ok()?;
    if !fields_left(request.selector.node(), BTreeSet::from([field])).is_empty() {
        return None;
    }
    let mut all = indexes.to_vec();
    all.push(Arc::new(Index::Conflicts));
    sort_indexes(&mut all);
    Some(all)
}

fn choose(indexes: Vec<Arc<Index>>, node: &Node, trace: &mut Trace) -> Option<Composite> {
    let ranges = field_ranges(node);
    let composite = |index: Arc<Index>| {
        let found = |path: &FieldPath| ranges.iter().find(|it| it.0 == *path);
        let paths = index.paths();
        let prefix = paths.iter().map_while(found).map(|(path, range)| match &*index {
            Index::Json(_) if path.is_id() => range.of_id_in_rows(),
            Index::Json(_) | Index::AllDocs | Index::Conflicts => range.clone(),
        });
        let prefix: Vec<_> = prefix.collect();
        let narrowed = match &*index {
            // All ids count as a range of the id.
            Index::AllDocs | Index::Conflicts => ranges.len() + 1 - prefix.len().max(1),
            Index::Json(_) => ranges.len() - prefix.len(),
        };
        Composite { index, ranges: prefix, missed: narrowed }
    };
    let mut all: Vec<_> = indexes.into_iter().map(composite).collect();
    all.sort_by_key(|it| {
        let name = (it.index.ddoc().map(str::to_owned), it.index.name().to_owned());
        (it.missed, it.index.paths().len(), name)
    });
    trace.ranked = all.iter().map(|it| (it.index.clone(), it.missed)).collect();
    all.into_iter().next()
}

/// `use_index` names a design document, or one index in it.
pub(crate) fn is_named(index: &Index, use_index: &[String]) -> bool {
    let Some(ddoc) = index.ddoc() else { return false };
    let name = |id: &str| id.strip_prefix("_design/").unwrap_or(id).to_owned();
    match use_index {
        [] => false,
        [design] => name(ddoc) == name(design),
        [design, view, ..] => name(ddoc) == name(design) && index.name() == view,
    }
}

pub(crate) fn named_index(use_index: &[String]) -> String {
    let names = use_index.iter().enumerate().map(|(place, name)| match place {
        0 => name.strip_prefix("_design/").unwrap_or(name),
        _ => name,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn is_in_scope(index: &Index, in_partition: bool) -> bool {
    match index {
        Index::AllDocs | Index::Conflicts => true,
        Index::Json(index) => index.partitioned == in_partition,
    }
}

/// Why an index cannot be used; empty if it can.
fn reasons_against(index: &Index, request: &FindRequest) -> Vec<Reason> {
    let node = request.selector.node();
    let sort: Vec<_> = request.sort.iter().map(|it| it.path.clone()).collect();
    let paths = index.paths();
    let (fields_match, sort_matches) = match index {
        Index::AllDocs => (
            sort.is_empty() || indexable_paths(node).contains(&FieldPath::id()),
            sort.is_empty() || paths.starts_with(&sort),
        ),
        Index::Conflicts => (true, sort.is_empty() || paths.starts_with(&sort)),
        Index::Json(_) => {
            let given = |path: &FieldPath| {
                let name = path.parts();
                sort.contains(path) || matches!(name, [only] if matches!(&**only, "_id" | "_rev"))
            };
            let required = paths.iter().filter(|path| !given(path)).cloned().collect();
            (fields_left(node, required).is_empty(), can_sort(&paths, &sort, node))
        }
    };
    let mut reasons = Vec::new();
    if !fields_match {
        reasons.push(Reason::FieldMismatch);
    }
    if !sort_matches {
        reasons.push(Reason::SortOrderMismatch);
    }
    reasons
}

/// Those of `required` that a document may lack and yet be selected.
fn fields_left(node: &Node, mut required: BTreeSet<FieldPath>) -> BTreeSet<FieldPath> {
    match node {
        Node::And(nodes) => nodes.iter().fold(required, |left, node| fields_left(node, left)),
        Node::Or(nodes) if !nodes.is_empty() => {
            nodes.iter().flat_map(|node| fields_left(node, required.clone())).collect()
        }
        Node::Field(field) => {
            if !matches!(field.condition, Condition::Exists(false)) {
                required.remove(&field.path);
            }
            required
        }
        Node::Everything | Node::Or(_) | Node::Not(_) | Node::Nor(_) => required,
    }
}

/// Whether rows are in the order of `sort`: its fields are the first of the index, or follow fields
/// that have one value.
fn can_sort(columns: &[FieldPath], sort: &[FieldPath], node: &Node) -> bool {
    match (columns, sort) {
        (_, []) => true,
        ([], _) => false,
        ([column, ..], [first, ..]) if column == first => columns.starts_with(sort),
        ([column, rest @ ..], _) => has_one_value(node, column) && can_sort(rest, sort, node),
    }
}

fn has_one_value(node: &Node, path: &FieldPath) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().any(|node| has_one_value(node, path)),
        Node::Field(field) => {
            field.path == *path
                && matches!(field.condition, Condition::Compare(Comparison::Equal, _))
        }
        Node::Everything | Node::Or(_) | Node::Not(_) | Node::Nor(_) => false,
    }
}

/// A selector that is nothing but an operator without arguments is not run.
fn finds_nothing(node: &Node) -> bool {
    matches!(node, Node::And(nodes) | Node::Or(nodes) if nodes.is_empty())
}

impl Plan {
    /// What the reply warns of; `examined` documents were read for `returned` ones.
    pub fn warnings(&self, request: &FindRequest, examined: u64, returned: u64) -> Option<String> {
        let mut warnings = Vec::new();
        let index = self.index.as_deref();
        if !request.use_index.is_empty()
            && !index.is_some_and(|it| is_named(it, &request.use_index))
        {
            let named = named_index(&request.use_index);
            let reason = match request.use_index.len() {
                1 => "because it does not contain a valid index for this query",
                _ => "because it is not a valid index for this query",
            };
            warnings.push(format!("_design/{named} was not used {reason}."));
        }
        if matches!(index, Some(Index::AllDocs)) {
            warnings.push(
                "No matching index found, create an index to optimize query time.".to_owned(),
            );
        }
        if examined > super::limits::SCAN_WARNING_RATIO.saturating_mul(returned.max(1)) {
            warnings.push(
                "The number of documents examined is high in proportion to the number of results \
                 returned. Consider adding a more specific index to improve this."
                    .to_owned(),
            );
        }
        (!warnings.is_empty()).then(|| warnings.join("\n"))
    }
}

/// The fields that a selector asks about, in their order.
pub(crate) fn selector_fields(selector: &Selector) -> Vec<FieldPath> {
    let mut paths = Vec::new();
    collect_fields(selector.node(), &mut paths);
    paths
}

fn collect_fields(node: &Node, paths: &mut Vec<FieldPath>) {
    match node {
        Node::Everything => {}
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => {
            nodes.iter().for_each(|node| collect_fields(node, paths));
        }
        Node::Not(node) => collect_fields(node, paths),
        Node::Field(field) => paths.push(field.path.clone()),
    }
}
