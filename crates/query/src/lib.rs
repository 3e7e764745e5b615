//! The rules of queries: plain functions, no I/O, no clock.

pub mod collate;
pub mod design;
pub mod mango;
pub mod reduce;
pub mod selector;
mod terms;
