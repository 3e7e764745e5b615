//! Every limit of the reducers: the number, the reason, and what a client sees when it is reached.

/// `N` of `_top_N` and `_bottom_N`. CouchDB's; each partial keeps so many values. A design document with
/// another is refused with 400 `invalid_design_doc`.
pub const RANK_MAX: u8 = 100;

/// Bytes of the names and numbers that one `_sum` holds, 16 for a number.
///
/// A sum whose members grow
/// with the rows is no reduction: every segment and every level of an index would keep it. A client
/// sees the error `builtin_reduce_error` in place of the value, as with CouchDB's `reduce_limit`.
pub const SUM_BYTES_MAX: usize = 64 * 1024;

/// Bytes of JSON that one `_top_N`, `_bottom_N`, `_first` or `_last` holds: `N` values of an `N`th of it each,
/// or one value.
///
/// Every segment and every level of an index keeps so much. A client sees the error `builtin_reduce_error`
/// in place of the value: from `_top_N` and `_bottom_N` where any of the rows has a longer value, from
/// `_first` and `_last` where that row has.
pub const RANKED_BYTES_MAX: usize = 64 * 1024;

/// Objects in objects that `_sum` adds, arrays in arrays that `_stats` does. A client sees the same as
/// for a value that is no number.
pub const NESTING_MAX: usize = 64;

/// Bytes of a value that an error quotes.
pub(super) const QUOTED_BYTES_MAX: usize = 512;
