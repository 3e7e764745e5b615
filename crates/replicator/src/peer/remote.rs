//! A database behind a URL.
//!
//! How each request is asked stands in the table of [`settle_sync::wire`], which also has the JSON. Here are
//! the exchanges: connections ([`Clients`]), redirects and bounds (`exchange`), what statuses and broken
//! connections mean (`failure`), how things are named in URLs (`address`), and documents with attachments
//! behind them (`related`).
//!
//! Nothing is tried again here, and nothing has a time limit: that is the replication's. A request whose
//! future is dropped is gone, and its connection with it. What a peer sends is never held beyond the bounds
//! of [`crate::limits`], whatever it sends, and never ends up in a message but for its reason, cut.
//!
//! Changes are waited for by a long poll with a time-out and no heartbeat: on CouchDB a heartbeat makes the
//! time-out void. Heartbeats of peers that send some anyway count as progress.
//!
//! Source: `couch_replicator_api_wrap`, `couch_replicator_httpc`.

mod address;
mod clients;
mod exchange;
mod failure;
mod related;
mod tls;

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::Client;
use settle_model::{
    document::Encoding,
    id::LocalId,
    time::{Clock, Entropy},
};
use settle_sync::{
    job::{Credentials, Job, Remote},
    limits::CHECKPOINT_BYTES_MAX,
    replication::{Document, Failure, FailureKind, Fetch, Fetched, Reply, Request},
    wire,
};

pub(crate) use self::clients::Clients;
use self::{
    address::{Address, Parameter, parameter},
    exchange::{Answer, Asked, End, Payload, Secrets},
    failure::{broken, failure, not_understood},
    related::Related,
};
use crate::{
    limits::{REPLY_BYTES_MAX, REPLY_SMALL_BYTES_MAX},
    peer::Progress,
    spool::{AttachmentStream, Spooled},
};

/// CouchDB 1 would sync each write by itself; `_ensure_full_commit` does that for all.
const FULL_COMMIT: HeaderName = HeaderName::from_static("x-couch-full-commit");

/// Headers of a job that would change where a request ends or how its connection is used.
const OURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// One end of one job.
pub(crate) struct RemotePeer {
    client: Arc<Client>,
    address: Address,
    secrets: Secrets,
    job: Arc<Job>,
    checkpoint: LocalId,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Without headers, which have credentials.
impl fmt::Debug for RemotePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePeer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RemotePeer {
    pub(crate) fn new(
        clients: &Clients,
        remote: &Remote,
        job: &Arc<Job>,
        checkpoint: LocalId,
    ) -> Result<Self, Failure> {
        Ok(Self {
            client: clients.for_remote(remote)?,
            address: Address::new(&remote.url),
            secrets: Secrets { headers: job_headers(remote)? },
            job: job.clone(),
            checkpoint,
            clock: clients.clock.clone(),
            entropy: clients.entropy.clone(),
        })
    }

    /// Everything but staging an attachment and writing a document with what was staged. `progress` is
    /// called whenever bytes move, heartbeats included.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        progress: &Progress<'_>,
    ) -> Result<Reply, Failure> {
        match request {
            Request::Create => self.create(progress).await,
            Request::Info(_) => {
                let body = self.get("", &[], REPLY_SMALL_BYTES_MAX, progress).await?;
                understood(wire::parse_info(&body)).map(Reply::Info)
            }
            Request::ReadCheckpoint(_) => self.read_checkpoint(progress).await,
            Request::Changes { since, limit, wait } => {
                let query = wire::changes_query(&self.job, since, *limit, *wait);
                let url = self.address.url("_changes", &query)?;
                let asked = match wire::changes_body(&self.job.selection) {
                    None => Asked::new(Method::GET, url),
                    Some(body) => Asked::new(Method::POST, url).json(body),
                };
                let answer = self.send(asked, &[200], progress).await?;
                let body = answer.whole(REPLY_BYTES_MAX, progress).await?;
                understood(wire::parse_changes(&body)).map(Reply::Page)
            }
            Request::Diff(revs) => {
                let url = self.address.url("_revs_diff", &[])?;
                let asked = Asked::new(Method::POST, url).json(wire::revs_diff_body(revs));
                let answer = self.send(asked, &[200], progress).await?;
                let body = answer.whole(REPLY_BYTES_MAX, progress).await?;
                understood(wire::parse_revs_diff(&body)).map(Reply::Missing)
            }
            Request::Fetch(fetch) if fetch.bulk => self.fetch_bulk(fetch, progress).await,
            Request::Fetch(fetch) => self.fetch_single(fetch, progress).await,
            Request::Write(documents) => {
                let url = self.address.url("_bulk_docs", &[])?;
                let asked = Asked::new(Method::POST, url)
                    .with(FULL_COMMIT, HeaderValue::from_static("false"))
                    .json(wire::bulk_docs_body(documents));
                let answer = self.send(asked, &[200, 201, 202, 417], progress).await?;
                let body = answer.whole(REPLY_BYTES_MAX, progress).await?;
                understood(wire::parse_bulk_docs(&body)).map(Reply::Written)
            }
            Request::Commit(_) => {
                let url = self.address.url("_ensure_full_commit", &[])?;
                let asked = Asked::new(Method::POST, url).json(Vec::new());
                let answer = self.send(asked, &[200, 201], progress).await?;
                let body = answer.whole(REPLY_SMALL_BYTES_MAX, progress).await?;
                understood(wire::parse_committed(&body)).map(Reply::Committed)
            }
            Request::WriteCheckpoint { rev, checkpoint, .. } => {
                let url = self.address.url(&address::document(self.checkpoint.as_str())?, &[])?;
                let body = wire::checkpoint_body(&self.checkpoint, rev.as_deref(), checkpoint);
                let asked = Asked::new(Method::PUT, url).json(body);
                let answer = self.send(asked, &[200, 201, 202], progress).await?;
                let body = answer.whole(REPLY_SMALL_BYTES_MAX, progress).await?;
                understood(wire::parse_rev(&body)).map(Reply::CheckpointWritten)
            }
            Request::Stage { .. } | Request::WriteStaged { .. } => {
                Err(broken("attachments are staged and written by calls of their own"))
            }
        }
    }

