//! The reducers that are built in, as operations on partial results that can be stored.

/// A reducer that needs no JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Native {
    Sum,
    Count,
    Stats,
    ApproxCountDistinct,
    /// The most values that rank first, at most so many.
    Top(u8),
    Bottom(u8),
    First,
    Last,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReduceError {
    #[error("`{name}` is not a supported reduce function.")]
    Unsupported { name: String },
    #[error("invalid rank reducer")]
    RankNotANumber,
    #[error("rank value must be between 1 and {max}", max = limits::RANK_MAX)]
    RankOutOfRange,
    /// A value that the reducer cannot take. CouchDB's `invalid_value`.
    #[error("{reason}")]
    InvalidValue { reason: String },
    /// Stored bytes that are not a partial of this reducer.
    #[error("a stored partial reduction is damaged")]
    Damaged,
}

pub mod limits {
    /// `N` of `_top_N` and `_bottom_N`.
    pub const RANK_MAX: u8 = 100;
}

impl Native {
    /// The reducer that a design document names. `None` where `source` does not begin with `_`,
    /// so that it is a function's source.
    pub fn parse(_source: &str) -> Option<Result<Self, ReduceError>> {
        unimplemented!()
    }

    /// The partial of rows in key order: key and value as minified JSON. Never fails: a value that
    /// cannot be taken makes a partial that says so, and [`Native::finish`] reports it, so that an
    /// index never stops because of a document.
    pub fn reduce<'a>(self, _rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
        unimplemented!()
    }

    /// The partial of all rows of `partials`, which are in key order. Associative; no partials are
    /// as no rows.
    pub fn combine<'a>(self, _partials: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        unimplemented!()
    }

    /// What clients see, as JSON.
    pub fn finish(self, _partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
        unimplemented!()
    }
}
