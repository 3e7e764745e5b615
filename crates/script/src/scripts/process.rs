//! One worker process, seen from the host.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdSocket},
    process::Stdio,
};

use bytes::Bytes;
use rustix::process::{Pid, setpriority_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    Launcher,
    frame::{self, LENGTH_BYTES},
    limits,
    message::{Hello, ProgramKey, Reply, Request},
};

/// Added to the priority number of a process whose call is slow.
const SLOW_NICENESS: i32 = 5;

/// Programs that a worker is remembered to have; those of the latest calls.
const REMEMBERED_PROGRAMS: usize = 16;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    /// The latest last.
    programs: Vec<ProgramKey>,
    /// Runs with less priority, which it cannot get back.
    reniced: bool,
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Broken {
    /// The worker had gone before it could be asked anything.
    NotAsked,
    /// It went while it worked, or sent nonsense.
    Midway(io::Error),
}

impl Process {
    /// Starts one.
    pub(super) fn start(launcher: &Launcher) -> io::Result<Self> {
        let (ours, theirs) = StdSocket::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        let child = Command::new(&launcher.program)
            .args(&launcher.arguments)
            .env_clear()
            .envs(launcher.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, socket, programs: Vec::new(), reniced: false })
    }

    /// Tells it its limits, and waits until it serves.
    pub(super) async fn greet(&mut self, hello: Hello) -> io::Result<()> {
        let hello = Request::Hello(hello).encode().map_err(io::Error::other)?;
        self.socket.write_all(&hello).await?;
        let ready = timeout(limits::START_TIME_MAX, self.read()).await;
        match ready.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Reply::Ready { missing } => {
                for protection in missing {
                    tracing::debug!(protection, "a worker runs without a protection");
                }
                Ok(())
            }
            Reply::NeedProgram
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Listed { .. }
            | Reply::Asked { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends a message, and waits for the reply.
    pub(super) async fn ask(&mut self, message: &[u8]) -> Result<Reply, Broken> {
        // A worker that has ended refuses the first bytes.
        if let Err(error) = self.socket.write_all(message).await {
            let gone =
                matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
            return Err(if gone { Broken::NotAsked } else { Broken::Midway(error) });
        }
        self.read().await.map_err(Broken::Midway)
    }

    async fn read(&mut self) -> io::Result<Reply> {
        let mut length = [0; LENGTH_BYTES];
        self.socket.read_exact(&mut length).await?;
        let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let length = frame::body_length(length).map_err(damaged)?;
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await?;
        Reply::decode(&Bytes::from(body)).map_err(damaged)
    }

    /// Ends when an idle worker ends, or says something unasked.
    pub(super) async fn stirs(&self) {
        loop {
            drop(self.socket.readable().await);
            // What was read last may have left the word that there is more.
            match self.socket.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Notes that it has this program now.
    pub(super) fn remember(&mut self, key: ProgramKey) {
        self.programs.retain(|it| *it != key);
        if self.programs.len() == REMEMBERED_PROGRAMS {
            self.programs.remove(0);
        }
        self.programs.push(key);
    }

    /// Whether it has answered before.
    pub(super) fn has_served(&self) -> bool {
        !self.programs.is_empty()
    }

    pub(super) fn programs(&self) -> &[ProgramKey] {
        &self.programs
    }

    pub(super) fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// It has been [`renice`]d, and ends with its call.
    pub(super) fn set_reniced(&mut self) {
        self.reniced = true;
    }

    pub(super) fn is_reniced(&self) -> bool {
        self.reniced
    }

    /// For a message, after it has broken off.
    pub(super) async fn how_it_ended(&mut self, error: &io::Error) -> String {
        match timeout(limits::KILL_GRACE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => error.to_string(),
        }
    }

    /// Kills it, and waits for its end.
    pub(super) async fn kill(mut self) {
        drop(self.child.start_kill());
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a worker cannot be waited for");
        }
    }
}

/// Lets others go first.
pub(super) fn renice(id: Option<Pid>) {
    if let Some(id) = id
        && let Err(error) = setpriority_process(Some(id), SLOW_NICENESS)
    {
        tracing::debug!(%error, "a slow worker keeps its priority");
    }
}
