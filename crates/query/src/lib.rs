//! The rules of queries: plain functions, no I/O, no clock.

pub mod collate;
pub mod design;
pub mod reduce;
