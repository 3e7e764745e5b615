//! `settle serve`.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    panic::{self, PanicHookInfo},
    process::ExitCode,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settle::{
    Server,
    config::{LogFormat, Resolved},
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{complain, say};

pub(super) fn run(resolved: &Resolved) -> Result<ExitCode, anyhow::Error> {
    let config = &resolved.config;
    start_log(config.log_format, config.log_filter.clone())?;
    panic::set_hook(Box::new(log_panic));
    raise_file_limit();
    let runtime = runtime()?;
    runtime.block_on(serve(resolved))
}

/// A panic is a line of the log like any other failure, in the same format.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let words = panic.payload_as_str().unwrap_or("without words");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(place, %backtrace, "panicked: {words}");
    } else {
        tracing::error!(place, "panicked: {words}");
    }
}

/// Each connection and each attachment being read is an open file, and the usual limit of 1,024 is
/// there for programs that use `select`. The hard limit stays the administrator's.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "could not raise the limit of open files");
    }
}

async fn serve(resolved: &Resolved) -> Result<ExitCode, anyhow::Error> {
    let config = &resolved.config;
    let mut signals = Signals::listen().context("listen for signals")?;
    let server = Server::start(config.clone()).await.context("start the server")?;
    tracing::info!(
        address = %server.address(),
        data = %config.data.display(),
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );
    if !server.address().ip().is_loopback() && !server.is_encrypted() {
        tracing::warn!("other machines can reach this server, and nothing encrypts what they say");
    }
    if let Some(first) = server.first_admin() {
        // To the output alone: the log is kept, and read by others.
        let password = first.password.reveal();
        say(&format!("admin: {}", first.name))?;
        say(&format!(
            "password: {password} (shown this once; SETTLE_ADMIN_PASSWORD sets another)"
        ))?;
    }
    say(&format!("listening on {}", server.url()))?;

    let name = signals.next().await;
    tracing::info!(signal = name, "stopping");
    tokio::select! {
        stopped = server.stop() => stopped.context("stop the server")?,
        name = signals.next() => {
            tracing::warn!(signal = name, "told to stop a second time: not waiting for requests");
            complain("stopped without waiting for requests under way");
            return Ok(ExitCode::FAILURE);
        }
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn runtime() -> Result<Runtime, anyhow::Error> {
    Builder::new_multi_thread().enable_all().build().context("start the threads")
}

/// For commands that print their result: warnings only.
pub(super) fn log_warnings() -> Result<(), anyhow::Error> {
    start_log(LogFormat::Text, Targets::new().with_default(LevelFilter::WARN))
}

/// Log lines go to the standard error, for as long as the process runs.
fn start_log(format: LogFormat, filter: Targets) -> Result<(), anyhow::Error> {
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    Registry::default().with(lines.with_filter(filter)).try_init().context("start the log")
}

/// What a person or a service manager sends to end the server.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
