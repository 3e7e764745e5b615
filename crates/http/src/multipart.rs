//! Bodies of several parts.
