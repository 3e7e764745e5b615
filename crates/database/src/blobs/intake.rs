//! What happens to the bytes of an upload, on whichever thread: compress or inspect, hash, keep in
//! memory or spill to a file. Plain blocking code; [`upload`](super::upload) decides where it runs.

use std::sync::Arc;

use md5::{Digest as _, Md5};

use super::{
    compress::{NotGzip, Packer, Unpacker},
    digest::{BlobDigest, Encoding},
    file::BlockWriter,
    folder::{Folder, FolderError},
    limits::{BLOCK_BYTES, INLINE_BYTES_MAX},
    record::UploadId,
    staged::{Content, StagedBlob},
    tidy,
    upload::{UploadError, write_failed},
};

// What fits into memory is one block, so that spilling writes what was kept as the first.
const _: () = assert!(INLINE_BYTES_MAX == BLOCK_BYTES);

#[derive(Debug)]
pub(super) struct Intake {
    form: Form,
    /// Of the bytes as they come, where that is asked for and is not that of the stored bytes.
    received_md5: Option<Md5>,
    expected_md5: Option<[u8; 16]>,
    length: u64,
    length_max: u64,
    store: Sink,
}

/// How what comes becomes what is stored.
#[derive(Debug)]
enum Form {
    AsIs,
    Pack(Box<Packer>),
    /// Comes compressed and stays so; unpacked only to learn its length and that it can be.
    Inspect {
        unpacker: Box<Unpacker>,
        scratch: Vec<u8>,
    },
}

impl Intake {
    pub(super) fn new(
        folder: Arc<Folder>,
        encoding: Encoding,
        is_packed_already: bool,
        expected_md5: Option<[u8; 16]>,
        length_max: u64,
    ) -> Self {
        let form = match encoding {
            Encoding::Identity => Form::AsIs,
            Encoding::Gzip if is_packed_already => {
                Form::Inspect { unpacker: Box::new(Unpacker::new()), scratch: vec![0; BLOCK_BYTES] }
            }
            Encoding::Gzip => Form::Pack(Box::new(Packer::new())),
        };
        let is_changed = matches!(form, Form::Pack(_));
        let received_md5 = (is_changed && expected_md5.is_some()).then(Md5::new);
        let store = Sink::new(folder);
        Self { form, received_md5, expected_md5, length: 0, length_max, store }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        if let Some(md5) = &mut self.received_md5 {
            md5.update(bytes);
        }
        let store = &mut self.store;
        match &mut self.form {
            Form::AsIs => {
                self.length += bytes.len() as u64;
                store.push(bytes)
            }
            Form::Pack(packer) => {
                self.length += bytes.len() as u64;
                packer.push(bytes, |packed| store.push(packed))
            }
            Form::Inspect { unpacker, scratch } => {
                let mut input = bytes;
                loop {
                    let made = unpacker.run(&mut input, scratch)?;
                    self.length += made as u64;
                    if self.length > self.length_max {
                        return Err(UploadError::TooLarge { max: self.length_max });
                    }
                    if made < scratch.len() {
                        break;
                    }
                }
                store.push(bytes)
            }
        }
    }

    /// The blob, in its place and synced.
    pub(super) fn finish(mut self) -> Result<StagedBlob, UploadError> {
        let encoding = match &mut self.form {
            Form::AsIs => Encoding::Identity,
            Form::Pack(packer) => {
                let store = &mut self.store;
                packer.finish(|packed| store.push(packed))?;
                Encoding::Gzip
            }
            Form::Inspect { unpacker, .. } if unpacker.is_complete() => Encoding::Gzip,
            Form::Inspect { .. } => return Err(NotGzip.into()),
        };
        let hashed = self.store.hash_rest();
        let received_md5 = self.received_md5.map_or(hashed.md5, |md5| md5.finalize().into());
        if self.expected_md5.is_some_and(|expected| expected != received_md5) {
            return Err(UploadError::Md5Mismatch);
        }
        self.store.finish(hashed, encoding, self.length)
    }
}

/// Takes stored bytes: hashes them, and spills to a file what does not fit into memory.
#[derive(Debug)]
struct Sink {
    folder: Arc<Folder>,
    upload: UploadId,
    blake3: blake3::Hasher,
    md5: Md5,
    length: u64,
    /// The block that is being filled. Full only until more comes.
    block: Vec<u8>,
    spill: Option<Spill>,
}

struct Hashed {
    digest: BlobDigest,
    md5: [u8; 16],
}

/// A file without a name, which goes unless it gets one.
#[derive(Debug)]
struct Spill {
    writer: BlockWriter,
    guard: Incoming,
}

#[derive(Debug)]
struct Incoming {
    folder: Arc<Folder>,
    upload: UploadId,
    is_placed: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.is_placed {
            return;
        }
        let (folder, upload) = (self.folder.clone(), self.upload);
        tidy(move || {
            if let Err(error) = folder.remove_incoming(upload) {
                tracing::warn!(%error, cause = %error.source, "a given-up upload stays for now");
            }
        });
    }
}

impl Sink {
    fn new(folder: Arc<Folder>) -> Self {
        Self {
            upload: folder.next_upload(),
            folder,
            blake3: blake3::Hasher::new(),
            md5: Md5::new(),
            length: 0,
            block: Vec::new(),
            spill: None,
        }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), UploadError> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.block.len() == BLOCK_BYTES {
                self.hash_block();
                self.write_block()?;
            }
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn hash_block(&mut self) {
        self.blake3.update(&self.block);
        self.md5.update(&self.block);
    }

    fn hash_rest(&mut self) -> Hashed {
        self.hash_block();
        let digest = BlobDigest::from_bytes(*self.blake3.finalize().as_bytes());
        Hashed { digest, md5: self.md5.finalize_reset().into() }
    }

    fn write_block(&mut self) -> Result<(), UploadError> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill::begin(&self.folder, self.upload)?),
        };
        spill.writer.push(&mut self.block).map_err(|source| write_failed("write", source))
    }

    /// `hashed` is what [`hash_rest`](Self::hash_rest) said.
    fn finish(
        mut self,
        hashed: Hashed,
        encoding: Encoding,
        length: u64,
    ) -> Result<StagedBlob, UploadError> {
        if self.spill.is_some() && !self.block.is_empty() {
            self.write_block()?;
        }
        let content = match self.spill {
            None => {
                self.block.shrink_to_fit();
                Content::Inline(self.block.into())
            }
            Some(Spill { writer, mut guard }) => {
                writer
                    .finish(hashed.digest, self.length)
                    .map_err(|source| write_failed("sync", source))?;
                self.folder.place(self.upload, hashed.digest).map_err(placing_failed)?;
                guard.is_placed = true;
                Content::File(self.folder)
            }
        };
        Ok(StagedBlob::new(
            hashed.digest,
            hashed.md5,
            encoding,
            length,
            self.length,
            self.upload,
            content,
        ))
    }
}

impl Spill {
    fn begin(folder: &Arc<Folder>, upload: UploadId) -> Result<Self, UploadError> {
        let file = folder.create_incoming(upload).map_err(placing_failed)?;
        let guard = Incoming { folder: folder.clone(), upload, is_placed: false };
        let writer =
            BlockWriter::begin(file, upload).map_err(|source| write_failed("write", source))?;
        Ok(Self { writer, guard })
    }
}

fn placing_failed(error: FolderError) -> UploadError {
    write_failed(error.action, error.source)
}
