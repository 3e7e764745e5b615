//! The server as a process of its own, for tests that kill it.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{Client, wait::PATIENCE};

/// The name and password of the administrator in tests.
pub const ADMIN: (&str, &str) = ("admin", "test");

/// A server process, killed by its id when it is dropped, and gone after that: its folder can be
/// opened. A test fails that let it log an error.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `binary serve` on a free port and waits until it says where it listens. `variables`
    /// are added to an environment that has no settings.
    pub async fn serve(binary: &Path, data: &Path, variables: &[(&str, &str)]) -> Self {
        let folder = data.parent().expect("a data folder is in a folder");
        let mut command = Self::command(binary, folder);
        command.arg("serve").arg("--data").arg(data).args(["--bind", "127.0.0.1:0"]);
        command.env("SETTLE_ADMIN_USER", ADMIN.0).env("SETTLE_ADMIN_PASSWORD", ADMIN.1);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the binary starts");
        let output = Arc::new(Mutex::new(String::new()));
        let (sender, mut addresses) = tokio::sync::mpsc::unbounded_channel();
        let stdout = child.stdout.take().expect("piped above");
        let stderr = child.stderr.take().expect("piped above");
        let readers = vec![
            gather(stdout, output.clone(), move |line| {
                if let Some(url) = line.strip_prefix("listening on http://") {
                    drop(sender.send(url.parse()));
                }
            }),
            gather(stderr, output.clone(), |_| {}),
        ];
        let said = tokio::time::timeout(PATIENCE, addresses.recv()).await;
        let Ok(Some(Ok(address))) = said else {
            panic!("the server does not say where it listens:\n{}", text(&output));
        };
        Self { child, address, output, readers }
    }

    /// A command of `binary` in `folder`, in an environment that has no settings.
    pub fn command(binary: &Path, folder: &Path) -> Command {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.current_dir(folder);
        command
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests as the administrator.
    pub fn admin(&self) -> Client {
        Client::signed_in(self.address, ADMIN.0, ADMIN.1)
    }

    /// What it wrote to both outputs.
    pub fn output(&self) -> String {
        text(&self.output)
    }

    /// The same, of a server that was meant to log errors: they do not fail the test any more.
    pub fn take_output(&self) -> String {
        std::mem::take(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` once it has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The way a person or a service manager ends it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// The way a crash ends it: nothing is flushed, nobody is told.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Waits for the end; both outputs are complete then.
    pub async fn wait(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else { panic!("the server does not end:\n{}", self.output()) };
        for reader in self.readers.drain(..) {
            reader.await.expect("reading lines does not panic");
        }
        status.expect("it is our child")
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it has not been waited for"), signal).expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that is being killed holds its folder a while after its port.
        drop(self.child.start_kill());
        while matches!(self.child.try_wait(), Ok(None)) {
            thread::yield_now();
        }
        if !thread::panicking() {
            let output = self.output();
            assert!(!output.contains(" ERROR "), "the server logged an error:\n{output}");
        }
    }
}

fn is_setting(variable: &OsStr) -> bool {
    variable.to_string_lossy().starts_with("SETTLE_")
}

#[expect(clippy::disallowed_methods, reason = "tests have no server whose stop waits for tasks")]
fn gather(
    from: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<String>>,
    on_line: impl Fn(&str) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            on_line(&line);
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    })
}

fn text(output: &Mutex<String>) -> String {
    output.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