    /// The content of an attachment of `document`, as the source keeps it, from byte `from` on or from the
    /// start.
    ///
    /// CouchDB has ranges only of what it keeps plain, so what it compressed begins anew each time. Settle
    /// has them of both.
    pub(crate) async fn attachment(
        &self,
        document: &Document,
        attachment: usize,
        from: u64,
    ) -> Result<AttachmentStream, Failure> {
        let Some(found) = document.attachments.get(attachment) else {
            return Err(broken("the document has no such attachment"));
        };
        let path = address::attachment(&document.id, &found.name)?;
        let url = self.address.url(&path, &[parameter("rev", document.rev.to_string())])?;
        let asked = |from: u64| {
            let asked = Asked::new(Method::GET, url.clone())
                .with(header::ACCEPT, HeaderValue::from_static("*/*"))
                .with(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            if from == 0 {
                return asked;
            }
            let range = HeaderValue::try_from(format!("bytes={from}-"));
            asked.with(header::RANGE, range.expect("digits can stand in a header"))
        };
        let mut answer = self.send(asked(from), &[200, 206, 416], &|| {}).await?;
        if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
            if unsatisfied_length(&answer.headers) == Some(from) {
                // All of it was there already.
                let bytes = stream::empty().boxed();
                let (encoding, end_is_sure) = (None, true);
                return Ok(AttachmentStream { encoding, from, end_is_sure, bytes });
            }
            answer = self.send(asked(0), &[200], &|| {}).await?;
        }
        let encoding = Some(encoding(&answer.headers)?);
        let begin = if answer.status == StatusCode::PARTIAL_CONTENT {
            range_begin(&answer.headers).ok_or_else(|| {
                broken("the peer sends part of an attachment, and does not say which")
            })?
        } else {
            0
        };
        let ends_by_itself = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        let end_is_sure = ends_by_itself.iter().any(|name| answer.headers.contains_key(name));
        let bytes = answer.response.bytes_stream().map_err(failure::of_network).boxed();
        Ok(AttachmentStream { encoding, from: begin, end_is_sure, bytes })
    }

    /// Writes a document with these attachments; the others are stubs of what the target has.
    pub(crate) async fn write_staged(
        &self,
        document: &Document,
        staged: &[Spooled],
        progress: &Progress<'_>,
    ) -> Result<Reply, Failure> {
        let path = address::document(&document.id)?;
        let url = self.address.url(&path, &[parameter("new_edits", "false")])?;
        let asked =
            Asked::new(Method::PUT, url).with(FULL_COMMIT, HeaderValue::from_static("false"));
        let body = Payload::Related(Related::new(document, staged, &*self.entropy));
        let answer = self.send(Asked { body, ..asked }, &[200, 201, 202], progress).await?;
        // Read to its end, so that the connection can be used again.
        answer.whole(REPLY_SMALL_BYTES_MAX, progress).await?;
        Ok(Reply::Written(Vec::new()))
    }

    /// The code of a filter function; `None` if the design document has no such function.
    pub(crate) async fn filter_code(
        &self,
        design: &str,
        function: &str,
    ) -> Result<Option<String>, Failure> {
        let path = address::document(&format!("_design/{design}"))?;
        let body = self.get(&path, &[], REPLY_BYTES_MAX, &|| {}).await?;
        Ok(wire::parse_filter(&body, function))
    }

    async fn create(&self, progress: &Progress<'_>) -> Result<Reply, Failure> {
        let url = self.address.url("", &self.job.create_target_params)?;
        // 412: it is there.
        let asked = Asked::new(Method::PUT, url);
        let answer = self.send(asked, &[200, 201, 202, 412], progress).await?;
        answer.whole(REPLY_SMALL_BYTES_MAX, progress).await?;
        Ok(Reply::Done)
    }

