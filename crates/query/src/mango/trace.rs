//! How the choice of an index went, for `index_candidates` of `_explain`.
//!
//! Source: `mango_cursor:extract_candidate_indexes/1`.

use std::sync::Arc;

use super::index::Index;

/// Why an index was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    FieldMismatch,
    SortOrderMismatch,
    LessOverlap,
    TooManyFields,
    AlphabeticallyComesAfter,
    IsPartial,
    ScopeMismatch,
    ExcludedByUser,
    UnfavoredType,
}

/// The indexes after each step of the choice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) all: Vec<Arc<Index>>,
    /// Partial ones only if they are named.
    pub(crate) in_scope: Vec<Arc<Index>>,
    pub(crate) verdicts: Vec<(Arc<Index>, Vec<Reason>)>,
    pub(crate) usable: Vec<Arc<Index>>,
    pub(crate) filtered: Vec<Arc<Index>>,
    pub(crate) of_type: Vec<Arc<Index>>,
    /// Best first, with the number of narrowed fields that each misses.
    pub(crate) ranked: Vec<(Arc<Index>, usize)>,
}

/// An index that was not chosen.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) index: Arc<Index>,
    pub(crate) usable: bool,
    pub(crate) reason: Option<Reason>,
    pub(crate) ranking: usize,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FieldMismatch => "field_mismatch",
            Self::SortOrderMismatch => "sort_order_mismatch",
            Self::LessOverlap => "less_overlap",
            Self::TooManyFields => "too_many_fields",
            Self::AlphabeticallyComesAfter => "alphabetically_comes_after",
            Self::IsPartial => "is_partial",
            Self::ScopeMismatch => "scope_mismatch",
            Self::ExcludedByUser => "excluded_by_user",
            Self::UnfavoredType => "unfavored_type",
        }
    }
}

impl Trace {
    /// All but `winner`, the last by name first. An index that fell out at an early step ranks
    /// behind those that fell out later.
    pub(crate) fn candidates(&self, winner: Option<&Arc<Index>>) -> Vec<Candidate> {
        let has =
            |list: &[Arc<Index>], index: &Arc<Index>| list.iter().any(|it| Arc::ptr_eq(it, index));
        let any =
            |from: &[Arc<Index>], without: &[Arc<Index>]| from.iter().any(|it| !has(without, it));
        let global: Vec<_> = self.all.iter().filter(|it| !it.is_partial()).cloned().collect();
        let unfavored = self.ranked.len().max(1);
        let excluded = unfavored + usize::from(any(&self.filtered, &self.of_type));
        let not_usable = excluded + usize::from(any(&self.usable, &self.filtered));
        let out_of_scope = not_usable + usize::from(any(&self.in_scope, &self.usable));
        let partial = out_of_scope + usize::from(any(&global, &self.in_scope));
        let columns = winner.map_or(0, |it| it.paths().len());

        let candidate = |index: &Arc<Index>| {
            let mut candidate =
                Candidate { index: index.clone(), usable: true, reason: None, ranking: 0 };
            let mut add = |usable: bool, reason: Option<Reason>, ranking: usize| {
                candidate.usable &= usable;
                candidate.reason = candidate.reason.or(reason);
                candidate.ranking += ranking;
            };
            if index.is_partial() {
                add(false, Some(Reason::IsPartial), partial);
            }
            if has(&global, index) && !has(&self.in_scope, index) {
                add(false, Some(Reason::ScopeMismatch), out_of_scope);
            }
            if has(&self.in_scope, index) && !has(&self.usable, index) {
                add(false, None, not_usable);
            }
            if has(&self.usable, index) && !has(&self.filtered, index) {
                add(true, Some(Reason::ExcludedByUser), excluded);
            }
            if has(&self.filtered, index) && !has(&self.of_type, index) {
                add(true, Some(Reason::UnfavoredType), unfavored);
            }
            let verdict = self.verdicts.iter().find(|it| Arc::ptr_eq(&it.0, index));
            if let Some((_, reasons)) = verdict {
                add(true, reasons.first().copied(), 0);
            }
            let ranked = self.ranked.iter().position(|it| Arc::ptr_eq(&it.0, index));
            if let Some(place) = ranked {
                let reason = if self.ranked[place].1 > 0 {
                    Reason::LessOverlap
                } else if index.paths().len() > columns {
                    Reason::TooManyFields
                } else {
                    Reason::AlphabeticallyComesAfter
                };
                add(true, Some(reason), place);
            }
            candidate
        };
        let losers =
            self.all.iter().filter(|it| winner.is_none_or(|winner| !Arc::ptr_eq(it, winner)));
        losers.rev().map(candidate).collect()
    }
}
