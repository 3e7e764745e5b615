//! The `settle` command.

mod cli;

use std::process::ExitCode;

/// That of the system keeps twice the memory of ten thousand jobs: docs/decisions/0016.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
