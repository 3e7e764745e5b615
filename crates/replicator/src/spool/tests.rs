//! Contents are made up; real sources are in the tests of remote peers.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use settle_model::time::ManualClock;
use settle_sync::{job::Job, wire::parse_document};

use super::*;

const HELLO_MD5: &str = "md5-XUFAKrxLKna5cZ2REBfFkg==";

fn document(id: &str, digest: &str) -> Document {
    let text = format!(
        r#"{{"_id":"{id}","_rev":"1-a","_attachments":{{"x":{{"digest":"{digest}","length":5,"stub":true}}}}}}"#
    );
    parse_document(text.as_bytes()).unwrap()
}

fn id(target: &str) -> ReplicationId {
    let job = format!(r#"{{"source":"a","target":"{target}"}}"#);
    ReplicationId::new("here", &Job::parse(job.as_bytes()).unwrap(), None)
}

fn clock(seconds: u64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(seconds)))
}

async fn temporary(bytes_max: u64) -> Spool {
    Spool::open_bounded(None, clock(0), bytes_max).await.unwrap()
}

fn lost() -> Failure {
    Failure { kind: FailureKind::Lost, reason: "cut".to_owned() }
}

/// A source that has `content`, gives it from where it is asked to, and is cut after some bytes.
fn plain(
    content: &'static str,
    cut_after: usize,
) -> impl Fn(u64) -> std::future::Ready<Result<AttachmentStream, Failure>> {
    move |from| {
        let rest = &content[usize::try_from(from).unwrap()..];
        let end = cut_after.min(rest.len());
        let mut bytes: Vec<_> = rest.as_bytes()[..end].chunks(1).map(Bytes::from).map(Ok).collect();
        if end < rest.len() {
            bytes.push(Err(lost()));
        }
        let bytes = stream::iter(bytes).boxed();
        let encoding = Some(Encoding::Identity);
        std::future::ready(Ok(AttachmentStream { encoding, from, end_is_sure: true, bytes }))
    }
}

/// A source that begins anew each time, as one does that compresses.
fn packed(
    content: &'static str,
    cut_after: usize,
) -> impl Fn(u64) -> std::future::Ready<Result<AttachmentStream, Failure>> {
    let plain = plain(content, cut_after);
    move |_| {
        let stream = plain(0).into_inner();
        std::future::ready(
            stream.map(|it| AttachmentStream { encoding: Some(Encoding::Gzip), ..it }),
        )
    }
}

async fn content(files: &JobSpool, document: &Document) -> String {
    let staged = files.staged(document, &[0]).unwrap();
    let pieces: Vec<_> = staged[0].read().map(|piece| piece.unwrap()).collect().await;
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test]
async fn an_attachment_grows_until_it_is_whole() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", HELLO_MD5);
    let most = AtomicU64::new(0);
    let progress = |bytes| most.store(bytes, Ordering::SeqCst);
    assert_eq!(files.stage(&document, 0, plain("hello", 2), &progress).await, Err(lost()));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let unfinished = files.staged(&document, &[0]).unwrap_err();
    assert_eq!(unfinished.reason, "an attachment is to be written that is not staged");
    assert_eq!(files.stage(&document, 0, plain("hello", 2), &progress).await, Err(lost()));
    assert_eq!(files.stage(&document, 0, plain("hello", 2), &progress).await, Ok(Reply::Done));
    assert_eq!(content(&files, &document).await, "hello");
    // It is not asked for again.
    assert_eq!(files.stage(&document, 0, plain("other", 0), &progress).await, Ok(Reply::Done));
    assert_eq!(most.load(Ordering::SeqCst), 5);
    files.remove_staged(&document, &[0]).await;
    assert!(files.staged(&document, &[0]).is_err());
    assert_eq!(spool.state().bytes, 0);
}

