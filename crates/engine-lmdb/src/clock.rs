//! The one place where this crate reads a clock.

use std::time::Instant;

/// For bounding how long pages are pinned and locks held, which is about the machine's real time and
/// never decides what is stored.
#[expect(clippy::disallowed_methods, reason = "bounds resources of the real machine")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
