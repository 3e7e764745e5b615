//! How a worker process is started.

use std::{ffi::OsString, io, path::PathBuf};

/// A command that ends in [`worker::main`](crate::worker::main). Its environment is cleared but for
/// what is named here.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
}

/// Set for a test binary that shall be a worker.
pub(crate) const TEST_VARIABLE: &str = "SETTLE_SCRIPT_WORKER";

/// The subcommand of the `settle` binary.
pub const SUBCOMMAND: &str = "script-worker";

impl Launcher {
    /// The running binary, as `settle script-worker`.
    pub fn this_program() -> io::Result<Self> {
        std::env::current_exe().map(Self::program)
    }

    /// A `settle` binary.
    pub fn program(program: PathBuf) -> Self {
        Self {
            program,
            arguments: vec![SUBCOMMAND.into()],
            // Where functions run, no threads may be made, and its allocator would make some.
            environment: vec![("_RJEM_MALLOC_CONF".into(), "background_thread:false".into())],
        }
    }

    /// The running test binary, which has a test of this name:
    ///
    /// ```ignore
    /// #[test]
    /// fn script_worker() {
    ///     settle_script::worker::main_of_test();
    /// }
    /// ```
    pub fn this_test() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: ["script_worker", "--exact", "--nocapture"].map(OsString::from).into(),
            environment: vec![(TEST_VARIABLE.into(), "1".into())],
        })
    }
}
