//! Functions of design documents, in worker processes that are this test binary.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod calls;
mod hostile;
mod json;
mod lists;
mod maps;
mod pool;
mod reduces;
mod sandbox;
mod support;
mod transactions;

#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}
