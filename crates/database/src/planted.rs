//! Faults that are made on purpose, to show that the check of histories (`settle_testing::histories`) finds them.
//!
//! They are in programs that are built with the feature `planted` and run with `PLANTED_FAULT` in their environment.
//! Tests are built so; what is released never is.

use settle_access::{Grant, Read};
use settle_model::id::DocumentId;

use crate::{Database, revision::Revision};

/// What goes wrong, named as in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `no_read_set`: a transaction is made although what it was judged by has changed.
    NoReadSet,
    /// `lost_precondition`: a document is written on top of whatever is there, not only of the revision that is named.
    LostPrecondition,
    /// `stale_snapshot`: now and then a document is shown as it was some changes ago.
    #[cfg_attr(not(feature = "planted"), expect(dead_code, reason = "nothing is planted"))]
    StaleSnapshot,
}

/// Whether this is to go wrong.
#[cfg(feature = "planted")]
pub(crate) fn planted(fault: Fault) -> bool {
    use std::{env, sync::LazyLock};

    static PLANTED: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let name = env::var("PLANTED_FAULT").ok()?;
        match &*name {
            "no_read_set" => Some(Fault::NoReadSet),
            "lost_precondition" => Some(Fault::LostPrecondition),
            "stale_snapshot" => Some(Fault::StaleSnapshot),
            _ => panic!("{name:?} is no fault that can be planted"),
        }
    });
    *PLANTED == Some(fault)
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_: Fault) -> bool {
    false
}

/// The document as it was some changes ago, now and then, if a stale snapshot is planted.
#[cfg(feature = "planted")]
pub(crate) async fn stale(
    database: &Database,
    grant: &Grant<Read>,
    id: &DocumentId,
) -> Option<Revision> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::{past::moment::Moment, revision::Extras};

    const ONCE_IN: u64 = 4;
    const CHANGES: u64 = 64;
    static TURNS: AtomicU64 = AtomicU64::new(0);

    if !planted(Fault::StaleSnapshot)
        || !TURNS.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONCE_IN)
    {
        return None;
    }
    let moment = Moment(database.sequence().saturating_sub(CHANGES));
    database.get_at(grant, moment, id, Extras::default()).await.ok().flatten()
}

#[cfg(not(feature = "planted"))]
pub(crate) async fn stale(_: &Database, _: &Grant<Read>, _: &DocumentId) -> Option<Revision> {
    None
}
