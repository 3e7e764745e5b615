//! A peer that says what the test tells it to, byte for byte.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
};

/// What is said to one request. The connection is closed behind it.
#[derive(Debug)]
pub(super) enum Line {
    Say(Vec<u8>),
    /// The rest is said when the test has let it, or the other side has gone.
    Wait(Vec<u8>, mpsc::Receiver<()>, Vec<u8>),
    /// The same piece is said until the other side has enough.
    Forever(Vec<u8>, Vec<u8>),
}

/// Takes one connection for each line, and remembers what it was asked.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    play: Option<thread::JoinHandle<()>>,
}

impl Script {
    pub(super) fn new(lines: Vec<Line>) -> Self {
        Self::spoken(free_port(), lines, |stream| stream)
    }

    /// `wrap` begins what is spoken below HTTP.
    pub(super) fn spoken<Stream: Read + Write>(
        listener: TcpListener,
        lines: Vec<Line>,
        wrap: impl Fn(TcpStream) -> Stream + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        let play = thread::spawn(move || {
            for line in lines {
                let mut stream = BufReader::new(wrap(listener.accept().unwrap().0));
                let Some(request) = read_request(&mut stream) else { continue };
                told.lock().unwrap().push(request);
                say(stream.get_mut(), line).ok(); // whoever has heard enough hangs up
            }
        });
        Self { address, asked, play: Some(play) }
    }

    /// All requests, when the last line has been said.
    pub(super) fn asked(mut self) -> Vec<String> {
        self.play.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

pub(super) fn free_port() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

fn say(stream: &mut impl Write, line: Line) -> std::io::Result<()> {
    match line {
        Line::Say(bytes) => stream.write_all(&bytes)?,
        Line::Wait(first, gate, rest) => {
            stream.write_all(&first)?;
            stream.flush()?;
            gate.recv().ok();
            stream.write_all(&rest)?;
        }
        Line::Forever(first, again) => {
            stream.write_all(&first)?;
            loop {
                stream.write_all(&again)?;
            }
        }
    }
    stream.flush()
}

/// The request line, the headers in order of their names, and the body.
fn read_request(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "host" => continue, // has the port, which is another one each time
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
        headers.push(format!("{name}: {value}\n"));
    }
    headers.sort();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(format!("{}\n{}{}", first.trim_end(), headers.concat(), String::from_utf8_lossy(&body)))
}

/// A reply with a length.
pub(super) fn reply(status: &str, headers: &str, body: &str) -> Line {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    Line::Say(text.into_bytes())
}

/// The beginning of a reply that has `length` bytes of body.
pub(super) fn begun(length: usize, body: &str) -> Vec<u8> {
    let text =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    text.into_bytes()
}
