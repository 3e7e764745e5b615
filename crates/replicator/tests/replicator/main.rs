//! Jobs between databases of one site, and the scheduler that runs them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod local;
mod scheduling;
mod support;

/// What design functions run in.
#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}
