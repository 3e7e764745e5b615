//! Mango: indexes over fields, and finding documents by selectors with them.
//!
//! A [`FindRequest`] is what a client asks, a [`MangoIndex`] what the map of an index definition
//! says, an [`Index`] one that can be chosen, and [`plan()`] the choice: which index, which range of
//! it, and whether the documents have to be read at all. What is found with a plan is the business of
//! others; everything here is a function of JSON.
//!
//! Source: CouchDB's `mango_opts.erl`, `mango_idx*.erl` and `mango_cursor*.erl`.

mod aggregate;
mod bookmark;
mod creation;
mod error;
mod explain;
mod index;
pub mod limits;
mod object;
mod plan;
mod projection;
mod range;
mod request;
mod trace;

pub use self::{
    aggregate::{Aggregation, Groups},
    bookmark::{Bookmark, NO_BOOKMARK},
    creation::{DesignEdit, IndexCreation, parse_bulk_delete, without_index},
    error::MangoError,
    explain::{DatabaseFacts, explain},
    index::{Direction, Index, IndexField, MangoIndex, NamedIndex, list_json, sort_indexes},
    object::with_member,
    plan::{Plan, Purpose, plan},
    projection::{Projection, document_of_key},
    range::{KeyEdge, KeySpan, Ranges},
    request::{FindRequest, Join, JoinTarget},
};
