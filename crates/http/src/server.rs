//! Connections: HTTP/1.1, and HTTP/2 for clients that begin with it.
//!
//! A server can be started and stopped many times in a process, several at once. Stopping takes no new
//! connections, lets running replies end (feeds end with their last line), and waits for a while; what
//! is left then is cut.

mod patient;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::patient::Patient;
use crate::{App, AppState, handlers::functions::Peer, limits};

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<AppState>,
    accepting: JoinHandle<GracefulShutdown>,
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

impl Server {
    /// Serves `listener`, which is bound already, so that the caller knows its address.
    pub fn start(listener: TcpListener, state: Arc<AppState>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = TaskTracker::new();
        let app = App::new(Arc::clone(&state));
        let cut = CancellationToken::new();
        let accepting = accept(listener, app, connections.clone(), cut.clone());
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
        let graceful = self.accepting.await.expect("accepting connections does not panic");
        self.connections.close();
        let ended = timeout(patience, async {
            graceful.shutdown().await;
            self.connections.wait().await;
        });
        match ended.await {
            Ok(()) => StopOutcome::Complete,
            Err(_) => {
                self.cut.cancel();
                self.connections.wait().await;
                StopOutcome::Cut
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    app: App,
    connections: TaskTracker,
    cut: CancellationToken,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let protocol = Arc::new(protocol());
    let shutdown = app.state().shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => return graceful,
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
        let watcher = graceful.watcher();
        let (app, protocol, cut) = (app.clone(), Arc::clone(&protocol), cut.clone());
        connections.spawn(async move {
            let _permit = permit;
            let _counted = Counted::new(&app);
            let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
                let app = app.clone();
                async move {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(Peer(peer));
                    let response = app.answer(request).await;
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            let stream = TokioIo::new(Patient::new(stream, limits::WRITE_WAIT));
            let connection = protocol.serve_connection(stream, service);
            let outcome = tokio::select! {
                outcome = watcher.watch(connection.into_owned()) => outcome,
                () = cut.cancelled() => return,
            };
            // A client that goes away, or talks nonsense, is no event.
            if let Err(error) = outcome {
                tracing::debug!(error, "connection ended");
            }
        });
    }
}

async fn next_connection(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    // Small replies leave at once; an error here is one of the connection, found out by using it.
    drop(stream.set_nodelay(true));
    Ok((stream, peer, permit))
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADERS_WAIT)
        .max_buf_size(limits::HEADERS_MAX.max(limits::URI_MAX * 2));
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits::HEADERS_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(limits::HEADERS_WAIT)
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
