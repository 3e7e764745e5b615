//! What design documents do: views and Mango indexes, kept up to date by followers.
//!
//! An [`Indexes`] is all indexes of a site, in an engine of their own, so that building one never
//! holds the documents' write lock. A [`View`] is one view of one design document; once it is
//! [`ready`](View::ready) its rows are read. Rows, the record of which document made which of them,
//! and the cursor are committed together, so an index is at every moment exactly what the documents
//! up to its cursor make.
//!
//! What this crate does not know: HTTP, users, what JavaScript runs on, how an engine stores bytes.

mod catalog;
mod codec;
mod designs;
mod documents;
mod find;
mod index;
mod indexes;
mod keys;
pub mod limits;
mod mapper;
mod reclaim;
mod sort;
pub mod tree;
mod view;
mod warm;

#[cfg(test)]
mod tests;

pub use crate::{
    designs::{BrokenDesign, DesignEntry, DesignResult, Designs},
    find::{DefinitionError, Ending, FindError, Finding, IndexDeletion, Stats},
    indexes::{DesignInfo, IndexParts, IndexSettings, IndexSizes, IndexerTask, Indexes, OpenError},
    view::{ReadyView, Update, View, ViewError},
};

/// What the tests of this crate run JavaScript in.
#[cfg(test)]
#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}
