//! Connections: HTTP/1.1, and HTTP/2 for clients that begin with it.
//!
//! A server can be started and stopped many times in a process, several at once. Stopping takes no new
//! connections, lets running replies end (feeds end with their last line), and waits for a while; what
//! is left then is cut.

mod arriving;
mod crowd;
mod idle;
mod left_over;
mod pace;
mod patient;

use std::{
    convert::Infallible, fmt, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Version, header};
use http_body::Body as _;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::arriving::ArrivalError;
pub use self::pace::Pace;
use self::{
    arriving::Arriving, crowd::Crowd, idle::Requests, left_over::LeftOver, patient::Patient,
};
use crate::{App, AppState, connection::Connection, limits};

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<AppState>,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
    /// Ends connections at once, whatever they do.
    cut: CancellationToken,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// Every reply was sent to its end.
    Complete,
    /// Some connections were cut, because their replies took too long.
    Cut,
}

/// How connections are served.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// `None` serves them as they are.
    pub encryption: Option<Encryption>,
    pub limits: ConnectionLimits,
}

/// What connections may cost. The defaults stand in [`limits`], with what a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub connections_max: usize,
    pub per_address_max: usize,
    /// Whether the loopback address may have all, since a proxy there stands for many clients.
    pub loopback_unbounded: bool,
    pub handshake_wait: Duration,
    pub headers_wait: Duration,
    pub idle_wait: Duration,
    pub body: Pace,
    pub replies: Pace,
}

/// Any stream of bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Turns the stream of a socket into one that the client's end encrypts, which takes a while.
///
/// A function, so that this crate need not build any implementation of TLS.
#[derive(Clone)]
pub struct Encryption(pub Arc<dyn Fn(Box<dyn Duplex>) -> Handshake + Send + Sync>);

pub type Handshake = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send>>;

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            loopback_unbounded: true,
            handshake_wait: limits::HANDSHAKE_WAIT,
            headers_wait: limits::HEADERS_WAIT,
            idle_wait: limits::IDLE_WAIT,
            body: Pace {
                wait: limits::BODY_WAIT,
                bytes_per_second_min: limits::BODY_BYTES_PER_SECOND_MIN,
            },
            replies: Pace {
                wait: limits::WRITE_WAIT,
                bytes_per_second_min: limits::REPLY_BYTES_PER_SECOND_MIN,
            },
        }
    }
}

impl Server {
    /// Serves `listener`, which is bound already, so that the caller knows its address.
    pub fn start(listener: TcpListener, state: Arc<AppState>) -> io::Result<Self> {
        Self::start_with(listener, state, ServerOptions::default())
    }

    pub fn start_with(
        listener: TcpListener,
        state: Arc<AppState>,
        options: ServerOptions,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let host = Host {
            app: App::new(Arc::clone(&state)),
            protocol: protocol(&options.limits),
            cut: cut.clone(),
            options,
        };
        let accepting = accept(listener, Arc::new(host), connections.clone());
        let accepting = TaskTracker::new().spawn(accepting);
        Ok(Self { address, state, accepting, connections, cut })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Asks everything to end, and waits for it as long as [`limits::STOP_WAIT`].
    pub async fn stop(self) -> StopOutcome {
        self.stop_within(limits::STOP_WAIT).await
    }

    pub async fn stop_within(self, patience: Duration) -> StopOutcome {
        self.state.shutdown.begin();
        self.accepting.await.expect("accepting connections does not panic");
        self.connections.close();
        match timeout(patience, self.connections.wait()).await {
            Ok(()) => StopOutcome::Complete,
            Err(_) => {
                self.cut.cancel();
                self.connections.wait().await;
                StopOutcome::Cut
            }
        }
    }
}

/// What all connections of a server share.
struct Host {
    app: App,
    protocol: auto::Builder<TokioExecutor>,
    cut: CancellationToken,
    options: ServerOptions,
}

async fn accept(listener: TcpListener, host: Arc<Host>, connections: TaskTracker) {
    let limits = host.options.limits;
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let crowd = Crowd::new(limits.per_address_max);
    let shutdown = host.app.state().shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            accepted = next_connection(&listener, &room) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(limits::ACCEPT_RETRY).await;
                continue;
            }
        };
        let is_free = limits.loopback_unbounded && peer.ip().to_canonical().is_loopback();
        let seat = if is_free { None } else { crowd.seat(peer.ip()) };
        if seat.is_none() && !is_free {
            tracing::debug!(%peer, "refused a connection: its address has too many");
            continue;
        }
        let host = Arc::clone(&host);
        connections.spawn(async move {
            let _places = (permit, seat);
            let _counted = Counted::new(&host.app);
            tokio::select! {
                () = host.welcome(stream, peer) => {}
                () = host.cut.cancelled() => {}
            }
        });
    }
}

async fn next_connection(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    // Small replies leave at once; an error here is one of the connection, found out by using it.
    drop(stream.set_nodelay(true));
    Ok((stream, peer, permit))
}

impl Host {
    async fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        let stream = Patient::new(stream, self.options.limits.replies);
        let connection = Connection { peer: Some(peer.ip()), encrypted: false };
        let Some(Encryption(encrypt)) = &self.options.encryption else {
            return self.serve(stream, connection).await;
        };
        let handshake = encrypt(Box::new(stream));
        match timeout(self.options.limits.handshake_wait, handshake).await {
            Ok(Ok(stream)) => {
                self.serve(stream, Connection { encrypted: true, ..connection }).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no encryption was agreed on"),
            Err(_) => tracing::debug!(%peer, "agreeing on encryption took too long"),
        }
    }

    /// Answers what is asked on `stream` until it ends. A client that goes away, or talks nonsense, is no
    /// event.
    async fn serve(&self, stream: impl Duplex + 'static, connection: Connection) {
        let requests = Requests::default();
        let pace = self.options.limits.body;
        let left_over = LeftOver::default();
        let service = service_fn(|request: Request<Incoming>| {
            requests.begin(request.version());
            // Requests of HTTP/2 run on their own.
            let app = self.app.clone();
            let left_over = (request.version() < Version::HTTP_2).then(|| left_over.clone());
            let waits = request.headers().contains_key(header::EXPECT);
            async move {
                let request = request.map(|body| match body.is_end_stream() {
                    true => Body::empty(),
                    false => Body::new(Arriving::new(body, pace, left_over, waits)),
                });
                Ok::<_, Infallible>(app.answer_on(connection, request).await)
            }
        });
        let shutdown = &self.app.state().shutdown;
        let serving = self.protocol.serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        let serving = async {
            tokio::select! {
                outcome = serving.as_mut() => outcome,
                () = shutdown.begun() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
                () = requests.none_for(self.options.limits.idle_wait) => {
                    if requests.any() {
                        serving.as_mut().graceful_shutdown();
                        serving.await
                    } else {
                        Ok(())
                    }
                }
            }
        };
        let outcome = tokio::select! {
            outcome = serving => outcome,
            never = left_over.throw_away() => match never {},
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "connection ended");
        }
    }
}

fn protocol(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_wait)
        .max_buf_size(limits::HEADERS_MAX.max(limits::URI_MAX * 2));
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits::HEADERS_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.headers_wait)
        .adaptive_window(true);
    protocol
}

struct Counted<'a>(&'a App);

impl<'a> Counted<'a> {
    fn new(app: &'a App) -> Self {
        app.state().metrics.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(app)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.state().metrics.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}