    async fn read_checkpoint(&self, progress: &Progress<'_>) -> Result<Reply, Failure> {
        let path = address::document(self.checkpoint.as_str())?;
        match self.get(&path, &[], CHECKPOINT_BYTES_MAX, progress).await {
            Ok(body) => {
                understood(wire::parse_checkpoint(&body)).map(|it| Reply::Checkpoint(Some(it)))
            }
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(Reply::Checkpoint(None)),
            Err(failure) => Err(failure),
        }
    }

    async fn fetch_bulk(&self, fetch: &Fetch, progress: &Progress<'_>) -> Result<Reply, Failure> {
        let url = self.address.url("_bulk_get", &wire::bulk_get_query(fetch.attachments))?;
        let body = wire::bulk_get_body(&fetch.wants, fetch.attachments);
        let answer = self.send(Asked::new(Method::POST, url).json(body), &[200], progress).await?;
        let collected = answer.collect(fetch.bytes_max, progress).await;
        let parsed = wire::parse_bulk_get(&fetch.wants, &collected.bytes);
        match (parsed, collected.end) {
            (Ok(results), _) if !results.is_empty() => Ok(Reply::Fetched(results)),
            (Ok(_) | Err(_), End::Lost(failure)) => Err(failure),
            (Ok(_), End::TooLong) => Ok(Reply::Fetched(vec![Fetched::TooLarge])),
            (Err(_), End::TooLong) => too_large(fetch),
            (Ok(results), End::Whole) => Ok(Reply::Fetched(results)),
            // It answers with something else, so it does not know such requests.
            (Err(error), End::Whole) => Err(failure(FailureKind::Refused, &error.to_string())),
        }
    }

    async fn fetch_single(&self, fetch: &Fetch, progress: &Progress<'_>) -> Result<Reply, Failure> {
        let Some(first) = fetch.wants.first() else { return Ok(Reply::Fetched(Vec::new())) };
        let query = wire::open_revs_query(&fetch.wants, fetch.attachments);
        let url = self.address.url(&address::document(&first.id)?, &query)?;
        let answer = self.send(Asked::new(Method::GET, url), &[200], progress).await?;
        let collected = answer.collect(fetch.bytes_max, progress).await;
        match collected.end {
            End::Whole => understood(wire::parse_open_revs(&fetch.wants, &collected.bytes))
                .map(Reply::Fetched),
            End::TooLong => too_large(fetch),
            End::Lost(failure) => Err(failure),
        }
    }

    async fn get(
        &self,
        path: &str,
        query: &[Parameter],
        bytes_max: usize,
        progress: &Progress<'_>,
    ) -> Result<Bytes, Failure> {
        let asked = Asked::new(Method::GET, self.address.url(path, query)?);
        self.send(asked, &[200], progress).await?.whole(bytes_max, progress).await
    }

    /// The answer, if it has one of these statuses.
    async fn send(
        &self,
        asked: Asked,
        statuses: &[u16],
        progress: &Progress<'_>,
    ) -> Result<Answer, Failure> {
        let answer = asked.send(&self.client, &self.secrets, progress).await?;
        answer.expect(statuses, self.clock.now(), progress).await
    }
}

/// A reply of which no part can be used without the rest. Fewer may fit.
fn too_large(fetch: &Fetch) -> Result<Reply, Failure> {
    if fetch.wants.len() == 1 {
        return Ok(Reply::Fetched(vec![Fetched::TooLarge]));
    }
    let reason = format!("the revisions together have more than {} bytes", fetch.bytes_max);
    Err(failure(FailureKind::TooLarge, &reason))
}

fn understood<T>(parsed: Result<T, wire::WireError>) -> Result<T, Failure> {
    parsed.map_err(|error| not_understood(&error))
}

/// What a job adds to each request.
fn job_headers(remote: &Remote) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(remote.headers.len() + 1);
    for (name, value) in &remote.headers {
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let Some((name, mut value)) = parsed else {
            let reason = format!("the header {name:?} cannot be sent");
            return Err(failure(FailureKind::Refused, &reason));
        };
        value.set_sensitive(true);
        if !OURS.contains(&name) {
            headers.append(name, value);
        }
    }
    if let Some(Credentials { username, password }) = &remote.credentials {
        let pair = STANDARD.encode(format!("{username}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {pair}"));
        let mut value = value.expect("base64 can stand in a header");
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().map(str::trim).unwrap_or_default() {
        text if text.eq_ignore_ascii_case("gzip") => Ok(Encoding::Gzip),
        text if text.eq_ignore_ascii_case("identity") => Ok(Encoding::Identity),
        _ => Err(broken("the attachment comes in an encoding that was not asked for")),
    }
}

/// Of `Content-Range: bytes 5-9/10`.
fn range_begin(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// Of `Content-Range: bytes */10`.
fn unsatisfied_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes */")?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
