//! Every limit of this crate: the number, the reason, and what is seen when it is reached.

/// Ids of `_doc_ids` up to which the documents are looked up one by one; of more, the whole feed is looked
/// through.
pub const FEW_IDS_MAX: usize = 1_000;
