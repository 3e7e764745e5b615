//! Large attachments on their way from a source to a target.
//!
//! An attachment grows in a file of its own while it comes, is found again when the link was cut or the
//! process ended, and goes on where it stopped. It goes when its document was written, or its job has ended.
//! What no job has asked for in [`SPOOL_KEPT`] is swept at the next start.
//!
//! ```text
//! spool/<replication id>/<BLAKE3 of document, revision and name>-<identity|gzip>
//! ```
//!
//! A file holds the content as the source keeps it, from the first byte on, and nothing else. It is not
//! synced: after a crash it may lack bytes or hold wrong ones. So what was put together from several pieces
//! counts as whole only if it has the digest that the document names. What came in one piece is taken as
//! it is, since proxies compress what the source has not; the target is then not told the digest.
//!
//! While the process lives, what it knows of a file's length counts, not the file's: a write that was
//! under way when its request was given up may yet end.

mod stream;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use settle_model::{
    document::Encoding,
    json::string_value,
    time::{Clock, Timestamp},
};
use settle_sync::{
    id::ReplicationId,
    replication::{Document, Failure, FailureKind, Reply},
};
use tempfile::TempDir;
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
};

pub(crate) use self::stream::{AttachmentStream, Spooled};
use crate::{
    limits::{SPOOL_BYTES_MAX, SPOOL_KEPT},
    stub,
};

/// All attachments on their way. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Of a server that keeps nothing.
    _temporary: Option<TempDir>,
}

#[derive(Debug, Default)]
struct State {
    /// Of all files.
    bytes: u64,
    /// By the name of their folder.
    jobs: HashMap<String, Files>,
}

/// Those of one job.
#[derive(Debug, Default)]
struct Files {
    /// Runs of the job that hold them.
    users: usize,
    /// When the last of these ended.
    seen: Timestamp,
    staged: HashMap<String, Staged>,
}

/// What there is of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Staged {
    encoding: Encoding,
    length: u64,
    growth: Growth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// From before the process started; maybe whole.
    Found,
    /// There is more to come.
    Part,
    Whole(DigestCheck),
}

/// How the content compares with the digest that the document names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigestCheck {
    Equal,
    Differs,
    /// It names none that is known here.
    Unknown,
}

/// The files of a job, held by one run of it.
#[derive(Debug)]
pub(crate) struct JobSpool {
    spool: Spool,
    job: String,
}

impl Spool {
    /// With what is in `folder`, which is made if it is not there; a temporary one for servers that keep
    /// nothing.
    pub(crate) async fn open(folder: Option<PathBuf>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open_bounded(folder, clock, SPOOL_BYTES_MAX).await
    }

    async fn open_bounded(
        folder: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let oldest = clock.now().minus(SPOOL_KEPT);
        let opened = spawn_blocking(move || {
            let temporary = match &folder {
                Some(_) => None,
                None => Some(tempfile::Builder::new().prefix("settle-spool-").tempdir()?),
            };
            let folder = folder.or_else(|| temporary.as_ref().map(|it| it.path().to_owned()));
            let folder = folder.expect("there is a temporary folder unless one was given");
            fs::create_dir_all(&folder)?;
            let state = sweep(&folder, oldest)?;
            Ok::<_, io::Error>((folder, temporary, state))
        });
        let (folder, temporary, state) = opened.await.map_err(io::Error::other)??;
        let state = Mutex::new(state);
        Ok(Self(Arc::new(Inner { folder, bytes_max, clock, state, _temporary: temporary })))
    }

    /// The files of a job, for one run of it.
    pub(crate) fn of_job(&self, id: &ReplicationId) -> JobSpool {
        let job = id.to_string();
        self.state().jobs.entry(job.clone()).or_default().users += 1;
        JobSpool { spool: self.clone(), job }
    }

    /// Deletes the files of a job that was ended for good.
    pub(crate) async fn forget(&self, id: &ReplicationId) {
        let job = id.to_string();
        {
            let mut state = self.state();
            if let Some(files) = state.jobs.get_mut(&job) {
                let bytes = files.bytes();
                files.staged = HashMap::new();
                if files.users == 0 {
                    state.jobs.remove(&job);
                }
                state.bytes -= bytes;
            }
        }
        self.delete_folder(&job).await;
    }

    /// Counts `more` bytes of a file of `length`, for which those of jobs that do not run make room.
    async fn reserve(&self, length: u64, more: u64) -> Result<(), Failure> {
        let bytes_max = self.0.bytes_max;
        if length + more > bytes_max {
            let reason = format!("the attachment has more than {bytes_max} bytes");
            return Err(Failure { kind: FailureKind::TooLarge, reason });
        }
        let mut forgotten = Vec::new();
        let has_room = {
            let mut state = self.state();
            while state.bytes + more > bytes_max {
                let idle = state.jobs.iter().filter(|(_, files)| files.users == 0);
                let Some(job) = idle.min_by_key(|(_, files)| files.seen).map(|(job, _)| job) else {
                    break;
                };
                let job = job.clone();
                state.bytes -= state.jobs.remove(&job).map_or(0, |files| files.bytes());
                forgotten.push(job);
            }
            let has_room = state.bytes + more <= bytes_max;
            state.bytes += if has_room { more } else { 0 };
            has_room
        };
        for job in forgotten {
            self.delete_folder(&job).await;
        }
        if has_room {
            return Ok(());
        }
        let reason = format!("{bytes_max} bytes of attachments are on their way already");
        Err(Failure { kind: FailureKind::Busy { retry_after: None }, reason })
    }

