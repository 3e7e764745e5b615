//! Limits of selectors: the number, the reason, and what a client sees when it is reached.

/// Bytes of a regular expression once it is compiled. A client sees 400 `bad_arg`.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// Steps back that one regular expression may take on one string, so that no pattern takes more
/// than a few milliseconds a document. A string for which it needs more does not match, as in
/// CouchDB, whose limit is of the same kind.
pub const REGEX_STEPS_MAX: usize = 100_000;
