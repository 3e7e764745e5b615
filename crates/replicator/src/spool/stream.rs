//! Attachments as streams: on their way into the spool, and out of it.

use std::{fmt, io, path::PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::{
    Stream,
    stream::{self, BoxStream},
};
use settle_model::document::Encoding;
use settle_sync::replication::Failure;
use tokio::{fs::File, io::AsyncReadExt as _};

use super::DigestCheck;
use crate::limits::SPOOL_READ_BYTES;

/// The content of an attachment, as it comes from a source.
pub(crate) struct AttachmentStream {
    /// `None` if there is nothing more, and so nothing that says it.
    pub(crate) encoding: Option<Encoding>,
    /// The byte that it begins with: what was asked for, or 0 if the source cannot do that.
    pub(crate) from: u64,
    /// Whether a connection that is cut cannot be taken for the end.
    pub(crate) end_is_sure: bool,
    pub(crate) bytes: BoxStream<'static, Result<Bytes, Failure>>,
}

impl fmt::Debug for AttachmentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encoding, from, .. } = self;
        f.debug_struct("AttachmentStream")
            .field("encoding", encoding)
            .field("from", from)
            .finish_non_exhaustive()
    }
}

/// An attachment that is whole, ready to be written with its document.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    attachment: usize,
    encoding: Encoding,
    length: u64,
    digest: DigestCheck,
    path: PathBuf,
}

impl Spooled {
    pub(super) fn new(
        attachment: usize,
        encoding: Encoding,
        length: u64,
        digest: DigestCheck,
        path: PathBuf,
    ) -> Self {
        Self { attachment, encoding, length, digest, path }
    }

    /// Its place in the document's list.
    pub(crate) fn attachment(&self) -> usize {
        self.attachment
    }

    /// How the source keeps it, and how its bytes are here.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Of the bytes as they are here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn digest(&self) -> DigestCheck {
        self.digest
    }

    pub(crate) fn read(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        read(self.path.clone(), self.length)
    }
}

/// The first `length` bytes of a file, which must have them.
pub(super) fn read(
    path: PathBuf,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((None, length), move |(file, left)| {
        let path = path.clone();
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut file = match file {
                Some(file) => file,
                None => File::open(path).await?,
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(SPOOL_READ_BYTES);
            let mut bytes = BytesMut::zeroed(most);
            let count = file.read(&mut bytes).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            bytes.truncate(count);
            Ok(Some((bytes.freeze(), (Some(file), left - count as u64))))
        }
    })
}
