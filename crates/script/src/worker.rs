//! The process in which functions run.

/// What the subcommand does: serves calls from the socket that is the standard input until that
/// closes. Call it before any runtime or thread starts.
pub fn main() -> std::process::ExitCode {
    unimplemented!()
}

/// For `#[test] fn script_worker()`: is a worker if [`Launcher::this_test`](crate::Launcher::this_test)
/// started the process, and returns at once otherwise.
pub fn main_of_test() {
    if std::env::var_os(crate::launcher::TEST_VARIABLE).is_some() {
        main();
    }
}
