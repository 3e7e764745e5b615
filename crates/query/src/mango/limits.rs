//! Limits of Mango: the number, the reason, and what a client sees when it is reached.

/// Documents that `_find` returns where the request does not say how many, as in CouchDB.
pub const FIND_LIMIT_DEFAULT: u64 = 25;

/// Documents read for each one returned beyond which the reply warns, as in CouchDB.
pub const SCAN_WARNING_RATIO: u64 = 10;

/// Groups of one request. They are kept in memory until all documents have been read; a client sees
/// 400 `too_many_groups`.
pub const GROUPS_MAX: usize = 10_000;

/// Bytes of the values that the groups of one request hold. A client sees 400 `too_many_groups`.
pub const GROUPS_BYTES_MAX: usize = 16 << 20;

/// Members of `aggregate`, and fields of `group`: each costs time for each document. A client sees
/// 400 `invalid_aggregate`.
pub const AGGREGATES_MAX: usize = 64;

/// Joins of one request: each reads for each document returned. A client sees 400 `invalid_join`.
pub const JOINS_MAX: usize = 8;

/// Documents that a join on a field puts into one document where the request does not say how many.
pub const JOIN_LIMIT_DEFAULT: u64 = 25;

/// ... and the most that it may ask for. A client sees 400 `invalid_join`.
pub const JOIN_LIMIT_MAX: u64 = 1_000;

/// Bytes of a sort key within which every row of an index is in its place by the key alone: longer
/// ones are cut where they are stored, so a range that ends in one has to look at the documents.
pub const EXACT_KEY_BYTES_MAX: usize = 700;
