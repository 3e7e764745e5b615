//! A server in the test's own process.

use std::{env, mem, net::SocketAddr, sync::Arc, thread};

use settle::{
    Admin, Server, Storage,
    config::{Config, Secret},
};
use settle_script::Launcher;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{Client, Log, process::ADMIN};

/// What a test server keeps its documents in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Store {
    #[default]
    Memory,
    /// The embedded engine, in a temporary folder.
    Folder,
}

/// A server on a free port with threads of its own. When it ends, a test fails that let it log an
/// error.
#[derive(Debug)]
pub struct TestServer {
    server: Option<Server>,
    runtime: Option<Runtime>,
    config: Config,
    store: Store,
    log: Arc<Log>,
    errors_expected: bool,
    _folder: TempDir,
}

impl TestServer {
    /// An empty one in memory.
    pub async fn start() -> Self {
        Self::start_on(Store::Memory, |_| {}).await
    }

    /// `change` sees the configuration before the start.
    pub async fn start_on(store: Store, change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let mut config = Config {
            data: folder.path().join("data"),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_user: ADMIN.0.into(),
            admin_password: Some(Secret::new(ADMIN.1)),
            ..Config::default()
        };
        change(&mut config);
        let log = Log::new();
        let mut server = Self {
            server: None,
            runtime: None,
            config,
            store,
            log,
            errors_expected: false,
            _folder: folder,
        };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let log = self.log.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || log.take_thread())
            .enable_all()
            .build()
            .expect("there is room for two threads");
        let storage = match self.store {
            Store::Memory => Storage::Memory,
            Store::Folder => Storage::Folder,
        };
        let starting = Server::start_with(self.config.clone(), storage, Admin::Kept, launcher());
        let started = runtime.spawn(starting).await;
        let server = started.expect("a start does not panic");
        self.server = Some(server.unwrap_or_else(|error| {
            panic!("the server does not start: {:#}", anyhow::Error::from(error))
        }));
        self.runtime = Some(runtime);
    }

    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("it runs").address()
    }

    /// Requests as the administrator.
    pub fn admin(&self) -> Client {
        Client::signed_in(self.address(), ADMIN.0, ADMIN.1)
    }

    /// Requests as nobody.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(self.address())
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This test makes the server fail.
    pub fn expect_errors(&mut self) -> &Log {
        self.errors_expected = true;
        &self.log
    }

    /// Stops as a person would stop it, and looks at the log.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    /// Stops, and starts again on what it kept. A server in memory keeps nothing.
    pub async fn restart(&mut self) {
        self.halt().await;
        self.run().await;
    }

    async fn halt(&mut self) {
        let server = self.server.take().expect("it runs");
        let runtime = self.runtime.take().expect("it runs");
        let stopped = runtime.spawn(server.stop()).await.expect("a stop does not panic");
        runtime.shutdown_background();
        if let Err(error) = stopped {
            panic!("the server does not stop: {:#}", anyhow::Error::from(error));
        }
        self.check_log();
    }

    fn check_log(&self) {
        let errors = self.log.errors();
        assert!(self.errors_expected || errors.is_empty(), "the server logged {errors:#?}");
    }
}

/// Functions run in processes of the `settle` binary, which cargo builds beside every integration test of
/// that crate; the tests themselves are in a folder below it.
fn launcher() -> Launcher {
    let test = env::current_exe().expect("a test knows its file");
    let folder = test.ancestors().nth(2).expect("a test is in a folder of the target folder");
    Launcher::program(folder.join("settle"))
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(mem::take(&mut self.server));
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if !thread::panicking() {
            self.check_log();
        }
    }
}