    async fn delete_folder(&self, job: &str) {
        let path = self.0.folder.join(job);
        deleted(&path, tokio::fs::remove_dir_all(&path).await);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobSpool {
    /// Brings an attachment to where the write of its document finds it. `fetch` gets its content from a
    /// byte on, or from the start; `progress` is told how many bytes are in place.
    pub(crate) async fn stage<Fetching>(
        &self,
        document: &Document,
        attachment: usize,
        fetch: impl Fn(u64) -> Fetching,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Reply, Failure>
    where
        Fetching: Future<Output = Result<AttachmentStream, Failure>>,
    {
        let name = file_name(document, attachment);
        let mut staged = self.get(&name).unwrap_or(Staged::NOTHING);
        if staged.growth == Growth::Found {
            let check = self.check(document, attachment, &name, staged).await?;
            let is_whole = check == DigestCheck::Equal;
            staged.growth = if is_whole { Growth::Whole(check) } else { Growth::Part };
            self.put(&name, staged);
        }
        if let Growth::Whole(_) = staged.growth {
            progress(staged.length);
            return Ok(Reply::Done);
        }
        let mut content = fetch(staged.length).await?;
        let fits = |content: &AttachmentStream| {
            content.encoding.is_none_or(|encoding| encoding == staged.encoding)
        };
        if content.from > 0 && !fits(&content) {
            content = fetch(0).await?; // what is there is of no use
        }
        if content.from == 0 {
            self.remove(&name).await;
            let encoding = content.encoding.unwrap_or_default();
            staged = Staged { encoding, ..Staged::NOTHING };
        } else if content.from != staged.length || !fits(&content) {
            return Err(broken("the peer sends another part of the attachment than was asked for"));
        }
        progress(staged.length);
        self.receive(document, attachment, &name, staged, content, progress).await
    }

    async fn receive(
        &self,
        document: &Document,
        attachment: usize,
        name: &str,
        mut staged: Staged,
        mut content: AttachmentStream,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Reply, Failure> {
        let opened = self.open_file(name, staged).await;
        let mut file = self.kept(name, opened).await?;
        let mut digest = (staged.length == 0).then(Md5::new);
        let in_one_piece = digest.is_some() && content.end_is_sure;
        self.put(name, staged);
        let ended = loop {
            let bytes = match content.bytes.next().await {
                None => break Ok(()),
                Some(Err(failure)) => break Err(failure),
                Some(Ok(bytes)) => bytes,
            };
            let more = bytes.len() as u64;
            self.spool.reserve(staged.length, more).await?;
            staged.length += more;
            self.put(name, staged);
            let written = file.write_all(&bytes).await;
            self.kept(name, written).await?;
            if let Some(digest) = &mut digest {
                digest.update(&bytes);
            }
            progress(staged.length);
        };
        let flushed = file.flush().await;
        self.kept(name, flushed).await?;
        ended?;
        let check = match digest {
            Some(digest) => compare(document, attachment, digest.finalize().into()),
            None => self.check(document, attachment, name, staged).await?,
        };
        if check == DigestCheck::Differs && !in_one_piece {
            self.remove(name).await;
            return Err(broken("the attachment has not got the digest that its document names"));
        }
        self.put(name, Staged { growth: Growth::Whole(check), ..staged });
        Ok(Reply::Done)
    }

    /// A file that cannot be written is of no use.
    async fn kept<T>(&self, name: &str, result: io::Result<T>) -> Result<T, Failure> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                self.remove(name).await;
                Err(unusable(&error))
            }
        }
    }

    /// These attachments of a document, which are whole.
    pub(crate) fn staged(
        &self,
        document: &Document,
        attachments: &[usize],
    ) -> Result<Vec<Spooled>, Failure> {
        let one = |&attachment: &usize| {
            let name = file_name(document, attachment);
            let staged = self.get(&name).map(|staged| (staged, staged.growth));
            let Some((Staged { encoding, length, .. }, Growth::Whole(digest))) = staged else {
                return Err(broken("an attachment is to be written that is not staged"));
            };
            let path = self.path(&name, encoding);
            Ok(Spooled::new(attachment, encoding, length, digest, path))
        };
        attachments.iter().map(one).collect()
    }

    /// Deletes these attachments of a document: it was written, or will not be.
    pub(crate) async fn remove_staged(&self, document: &Document, attachments: &[usize]) {
        for attachment in attachments {
            self.remove(&file_name(document, *attachment)).await;
        }
    }

    fn get(&self, name: &str) -> Option<Staged> {
        self.spool.state().jobs.get(&self.job)?.staged.get(name).copied()
    }

    fn put(&self, name: &str, staged: Staged) {
        let mut state = self.spool.state();
        let files = state.jobs.entry(self.job.clone()).or_default();
        files.staged.insert(name.to_owned(), staged);
    }

    async fn remove(&self, name: &str) {
        let staged = {
            let mut state = self.spool.state();
            let files = state.jobs.get_mut(&self.job);
            let Some(staged) = files.and_then(|files| files.staged.remove(name)) else { return };
            state.bytes -= staged.length;
            staged
        };
        let path = self.path(name, staged.encoding);
        deleted(&path, tokio::fs::remove_file(&path).await);
    }

    fn path(&self, name: &str, encoding: Encoding) -> PathBuf {
        self.spool.0.folder.join(&self.job).join(format!("{name}-{}", suffix(encoding)))
    }

    /// To be written behind what is there.
    async fn open_file(&self, name: &str, staged: Staged) -> io::Result<File> {
        let path = self.path(name, staged.encoding);
        if staged.length == 0 {
            tokio::fs::create_dir_all(&self.spool.0.folder.join(&self.job)).await?;
            return File::create(path).await;
        }
        let mut file = OpenOptions::new().write(true).open(path).await?;
        file.seek(io::SeekFrom::Start(staged.length)).await?;
        Ok(file)
    }

    async fn check(
        &self,
        document: &Document,
        attachment: usize,
        name: &str,
        staged: Staged,
    ) -> Result<DigestCheck, Failure> {
        let path = self.path(name, staged.encoding);
        let mut bytes = Box::pin(stream::read(path, staged.length));
        let mut digest = Md5::new();
        while let Some(piece) = bytes.next().await {
            let piece = self.kept(name, piece).await?;
            digest.update(piece);
        }
        Ok(compare(document, attachment, digest.finalize().into()))
    }
}

impl Drop for JobSpool {
    fn drop(&mut self) {
        let now = self.spool.0.clock.now();
        let mut state = self.spool.state();
        let Some(files) = state.jobs.get_mut(&self.job) else { return };
        files.users -= 1;
        files.seen = now;
        if files.users == 0 && files.staged.is_empty() {
            state.jobs.remove(&self.job);
        }
    }
}

impl Staged {
    const NOTHING: Self = Self { encoding: Encoding::Identity, length: 0, growth: Growth::Part };
}

impl Files {
    fn bytes(&self) -> u64 {
        self.staged.values().map(|staged| staged.length).sum()
    }
}

/// What is in the folder, without what is older than `oldest`, which is deleted.
fn sweep(folder: &Path, oldest: Timestamp) -> io::Result<State> {
    let mut state = State::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(job) = entry.file_name().into_string() else { continue };
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let mut files = Files::default();
        for entry in fs::read_dir(entry.path())? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
            let changed = Timestamp::from_seconds(changed.unwrap_or_default().as_secs());
            files.seen = files.seen.max(changed);
            let name = entry.file_name();
            let Some((name, encoding)) = name.to_str().and_then(parse_file_name) else { continue };
            let (length, growth) = (metadata.len(), Growth::Found);
            files.staged.insert(name.to_owned(), Staged { encoding, length, growth });
        }
        if files.seen < oldest {
            fs::remove_dir_all(entry.path())?;
            continue;
        }
        state.bytes += files.bytes();
        state.jobs.insert(job, files);
    }
    Ok(state)
}

