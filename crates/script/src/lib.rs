//! JavaScript in worker processes.
