//! The worker's end of the socket.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    rc::Rc,
};

use bytes::Bytes;

use crate::{
    Thrown,
    frame::{self, FrameError, LENGTH_BYTES},
    limits,
    message::{Reply, Request},
};

/// Messages in and out. Some functions read and write in the middle of their call, so it is shared.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug)]
struct Inner {
    socket: UnixStream,
    rows: VecDeque<Vec<u8>>,
    last: bool,
    log: Vec<String>,
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> Self {
        let inner = Inner { socket, rows: VecDeque::new(), last: false, log: Vec::new() };
        Self { inner: Rc::new(RefCell::new(inner)) }
    }

    /// The next message without its length, or none when the host has gone.
    pub(super) fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut inner = self.inner.borrow_mut();
        let mut length = [0; LENGTH_BYTES];
        match inner.socket.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let length = frame::body_length(length).map_err(damaged)?;
        let mut body = vec![0; length];
        inner.socket.read_exact(&mut body)?;
        Ok(Some(body))
    }

    pub(super) fn send(&self, reply: &Reply) -> io::Result<()> {
        match reply.encode() {
            Ok(message) => self.send_encoded(&message),
            Err(_) => {
                let failure = crate::message::Failure::TooLarge;
                let message = Reply::Failed { log: self.take_log(), failure }.encode();
                self.send_encoded(&message.map_err(damaged)?)
            }
        }
    }

    pub(super) fn send_encoded(&self, message: &[u8]) -> io::Result<()> {
        self.inner.borrow_mut().socket.write_all(message)
    }

    /// Remembers a line for the host's log.
    pub(super) fn log(&self, line: &str) {
        let mut inner = self.inner.borrow_mut();
        if inner.log.len() < limits::LOG_LINES_MAX {
            inner.log.push(cut(line, limits::LOG_LINE_BYTES_MAX).to_owned());
        }
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.borrow_mut().log)
    }

    /// A list function begins.
    pub(super) fn begin_rows(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.rows.clear();
        inner.last = false;
    }

    /// Whether the next row, or that there is none, is known without asking.
    pub(super) fn row_is_here(&self) -> bool {
        let inner = self.inner.borrow();
        inner.last || !inner.rows.is_empty()
    }

    /// The next row; none after the last.
    pub(super) fn row(&self) -> io::Result<Option<Vec<u8>>> {
        while !self.row_is_here() {
            let message = self.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let Request::ListRows { rows, last } = Request::decode(&message).map_err(damaged)?
            else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let mut inner = self.inner.borrow_mut();
            inner.rows.extend(rows.into_iter().map(<[u8]>::to_vec));
            inner.last = last;
        }
        Ok(self.inner.borrow_mut().rows.pop_front())
    }

    /// What a transaction function asks for; JSON, or what it is to be told.
    pub(super) fn ask(&self, question: Bytes) -> io::Result<Result<Vec<u8>, Thrown>> {
        self.send(&Reply::Asked { log: self.take_log(), question })?;
        let message = self.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match Request::decode(&message).map_err(damaged)? {
            Request::Answered { answer } => Ok(answer.map(<[u8]>::to_vec)),
            Request::Hello(_)
            | Request::Program { .. }
            | Request::Call { .. }
            | Request::ListRows { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Hands over what a list function gave so far.
    pub(super) fn listed(
        &self,
        response: Option<Bytes>,
        chunk: Bytes,
        ended: bool,
    ) -> io::Result<()> {
        let log = self.take_log();
        self.send(&Reply::Listed { log, response, chunk, ended })
    }
}

fn damaged(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// At most so many bytes of a text, whole characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
