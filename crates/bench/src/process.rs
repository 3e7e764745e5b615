//! The servers under test, as processes of their own: started on a free port, stopped by SIGTERM, killed
//! when they are dropped before that.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Signal, kill_process};

use crate::{client::Target, limits::START_WAIT, usage::Pid};

const USER: &str = "admin";
const PASSWORD: &str = "bench";
/// What a proxy that signs users in would prove itself with.
pub(crate) const PROXY_SECRET: &str = "the proxy's secret of the bench";

/// A server process that listens.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Process {
    /// The server, on a data folder.
    pub(crate) fn settle(binary: &Path, data: &Path) -> Result<Self, anyhow::Error> {
        Self::settle_with(binary, data, &[])
    }

    /// The same, with settings as variables of its environment.
    pub(crate) fn settle_with(
        binary: &Path,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self, anyhow::Error> {
        let log_path = data.with_extension("log");
        let log =
            File::create(&log_path).with_context(|| format!("make {}", log_path.display()))?;
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SETTLE_") {
                command.env_remove(name);
            }
        }
        command.env("SETTLE_ADMIN_USER", USER).env("SETTLE_ADMIN_PASSWORD", PASSWORD);
        command.env("SETTLE_PROXY_SECRET", PROXY_SECRET).envs(settings.iter().copied());
        command.arg("serve").arg("--data").arg(data).args(["--bind", "127.0.0.1:0"]).stderr(log);
        Self::start(&mut command).with_context(|| {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            format!("start {} on {}: {log}", binary.display(), data.display())
        })
    }

    /// A bare axum handler that answers with the bytes of `reply`.
    pub(crate) fn bare(reply: &Path) -> Result<Self, anyhow::Error> {
        Self::own("bare", reply).context("start the bare handler")
    }

    /// One that answers with what was recorded in `exchanges`.
    pub(crate) fn replay(exchanges: &Path) -> Result<Self, anyhow::Error> {
        Self::own("replay", exchanges).context("start the server of recorded replies")
    }

    /// A command of this program.
    fn own(name: &str, file: &Path) -> Result<Self, anyhow::Error> {
        let own = std::env::current_exe().context("find the own binary")?;
        Self::start(Command::new(own).arg(name).arg(file))
    }

    fn start(command: &mut Command) -> Result<Self, anyhow::Error> {
        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run the binary")?;
        let stdout = child.stdout.take().expect("piped above");
        let (sender, said) = mpsc::channel();
        // Reads to the end, so that the server never waits for us to read on.
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if let Some(url) = line.trim_end().strip_prefix("listening on http://") {
                    drop(sender.send(url.parse::<SocketAddr>()));
                    break;
                }
                line.clear();
            }
            drop(sender);
            drop(lines.read_to_end(&mut Vec::new()));
        });
        let address = match said.recv_timeout(START_WAIT) {
            Ok(address) => address.context("understand where it listens")?,
            Err(_) => {
                drop(child.kill());
                drop(child.wait());
                bail!("it does not say where it listens");
            }
        };
        Ok(Self { child, address, started_in: begun.elapsed() })
    }

    /// Of the server, with its administrator's password.
    pub(crate) fn url(&self) -> String {
        format!("http://{USER}:{PASSWORD}@{}", self.address)
    }

    pub(crate) fn target(&self) -> Target {
        self.target_as(Some((USER, PASSWORD)))
    }

    /// With a name and a password, or as nobody.
    pub(crate) fn target_as(&self, user: Option<(&str, &str)>) -> Target {
        Target::new(self.address, user)
    }

    /// For requests that say by themselves who sends them.
    pub(crate) fn target_of_nobody(&self) -> Target {
        Target::new(self.address, None)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    /// From running the binary until it said that it listens.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), anyhow::Error> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| anyhow!("process {} has no usable id", self.child.id()))?;
        kill_process(pid, Signal::TERM).context("ask the server to stop")?;
        let begun = Instant::now();
        while begun.elapsed() < START_WAIT {
            if let Some(status) = self.child.try_wait().context("wait for the server")? {
                if !status.success() {
                    bail!("the server ended with {status}");
                }
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("the server does not stop");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail for a process that has ended, which is what they are for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
