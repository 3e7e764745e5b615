//! Functions of design documents, in worker processes that are this test binary.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod maps;
mod support;

#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}
