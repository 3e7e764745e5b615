//! What every engine bounds, and what its callers see at the bound.

/// Bytes of one value. Larger ones are [`crate::Outcome::NotApplied`].
pub const VALUE_LENGTH_MAX: usize = 16 * 1024 * 1024;

/// Bytes of keys and values that one slice of a read visits before it pauses.
pub const SLICE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Visits between two looks at the clock: at ten million rows a second, 6 µs.
pub const VISITS_PER_TIME_CHECK: u32 = 64;
