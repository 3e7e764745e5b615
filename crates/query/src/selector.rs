//! Selectors: conditions on documents, written in JSON, compiled once and asked of raw JSON.
//!
//! A selector is parsed into CouchDB's normal form, which `_explain` shows and which the planner of
//! [`crate::mango`] reads. Asking it of a document finds the members that it names in one pass over
//! the text and builds nothing: what is not asked for is skipped as text.
//!
//! Values compare by the collation of views, so that a range of an index is a range of a selector.
//!
//! Source: CouchDB's `mango_selector.erl`. Differences, each on purpose:
//! - `$regex` has the syntax of Rust's `regex` with look-around and back references, over characters
//!   where CouchDB's PCRE sees bytes; it is bounded by [`limits`];
//! - `$nor` inside `$elemMatch`, `$allMatch` and `$keyMapMatch` works, where CouchDB's never matches;
//! - `$mod` by zero is refused when the selector is read, not when a document is met;
//! - `$text` is refused until there is a search that it could ask.

mod condition;
mod error;
pub mod limits;
mod names;
mod node;
mod operand;
mod parse;
mod path;
mod same;

use self::node::Scope;
pub(crate) use self::{
    condition::{Comparison, Condition},
    names::{Names, find_in},
    node::Node,
    operand::{Operand, sort_key},
    same::{Numbers, is_integer, same},
};
pub use self::{
    error::SelectorError,
    path::{FieldPath, Found},
};

/// A compiled selector.
#[derive(Debug, Clone)]
pub struct Selector {
    scope: Scope,
}

impl Selector {
    /// `json` is minified. The error is in CouchDB's words.
    pub fn parse(json: &[u8]) -> Result<Self, SelectorError> {
        Ok(Self { scope: Scope::new(parse::selector(json)?) })
    }

    /// `{}`
    pub fn everything() -> Self {
        Self { scope: Scope::new(Node::Everything) }
    }

    pub fn is_everything(&self) -> bool {
        matches!(self.node(), Node::Everything)
    }

    /// Whether `document`, minified JSON with the special members that the selector may name, is
    /// selected.
    pub fn matches(&self, document: &[u8]) -> bool {
        self.scope.matches(document)
    }

    /// The normal form as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.node().write(&mut out);
        out
    }

    pub(crate) fn node(&self) -> &Node {
        self.scope.node()
    }
}
