//! A bad network to try things on: a proxy for TCP between clients and a server, which is late, slow,
//! stands still, and loses connections, as it is told to.
//!
//! It knows nothing of what it carries, so it stands before TLS as well as before plain HTTP. What
//! happens when follows from a seed and from the time since the proxy started ([`Schedule`]); which
//! connection meets it depends on who connects when.
//!
//! What is on its way waits in memory, at most `SLOW_PROXY_WINDOW_BYTES` of each connection and
//! direction: whoever sends more is held back by TCP, as on a real link.
//!
//! Units: durations, and bytes a second; each direction has the whole rate, which its connections share.

mod conditions;
mod connection;
mod schedule;
mod wire;

use std::{
    fmt, io,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use settle_database::Tasks;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep_until},
};

pub use self::{
    conditions::{Conditions, Cuts, Rate, Stalls},
    schedule::{Direction, Schedule},
};
use self::{connection::Connection, wire::Wire};
use crate::limits::{SLOW_PROXY_ACCEPT_PAUSE, SLOW_PROXY_CONNECTIONS_MAX};

/// A proxy that runs until it is stopped.
#[derive(Debug)]
pub struct SlowProxy {
    address: SocketAddr,
    link: Arc<Link>,
    tasks: Tasks,
}

/// What the proxy has carried and done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that went onto the link towards the server, those that a cut lost included.
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub connections: u64,
    /// Connections that ended by a reset of their own.
    pub resets: u64,
    /// Times that all connections were ended at once.
    pub cuts: u64,
    /// Connections that came while the link was cut.
    pub refused: u64,
}

#[derive(Debug, Error)]
pub enum SlowProxyError {
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// What all connections share.
#[derive(Debug)]
struct Link {
    /// `HOST:PORT` of the server.
    to: String,
    schedule: Schedule,
    started: Instant,
    wires: [Mutex<Wire>; 2],
    counts: Counts,
    /// How often the link was cut; connections end when it changes.
    cuts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: [AtomicU64; 2],
    connections: AtomicU64,
    resets: AtomicU64,
    refused: AtomicU64,
}

impl SlowProxy {
    /// Listens on `address`, and connects each client to `to` (`HOST:PORT`), which is looked up anew for
    /// each: a server that is not there is for the client a connection that is reset.
    pub async fn start(
        address: SocketAddr,
        to: impl Into<String>,
        conditions: Conditions,
        seed: u64,
    ) -> Result<Self, SlowProxyError> {
        let failed = |source| SlowProxyError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let schedule = Schedule::new(conditions, seed);
        let link = Arc::new(Link {
            to: to.into(),
            schedule,
            started: Instant::now(),
            wires: [Mutex::default(), Mutex::default()],
            counts: Counts::default(),
            cuts: watch::Sender::new(0),
        });
        let tasks = Tasks::default();
        tasks.spawn(accept(listener, Arc::clone(&link), tasks.clone()));
        if let Some(cuts) = conditions.cuts {
            tasks.spawn(cut_regularly(cuts, Arc::clone(&link), tasks.clone()));
        }
        Ok(Self { address, link, tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections of this moment, on both sides, by a reset.
    pub fn cut(&self) {
        self.link.cut();
    }

    pub fn traffic(&self) -> Traffic {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.link.counts;
        Traffic {
            bytes_to_server: get(&counts.bytes[Direction::ToServer.index()]),
            bytes_to_client: get(&counts.bytes[Direction::ToClient.index()]),
            connections: get(&counts.connections),
            resets: get(&counts.resets),
            cuts: *self.link.cuts.borrow(),
            refused: get(&counts.refused),
        }
    }

    /// Ends all connections, and says what there was.
    pub async fn stop(self) -> Traffic {
        self.tasks.stop().await;
        self.traffic()
    }
}

impl Link {
    /// Since the proxy started.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn until(&self, moment: Duration) {
        sleep_until(self.started + moment).await;
    }

    /// Puts bytes on the link, and says when the last of them has left the sender.
    fn book(&self, direction: Direction, bytes: NonZeroU32) -> Duration {
        let index = direction.index();
        self.counts.bytes[index].fetch_add(u64::from(bytes.get()), Ordering::Relaxed);
        let mut wire = self.wires[index].lock().unwrap_or_else(PoisonError::into_inner);
        wire.book(&self.schedule, self.now(), bytes)
    }

    fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bytes to the server: {}, to clients: {}; connections: {}, reset: {}, refused: {}; cuts: {}",
            self.bytes_to_server,
            self.bytes_to_client,
            self.connections,
            self.resets,
            self.refused,
            self.cuts
        )
    }
}

/// Takes connections until the proxy is stopped. Beyond the limit they wait in the system's queue.
async fn accept(listener: TcpListener, link: Arc<Link>, tasks: Tasks) {
    let room = Arc::new(Semaphore::new(SLOW_PROXY_CONNECTIONS_MAX));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place.expect("nobody closes it"), listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = tasks.stopping() => return,
            next = next => next,
        };
        let Ok((client, _)) = accepted else {
            // The client has gone again, or there are no more file descriptors, and some come back.
            tokio::time::sleep(SLOW_PROXY_ACCEPT_PAUSE).await;
            continue;
        };
        if link.schedule.is_cut(link.now()) {
            link.counts.refused.fetch_add(1, Ordering::Relaxed);
            reset(client);
            continue;
        }
        let number = link.counts.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::new(Arc::clone(&link), number);
        let stopping = tasks.clone();
        tasks.spawn(async move {
            connection.carry(client, stopping.stopping()).await;
            drop(place);
        });
    }
}

async fn cut_regularly(cuts: Cuts, link: Arc<Link>, tasks: Tasks) {
    let mut next = cuts.every;
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            () = link.until(next) => link.cut(),
        }
        next += cuts.every;
    }
}

/// Ends a connection so that the other side sees an error, not an end.
fn reset(stream: TcpStream) {
    // That it cannot be set means that the connection has ended already.
    drop(stream.set_zero_linger());
}