/// Without the encoding, which is known only when the content comes.
fn file_name(document: &Document, attachment: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    let name = document.attachments.get(attachment).map_or("", |it| &it.name);
    for part in [&document.id, &*document.rev.to_string(), name] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn parse_file_name(name: &str) -> Option<(&str, Encoding)> {
    let all = [Encoding::Identity, Encoding::Gzip].into_iter();
    let (name, ending) = name.split_once('-')?;
    Some((name, all.clone().find(|encoding| suffix(*encoding) == ending)?))
}

fn suffix(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Identity => "identity",
        Encoding::Gzip => "gzip",
    }
}

/// What cannot be deleted is swept at a later start.
fn deleted(path: &Path, result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot delete attachments on their way");
    }
}

fn compare(document: &Document, attachment: usize, digest: [u8; 16]) -> DigestCheck {
    let named = stub::member(document, attachment, "digest").and_then(string_value);
    let named = named.and_then(|text| STANDARD.decode(text.strip_prefix("md5-")?).ok());
    match named {
        None => DigestCheck::Unknown,
        Some(named) if named == digest => DigestCheck::Equal,
        Some(_) => DigestCheck::Differs,
    }
}

fn unusable(error: &io::Error) -> Failure {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let kind = if is_full { FailureKind::Busy { retry_after: None } } else { FailureKind::Broken };
    Failure { kind, reason: format!("the attachment cannot be kept on its way: {error}") }
}

fn broken(reason: &str) -> Failure {
    Failure { kind: FailureKind::Broken, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
