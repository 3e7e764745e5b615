//! The rules of queries: plain functions, no I/O, no clock.
