//! An engine that fails at any chosen operation.
