//! One connection of a client and the one to the server behind it.

use std::{
    future::Future,
    io,
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
};

use super::{Link, reset, schedule::Direction};
use crate::limits::{
    SLOW_PROXY_PIECE_BYTES_MAX, SLOW_PROXY_PIECE_BYTES_MIN, SLOW_PROXY_PIECE_TIME,
    SLOW_PROXY_WINDOW_BYTES,
};

#[derive(Debug)]
pub(super) struct Connection {
    link: Arc<Link>,
    number: u64,
}

/// Bytes on their way.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    arrives_at: Duration,
    /// What they take of the window, until they have arrived.
    _room: OwnedSemaphorePermit,
}

/// How a connection ends, other than by an end of both sides.
#[derive(Debug)]
enum Broken {
    /// By what happened to the link, or to one of its sides.
    Passing,
    /// By its own time.
    Reset,
}

impl Connection {
    pub(super) fn new(link: Arc<Link>, number: u64) -> Self {
        Self { link, number }
    }

    /// Carries until both sides have ended, or something ends them: then both get a reset.
    pub(super) async fn carry(&self, mut client: TcpStream, stopping: impl Future<Output = ()>) {
        let mut server = None;
        let mut cuts = self.link.cuts.subscribe();
        let ended = tokio::select! {
            // The sender lives as long as the link.
            _ = cuts.changed() => Err(Broken::Passing),
            () = self.dies() => Err(Broken::Reset),
            () = stopping => Err(Broken::Passing),
            ended = self.join(&mut client, &mut server) => ended.map_err(|_| Broken::Passing),
        };
        let Err(broken) = ended else { return };
        match broken {
            Broken::Passing => {}
            Broken::Reset => drop(self.link.counts.resets.fetch_add(1, Ordering::Relaxed)),
        }
        reset(client);
        if let Some(server) = server {
            reset(server);
        }
    }

    async fn dies(&self) {
        match self.link.schedule.life(self.number) {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    }

    async fn join(&self, client: &mut TcpStream, server: &mut Option<TcpStream>) -> io::Result<()> {
        // The system has accepted the client at once; over this link that takes a round trip.
        let latency = self.link.schedule.conditions().latency;
        tokio::time::sleep(latency * 2).await;
        let server = server.insert(TcpStream::connect(&self.link.to).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            self.pipe(Direction::ToServer, from_client, to_server),
            self.pipe(Direction::ToClient, from_server, to_client),
        )?;
        Ok(())
    }

    async fn pipe(
        &self,
        direction: Direction,
        from: ReadHalf<'_>,
        to: WriteHalf<'_>,
    ) -> io::Result<()> {
        // What is in it is bounded by the window.
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::try_join!(self.send(direction, from, sender), self.deliver(receiver, to))?;
        Ok(())
    }

    async fn send(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        on_their_way: UnboundedSender<Piece>,
    ) -> io::Result<()> {
        let window = Arc::new(Semaphore::new(SLOW_PROXY_WINDOW_BYTES));
        let piece_bytes_max = self.piece_bytes_max();
        let mut buffer = vec![0; piece_bytes_max as usize];
        let mut last_arrives_at = Duration::ZERO;
        for number in 0.. {
            let room = Arc::clone(&window).acquire_many_owned(piece_bytes_max).await;
            let mut room = room.expect("nobody closes it");
            let length = from.read(&mut buffer).await?;
            let count = u32::try_from(length).expect("no more than the buffer");
            let Some(count) = NonZeroU32::new(count) else { break };
            drop(room.split(buffer.len() - length));
            let left_at = self.link.book(direction, count);
            self.link.until(left_at).await;
            let latency = self.link.schedule.latency(direction, self.number, number);
            let arrives_at = last_arrives_at.max(left_at + latency);
            last_arrives_at = arrives_at;
            let piece = Piece { bytes: buffer[..length].to_vec(), arrives_at, _room: room };
            if on_their_way.send(piece).is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn deliver(
        &self,
        mut on_their_way: UnboundedReceiver<Piece>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        while let Some(piece) = on_their_way.recv().await {
            self.link.until(self.link.schedule.moves_at(piece.arrives_at)).await;
            to.write_all(&piece.bytes).await?;
        }
        to.shutdown().await
    }

    /// What a slow link carries in a short time, so that its connections take turns.
    fn piece_bytes_max(&self) -> u32 {
        let Some(rate) = self.link.schedule.conditions().rate else {
            return SLOW_PROXY_PIECE_BYTES_MAX;
        };
        let bytes = u32::try_from(rate.bytes(SLOW_PROXY_PIECE_TIME)).unwrap_or(u32::MAX);
        bytes.clamp(SLOW_PROXY_PIECE_BYTES_MIN, SLOW_PROXY_PIECE_BYTES_MAX)
    }
}
