//! What is compressed, and how: exactly as CouchDB does it, since digests and revision ids are made
//! of the compressed bytes.
//!
//! Source: `couch_db:compressible_att_type/1` with its default list, `couch_stream:gzip_init/1`
//! (zlib's `deflateInit2` with a gzip header made by zlib, 15 window bits, memory level 8, default
//! strategy) and the default level of 8. The bytes do not depend on how the input is cut.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use thiserror::Error;

const LEVEL: u32 = 8;
const WINDOW_BITS: u8 = 15;

/// Bytes of output that are made at a time.
const SCRATCH_BYTES: usize = 32 << 10;

const WHOLE_TYPES: [&str; 3] = ["application/javascript", "application/json", "application/xml"];

/// Whether CouchDB would compress what has this content type.
pub fn is_compressible(content_type: &str) -> bool {
    let content_type = content_type.trim_ascii_start();
    let bytes = content_type.as_bytes();
    if bytes.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/")) {
        return true;
    }
    let essence = content_type.split(';').next().expect("split yields at least one part");
    WHOLE_TYPES.iter().any(|it| it.eq_ignore_ascii_case(essence.trim_ascii_end()))
}

#[derive(Debug)]
pub(super) struct Packer {
    zlib: Compress,
    scratch: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        let zlib = Compress::new_gzip(Compression::new(LEVEL), WINDOW_BITS);
        Self { zlib, scratch: vec![0; SCRATCH_BYTES] }
    }

    pub(super) fn push<E>(
        &mut self,
        mut input: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            let (taken, made, _) = self.step(input, FlushCompress::None);
            input = &input[taken..];
            out(&self.scratch[..made])?;
        }
        Ok(())
    }

    pub(super) fn finish<E>(
        &mut self,
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let (_, made, status) = self.step(&[], FlushCompress::Finish);
            out(&self.scratch[..made])?;
            if status == Status::StreamEnd {
                return Ok(());
            }
        }
    }

    fn step(&mut self, input: &[u8], flush: FlushCompress) -> (usize, usize, Status) {
        let (before_in, before_out) = (self.zlib.total_in(), self.zlib.total_out());
        let status = self
            .zlib
            .compress(input, &mut self.scratch, flush)
            .expect("compression fails only on a stream that was set up wrongly");
        let moved = |now: u64, before: u64| usize::try_from(now - before).expect("within a slice");
        let taken = moved(self.zlib.total_in(), before_in);
        (taken, moved(self.zlib.total_out(), before_out), status)
    }
}

/// The bytes are not a sequence of whole gzip members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes are not valid gzip")]
pub struct NotGzip;

/// Unpacks gzip, of one member or several behind each other (RFC 1952 §2.2).
#[derive(Debug)]
pub(super) struct Unpacker {
    zlib: Decompress,
    /// Whether the last member is whole, so that the input may end here.
    is_between: bool,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new_gzip(WINDOW_BITS), is_between: false }
    }

    /// Takes from `input` and fills `out`, until either is used up; says how much it wrote.
    pub(super) fn run(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, NotGzip> {
        let mut written = 0;
        while written < out.len() {
            if self.is_between {
                if input.is_empty() {
                    break;
                }
                self.zlib = Decompress::new_gzip(WINDOW_BITS);
                self.is_between = false;
            }
            let (before_in, before_out) = (self.zlib.total_in(), self.zlib.total_out());
            let status = self
                .zlib
                .decompress(input, &mut out[written..], FlushDecompress::None)
                .map_err(|_| NotGzip)?;
            let moved =
                |now: u64, before: u64| usize::try_from(now - before).expect("within a slice");
            let taken = moved(self.zlib.total_in(), before_in);
            let made = moved(self.zlib.total_out(), before_out);
            *input = &input[taken..];
            written += made;
            match status {
                Status::StreamEnd => self.is_between = true,
                Status::Ok | Status::BufError if taken == 0 && made == 0 => break,
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(written)
    }

    /// Whether the input may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.is_between
    }
}
