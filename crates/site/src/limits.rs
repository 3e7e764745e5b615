//! Every limit of this crate: the number, the reason, and what is seen when it is reached.

/// Ids of `_doc_ids` up to which the documents are looked up one by one; of more, the whole feed is looked
/// through.
pub const FEW_IDS_MAX: usize = 1_000;

/// How often a revert is planned anew when somebody writes to one of its documents meanwhile. Beyond: 503.
pub const REVERT_ATTEMPTS_MAX: usize = 8;
