//! What is asked of a view, checked: which rows, or which groups of them.

use settle_database::Direction;
use settle_index::{
    Update, View,
    tree::{Edge, Grouping, Range},
};
use settle_query::collate::{Collation, sort_key};

use super::partition_name;
use crate::{
    documents::rows::RowForm,
    error::ApiError,
    parameters::{Key, ViewParameters},
};

/// A question that its view can answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) update: Update,
    pub(super) update_seq: bool,
    /// One after the other; several where `keys` were given.
    pub(super) ranges: Vec<Range>,
    pub(super) direction: Direction,
    pub(super) skip: u64,
    pub(super) limit: u64,
    pub(super) wanted: Wanted,
}

#[derive(Debug)]
pub(super) enum Wanted {
    Rows {
        form: RowForm,
        include_docs: bool,
        /// Whether the numbers of all rows and of those before the first are told.
        with_counts: bool,
        by_keys: bool,
    },
    Groups {
        grouping: Grouping,
        /// What the sort keys of all rows begin with.
        partition: Vec<u8>,
    },
}

impl Question {
    pub(super) fn new(view: &View, mut parameters: ViewParameters) -> Result<Self, ApiError> {
        if parameters.at.is_some() {
            return Err(ApiError::query("views have no past: an index has no versions"));
        }
        // One key is no list, here as in CouchDB.
        if parameters.keys.as_ref().is_some_and(|keys| keys.len() == 1) {
            let key = parameters.keys.take().and_then(|mut keys| keys.pop());
            parameters.start_key.clone_from(&key);
            parameters.end_key = key;
        }
        let prefix = prefix(view, &parameters)?;
        let grouping = parameters.grouping()?;
        let wanted = if view.reducer().is_some() && parameters.reduce != Some(false) {
            check_groups(&parameters, grouping)?;
            Wanted::Groups { grouping, partition: prefix.clone() }
        } else {
            check_rows(view, &parameters, grouping)?;
            Wanted::Rows {
                form: RowForm::new(
                    parameters.attachments,
                    parameters.att_encoding_info,
                    parameters.conflicts,
                ),
                include_docs: parameters.include_docs,
                with_counts: parameters.sorted,
                by_keys: parameters.keys.is_some(),
            }
        };
        let edges = Edges { prefix, collation: view.collation(), parameters: &parameters };
        let ranges = match &parameters.keys {
            None => vec![edges.range(parameters.start_key.as_ref(), parameters.end_key.as_ref())?],
            Some(keys) => {
                let given = [&parameters.start_key, &parameters.end_key];
                if !keys.is_empty() && given.iter().any(|key| key.is_some()) {
                    return Err(ApiError::query(
                        "`keys` is incompatible with `key`, `start_key` and `end_key`",
                    ));
                }
                let ranges = keys.iter().map(|key| edges.range(Some(key), Some(key)));
                ranges.collect::<Result<_, _>>()?
            }
        };
        let direction =
            if parameters.descending { Direction::Descending } else { Direction::Ascending };
        Ok(Self {
            update: parameters.update,
            update_seq: parameters.update_seq,
            ranges,
            direction,
            skip: parameters.skip,
            limit: parameters.limit.unwrap_or(u64::MAX),
            wanted,
        })
    }
}

/// What the sort keys of the rows that may be asked for begin with.
fn prefix(view: &View, parameters: &ViewParameters) -> Result<Vec<u8>, ApiError> {
    match (view.is_partitioned(), &parameters.partition) {
        (false, None) => Ok(Vec::new()),
        (true, Some(partition)) => Ok(settle_index::partition_prefix(partition_name(partition)?)),
        (true, None) => {
            Err(ApiError::query("`partition` parameter is mandatory for queries to this view."))
        }
        (false, Some(_)) => {
            Err(ApiError::query("`partition` parameter is not supported in this design doc"))
        }
    }
}

fn check_groups(parameters: &ViewParameters, grouping: Grouping) -> Result<(), ApiError> {
    if parameters.keys.is_some() && grouping != Grouping::Exact {
        let reason = "Multi-key fetches for reduce views must use `group=true`";
        return Err(ApiError::query(reason));
    }
    if parameters.include_docs {
        return Err(ApiError::query("`include_docs` is invalid for reduce"));
    }
    if parameters.conflicts {
        return Err(ApiError::query("`conflicts` is invalid for reduce views."));
    }
    Ok(())
}

fn check_rows(
    view: &View,
    parameters: &ViewParameters,
    grouping: Grouping,
) -> Result<(), ApiError> {
    if view.reducer().is_none() && parameters.reduce == Some(true) {
        return Err(ApiError::query("Reduce is invalid for map-only views."));
    }
    if grouping != Grouping::All {
        return Err(ApiError::query("Invalid use of grouping on a map view."));
    }
    Ok(())
}

/// Makes ranges of keys and document ids.
struct Edges<'a> {
    prefix: Vec<u8>,
    collation: Collation,
    parameters: &'a ViewParameters,
}

impl Edges<'_> {
    fn sort_key(&self, key: &Key) -> Vec<u8> {
        let mut whole = self.prefix.clone();
        whole.append(&mut sort_key(&key.0, self.collation));
        whole
    }

    /// From the first key of an answer to its last. Ids count only beside their keys.
    fn range(&self, first: Option<&Key>, last: Option<&Key>) -> Result<Range, ApiError> {
        let ViewParameters { descending, inclusive_end, .. } = *self.parameters;
        let id = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let first_id = id(&self.parameters.start_key_doc_id);
        let last_id = id(&self.parameters.end_key_doc_id);
        let first = first.map(|key| (self.sort_key(key), first_id));
        let last = last.map(|key| (self.sort_key(key), last_id));
        self.check(first.as_ref(), last.as_ref())?;
        let before = |(sort_key, id)| Edge::Before { sort_key, id };
        let after = |(sort_key, id)| Edge::After { sort_key, id };
        let all = || (self.prefix.clone(), None);
        // Where all rows of a partition are meant, those of the others are beyond the edges.
        let (least, greatest) = match self.prefix.is_empty() {
            true => (Edge::Open, Edge::Open),
            false => (before(all()), after(all())),
        };
        Ok(if descending {
            let start = last.map_or(least, |it| if inclusive_end { before(it) } else { after(it) });
            Range { start, end: first.map_or(greatest, after) }
        } else {
            let end =
                last.map_or(greatest, |it| if inclusive_end { after(it) } else { before(it) });
            Range { start: first.map_or(least, before), end }
        })
    }

    /// Refuses keys between which there can be no rows. Source: `couch_mrview_util:check_range/2`.
    fn check(
        &self,
        first: Option<&(Vec<u8>, Option<String>)>,
        last: Option<&(Vec<u8>, Option<String>)>,
    ) -> Result<(), ApiError> {
        let (Some((first, first_id)), Some((last, last_id))) = (first, last) else {
            return Ok(());
        };
        if self.parameters.start_key == self.parameters.end_key {
            return Ok(());
        }
        // An id that is not given is the least one at the beginning, and the greatest at the end.
        let ids = || match (first_id, last_id) {
            (Some(first), Some(last)) => first.cmp(last),
            (None, _) | (_, None) => std::cmp::Ordering::Less,
        };
        let descending = self.parameters.descending;
        let order = if descending { last.cmp(first) } else { first.cmp(last) };
        if order.then_with(ids).is_lt() {
            return Ok(());
        }
        Err(ApiError::query(format!(
            "No rows can match your key range, reverse your start_key and end_key or set \
             descending={}",
            !descending
        )))
    }
}