#[tokio::test]
async fn a_source_that_begins_anew_replaces_what_was_there() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", HELLO_MD5);
    assert_eq!(files.stage(&document, 0, packed("hello", 4), &|_| {}).await, Err(lost()));
    assert_eq!(files.stage(&document, 0, packed("hello", 3), &|_| {}).await, Err(lost()));
    assert_eq!(spool.state().bytes, 3);
    // Then the source has it in another form.
    assert_eq!(files.stage(&document, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
    assert_eq!(content(&files, &document).await, "hello");
    assert_eq!(spool.state().bytes, 5);
}

#[tokio::test]
async fn pieces_that_do_not_make_the_digest_are_thrown_away() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", HELLO_MD5);
    assert_eq!(files.stage(&document, 0, plain("help!", 2), &|_| {}).await, Err(lost()));
    let failure = files.stage(&document, 0, plain("help!", 9), &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert_eq!(spool.state().bytes, 0);
    assert_eq!(files.stage(&document, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
}

#[tokio::test]
async fn one_piece_is_taken_as_it_is_if_its_end_is_sure() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", HELLO_MD5);
    let unsure = async |from| {
        let stream = plain("hel", 9)(from).await?;
        Ok(AttachmentStream { end_is_sure: false, ..stream })
    };
    let failure = files.stage(&document, 0, unsure, &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert_eq!(files.stage(&document, 0, packed("zipped", 9), &|_| {}).await, Ok(Reply::Done));
    let staged = files.staged(&document, &[0]).unwrap();
    assert_eq!((staged[0].digest(), staged[0].encoding()), (DigestCheck::Differs, Encoding::Gzip));
}

#[tokio::test]
async fn what_was_cut_behind_its_last_byte_is_whole() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", "sha1-of another make");
    let cut_late = async |from| {
        let stream = packed("hello", 9)(from).await?;
        let bytes = stream.bytes.chain(stream::iter([Err(lost())])).boxed();
        Ok(AttachmentStream { bytes, ..stream })
    };
    assert_eq!(files.stage(&document, 0, cut_late, &|_| {}).await, Err(lost()));
    let no_more = async |from| {
        let (encoding, end_is_sure, bytes) = (None, true, stream::empty().boxed());
        Ok(AttachmentStream { encoding, from, end_is_sure, bytes })
    };
    assert_eq!(files.stage(&document, 0, no_more, &|_| {}).await, Ok(Reply::Done));
    let staged = files.staged(&document, &[0]).unwrap();
    assert_eq!((staged[0].digest(), staged[0].encoding()), (DigestCheck::Unknown, Encoding::Gzip));
    assert_eq!(content(&files, &document).await, "hello");
}

#[tokio::test]
async fn a_peer_that_sends_another_part_is_not_believed() {
    let spool = temporary(100).await;
    let files = spool.of_job(&id("b"));
    let document = document("d", HELLO_MD5);
    assert_eq!(files.stage(&document, 0, plain("hello", 2), &|_| {}).await, Err(lost()));
    let elsewhere = async |from| plain("hello", 9)(from + 1).await;
    let failure = files.stage(&document, 0, elsewhere, &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
}

#[tokio::test]
async fn after_a_restart_it_goes_on_or_is_found_whole() {
    let folder = TempDir::new().unwrap();
    let open = || Spool::open(Some(folder.path().to_owned()), clock(0));
    let (cut, whole) = (document("cut", HELLO_MD5), document("whole", HELLO_MD5));
    {
        let spool = open().await.unwrap();
        let files = spool.of_job(&id("b"));
        assert_eq!(files.stage(&cut, 0, plain("hello", 3), &|_| {}).await, Err(lost()));
        assert_eq!(files.stage(&whole, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
    }
    let spool = open().await.unwrap();
    assert_eq!(spool.state().bytes, 8);
    let files = spool.of_job(&id("b"));
    assert!(files.staged(&whole, &[0]).is_err(), "it was not checked yet");
    assert_eq!(files.stage(&whole, 0, plain("", 0), &|_| {}).await, Ok(Reply::Done));
    let from = AtomicU64::new(0);
    let rest = |begin| {
        from.store(begin, Ordering::SeqCst);
        plain("hello", 9)(begin)
    };
    assert_eq!(files.stage(&cut, 0, rest, &|_| {}).await, Ok(Reply::Done));
    assert_eq!(from.load(Ordering::SeqCst), 3);
    assert_eq!(content(&files, &cut).await, "hello");
    assert_eq!(content(&files, &whole).await, "hello");
}

#[tokio::test]
async fn a_file_that_a_crash_damaged_is_thrown_away() {
    let folder = TempDir::new().unwrap();
    let document = document("d", HELLO_MD5);
    {
        let spool = Spool::open(Some(folder.path().to_owned()), clock(0)).await.unwrap();
        let files = spool.of_job(&id("b"));
        assert_eq!(files.stage(&document, 0, plain("hello", 3), &|_| {}).await, Err(lost()));
        fs::write(files.path(&file_name(&document, 0), Encoding::Identity), "\0\0\0").unwrap();
    }
    let spool = Spool::open(Some(folder.path().to_owned()), clock(0)).await.unwrap();
    let files = spool.of_job(&id("b"));
    let failure = files.stage(&document, 0, plain("hello", 9), &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert_eq!(files.stage(&document, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
}

#[tokio::test]
async fn what_no_job_came_for_is_swept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let document = document("d", HELLO_MD5);
    {
        let spool = Spool::open(Some(path.clone()), clock(0)).await.unwrap();
        let files = spool.of_job(&id("b"));
        assert_eq!(files.stage(&document, 0, plain("hello", 3), &|_| {}).await, Err(lost()));
    }
    fs::write(path.join("a file of somebody"), "").unwrap();
    let year_3000 = clock(32_503_680_000);
    let spool = Spool::open(Some(path.clone()), year_3000).await.unwrap();
    let state = spool.state();
    assert_eq!((state.bytes, state.jobs.len()), (0, 0));
    assert_eq!(fs::read_dir(path).unwrap().count(), 1);
}

#[tokio::test]
async fn a_job_that_has_ended_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let spool = Spool::open(Some(folder.path().to_owned()), clock(0)).await.unwrap();
    let document = document("d", HELLO_MD5);
    let files = spool.of_job(&id("b"));
    assert_eq!(files.stage(&document, 0, plain("hello", 3), &|_| {}).await, Err(lost()));
    drop(files);
    spool.forget(&id("b")).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let state = spool.state();
    assert_eq!((state.bytes, state.jobs.len()), (0, 0));
}

#[tokio::test]
async fn a_full_spool_takes_from_jobs_that_do_not_run_and_then_makes_wait() {
    let spool = temporary(8).await;
    let (one, two) = (document("1", HELLO_MD5), document("2", HELLO_MD5));
    let idle = spool.of_job(&id("idle"));
    assert_eq!(idle.stage(&one, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
    drop(idle);
    let files = spool.of_job(&id("b"));
    assert_eq!(files.stage(&one, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
    assert_eq!(spool.state().bytes, 5);
    let failure = files.stage(&two, 0, plain("hello", 9), &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Busy { retry_after: None });
    assert_eq!(failure.reason, "8 bytes of attachments are on their way already");
    files.remove_staged(&one, &[0]).await;
    assert_eq!(files.stage(&two, 0, plain("hello", 9), &|_| {}).await, Ok(Reply::Done));
    let long = document("3", HELLO_MD5);
    let failure = files.stage(&long, 0, plain("hello, world", 99), &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Busy { retry_after: None }, "others may make room");
    files.remove_staged(&two, &[0]).await;
    let failure = files.stage(&long, 0, plain("hello, world", 99), &|_| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TooLarge);
}
