//! The process in which functions run.
//!
//! It reads calls from the socket that is its standard input, one after the other, and ends when that
//! closes. One thread does everything; another one, with a stack of the main program's making, only waits.

mod channel;
mod clock;
mod harden;
mod machine;
mod serve;
mod text;
mod values;

use std::{io, os::fd::AsFd as _, os::unix::net::UnixStream, process::ExitCode, thread};

use crate::{launcher::TEST_VARIABLE, limits};

/// What the subcommand does: serves calls until the host goes. Call it before any runtime or thread
/// starts.
pub fn main() -> ExitCode {
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let work = move || serve::serve(UnixStream::from(socket));
    // The engine's stack, as much again for what is native, and room.
    let stack = 3 * limits::STACK_BYTES;
    let thread = thread::Builder::new().name("functions".into()).stack_size(stack).spawn(work);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => ExitCode::FAILURE,
    }
}

/// For `#[test] fn script_worker()`: is a worker if [`Launcher::this_test`](crate::Launcher::this_test)
/// started the process, and returns at once otherwise.
pub fn main_of_test() {
    if std::env::var_os(TEST_VARIABLE).is_some() {
        main();
    }
}
