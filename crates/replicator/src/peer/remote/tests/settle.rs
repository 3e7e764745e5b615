//! Requests to real servers.

use futures_util::future::ready;
use serde_json::Value;
use settle_sync::{checkpoint::Checkpoint, id::ReplicationId};
use settle_testing::{Client, TestServer};

use super::*;
use crate::spool::{DigestCheck, JobSpool, Spool};

/// A database of a server, as one end of a job and as its client sees it.
struct End {
    peer: RemotePeer,
    client: Client,
    name: &'static str,
}

impl End {
    fn new(server: &TestServer, name: &'static str) -> Self {
        let job = format!(
            r#"{{"source":{{"url":"http://{}/{name}","auth":{{"basic":
                {{"username":"{}","password":"{}"}}}}}},"target":"here"}}"#,
            server.address(),
            server.config().admin_user,
            server.config().admin_password.as_ref().unwrap().reveal(),
        );
        let peer = peer_of(&clients(Vec::new()), &job).unwrap();
        Self { peer, client: server.admin(), name }
    }

    async fn ask(&self, request: Request) -> Reply {
        ask(&self.peer, &request).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    async fn fetch(&self, id: &str, rev: &str, bulk: bool) -> Arc<Document> {
        let wants = vec![Want::new(id.into(), rev.parse().unwrap(), [].into())];
        let fetch = Fetch { wants, bulk, attachments: false, bytes_max: 1 << 20 };
        let Reply::Fetched(mut results) = self.ask(Request::Fetch(fetch)).await else { panic!() };
        let Some(Fetched::Documents(mut documents)) = results.pop() else { panic!("{results:?}") };
        Arc::new(documents.remove(0))
    }

    async fn put(&self, path: &str, content_type: &str, body: Vec<u8>) -> Value {
        let path = format!("/{}/{path}", self.name);
        let headers = [(header::CONTENT_TYPE, content_type)];
        self.client.request(Method::PUT, &path, &headers, body).await.expect(201).json()
    }
}

/// What does not pack.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    SeededEntropy::new(7).fill(&mut noise);
    noise
}

#[tokio::test]
async fn two_servers_are_asked_all_that_a_replication_asks() {
    let server = TestServer::start().await;
    let (source, target) = (End::new(&server, "a"), End::new(&server, "b"));
    for _ in 0..2 {
        assert_eq!(source.ask(Request::Create).await, Reply::Done);
        assert_eq!(target.ask(Request::Create).await, Reply::Done);
    }
    let mut revs = Vec::new();
    for id in ["plain", "with%2Fslash", "%C3%BC%20%2B?new_edits=true", "_design/x"] {
        let written = source.put(id, "application/json", br#"{"n":1.0}"#.to_vec()).await;
        revs.push((written["id"].as_str().unwrap().to_owned(), written["rev"].clone()));
    }
    let wait = Some(std::time::Duration::from_secs(50)); // there are some, so it does not
    let all = Request::Changes { since: Seq::zero(), limit: 100, wait };
    let Reply::Page(page) = source.ask(all).await else { panic!() };
    let ids: Vec<_> = page.rows.iter().map(|row| &*row.id).collect();
    assert_eq!(ids, ["plain", "with/slash", "ü +", "_design/x"]);

    let asked = page.rows.iter().map(|row| (row.id.clone(), row.revs.clone())).collect();
    let Reply::Missing(missing) = target.ask(Request::Diff(asked)).await else { panic!() };
    assert_eq!(missing.len(), 4);
    let mut documents = Vec::new();
    for (place, (id, rev)) in revs.iter().enumerate() {
        documents.push(source.fetch(id, rev.as_str().unwrap(), place % 2 == 0).await);
    }
    assert_eq!(target.ask(Request::Write(documents)).await, Reply::Written(Vec::new()));
    for (path, (_, rev)) in ["plain", "with%2Fslash", "%C3%BC%20%2B", "_design/x"].iter().zip(&revs)
    {
        let read = target.client.get(&format!("/b/{path}")).await.expect(200);
        assert!(read.text().contains(r#""n":1.0"#), "{}", read.text());
        assert_eq!(&read.json()["_rev"], rev);
    }

    let Reply::Info(info) = target.ask(Request::Info(Side::Target)).await else { panic!() };
    assert_eq!(
        target.ask(Request::Commit(Side::Target)).await,
        Reply::Committed(info.instance_start_time)
    );
    let none = target.ask(Request::ReadCheckpoint(Side::Target)).await;
    assert_eq!(none, Reply::Checkpoint(None));
    let checkpoint = Arc::new(Checkpoint {
        session_id: "s".to_owned(),
        source_last_seq: page.last_seq,
        history: Vec::new(),
        source_without_checkpoint: None,
    });
    let write = |rev| {
        let checkpoint = checkpoint.clone();
        Request::WriteCheckpoint { side: Side::Target, rev, checkpoint }
    };
    let Reply::CheckpointWritten(rev) = target.ask(write(None)).await else { panic!() };
    let read = target.ask(Request::ReadCheckpoint(Side::Target)).await;
    assert_eq!(read, Reply::Checkpoint(Some((rev, Some((*checkpoint).clone())))));
    let conflict = ask(&target.peer, &write(Some("0-9".to_owned()))).await.unwrap_err();
    assert_eq!(conflict.kind, FailureKind::Conflict);
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_and_what_is_not_there_are_told_apart() {
    let server = TestServer::start().await;
    let there = End::new(&server, "a");
    there.ask(Request::Create).await;
    let ask_as = async |user: &str, name: &str| {
        let job =
            format!(r#"{{"source":"http://{user}{}/{name}","target":"t"}}"#, server.address());
        let peer = peer_of(&clients(Vec::new()), &job).unwrap();
        ask(&peer, &Request::Info(Side::Source)).await.unwrap_err().kind
    };
    assert_eq!(ask_as("", "a").await, FailureKind::Unauthorized);
    assert_eq!(ask_as("ann:wrong@", "a").await, FailureKind::Unauthorized);
    let missing = End::new(&server, "missing");
    let failure = ask(&missing.peer, &changes()).await.unwrap_err();
    assert_eq!(
        (failure.kind, &*failure.reason),
        (FailureKind::NotFound, "Database does not exist.")
    );
    server.stop().await;
}

pub(super) async fn spool() -> (Spool, JobSpool) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000_000)));
    let spool = Spool::open(None, clock).await.unwrap();
    let job = Job::parse(br#"{"source":"a","target":"b"}"#).unwrap();
    let of_job = spool.of_job(&ReplicationId::new("here", &job, None));
    (spool, of_job)
}

#[tokio::test]
async fn attachments_arrive_as_they_are_kept() {
    let server = TestServer::start().await;
    let (source, target) = (End::new(&server, "a"), End::new(&server, "b"));
    source.ask(Request::Create).await;
    target.ask(Request::Create).await;
    let packed = "text that packs well ".repeat(20_000).into_bytes();
    let plain = noise(300_000);
    let mut rev = String::new();
    for (name, content_type, body) in [
        ("dir/%C3%BC%22.txt", "text/plain", &packed),
        ("photo.jpg", "image/jpeg", &plain),
        ("empty", "image/png", &Vec::new()),
    ] {
        let path = format!("d/{name}{rev}");
        let written = source.put(&path, content_type, body.clone()).await;
        rev = format!("?rev={}", written["rev"].as_str().unwrap());
    }
    let document = source.fetch("d", rev.trim_start_matches("?rev="), true).await;
    let (_spool, files) = spool().await;
    let all: Vec<_> = (0..document.attachments.len()).collect();
    for &attachment in &all {
        let fetch = |from| source.peer.attachment(&document, attachment, from);
        let staged = files.stage(&document, attachment, fetch, &|_| {}).await;
        assert_eq!(staged, Ok(Reply::Done));
    }
    let staged = files.staged(&document, &all).unwrap();
    let kept: Vec<_> = staged.iter().map(|it| (it.encoding(), it.digest())).collect();
    assert_eq!(
        kept,
        [
            (Encoding::Identity, DigestCheck::Equal),
            (Encoding::Identity, DigestCheck::Equal),
            (Encoding::Gzip, DigestCheck::Equal),
        ]
    );
    let written = target.peer.write_staged(&document, &staged, &|| {}).await;
    assert_eq!(written, Ok(Reply::Written(Vec::new())));
    let read = async |name| {
        let path = format!("/{name}/d?att_encoding_info=true&revs=true");
        server.admin().get(&path).await.expect(200).text()
    };
    assert_eq!(read("b").await, read("a").await);
    let text = server.admin().get("/b/d/dir%2F%C3%BC%22.txt").await.expect(200);
    assert_eq!(text.body, packed);

    // Of a newer revision only what is new.
    let path = format!("d/more{rev}");
    let newer = source.put(&path, "image/png", b"more".to_vec()).await["rev"].clone();
    let newer = source.fetch("d", newer.as_str().unwrap(), false).await;
    let more = newer.changed_attachments(std::slice::from_ref(&document.rev));
    assert_eq!(more.len(), 1);
    let fetch = |from| source.peer.attachment(&newer, more[0], from);
    files.stage(&newer, more[0], fetch, &|_| {}).await.unwrap();
    let staged = files.staged(&newer, &more).unwrap();
    target.peer.write_staged(&newer, &staged, &|| {}).await.unwrap();
    assert_eq!(read("b").await, read("a").await);

    // Whoever lacks what the stubs mean says so.
    let other = End::new(&server, "c");
    other.ask(Request::Create).await;
    let failure = other.peer.write_staged(&newer, &staged, &|| {}).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::MissingStub);
    server.stop().await;
}

#[tokio::test]
async fn an_attachment_that_was_cut_is_not_sent_twice() {
    let server = TestServer::start().await;
    let source = End::new(&server, "a");
    source.ask(Request::Create).await;
    for (content_type, encoding) in
        [("image/jpeg", Encoding::Identity), ("text/plain", Encoding::Gzip)]
    {
        let path = format!("{}/x", content_type.replace('/', "-"));
        let written = source.put(&path, content_type, noise(300_000)).await;
        let (id, rev) = (written["id"].as_str().unwrap(), written["rev"].as_str().unwrap());
        let document = source.fetch(id, rev, true).await;
        let (_spool, files) = spool().await;
        let cut = async |from| {
            let mut stream = source.peer.attachment(&document, 0, from).await?;
            let lost = Failure { kind: FailureKind::Lost, reason: "cut".to_owned() };
            let begin = stream.bytes.take(1).map_ok(|bytes| bytes.slice(..1_000.min(bytes.len())));
            stream.bytes = begin.chain(stream::once(ready(Err(lost)))).boxed();
            Ok(stream)
        };
        let failure = files.stage(&document, 0, cut, &|_| {}).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Lost);
        let begun = AtomicUsize::new(0);
        let rest = async |from: u64| {
            begun.store(usize::try_from(from).unwrap(), Ordering::SeqCst);
            let stream = source.peer.attachment(&document, 0, from).await?;
            assert_eq!((stream.from, stream.encoding), (from, Some(encoding)));
            Ok(stream)
        };
        files.stage(&document, 0, rest, &|_| {}).await.unwrap();
        assert!((1..=1_000).contains(&begun.load(Ordering::SeqCst)));
        let staged = files.staged(&document, &[0]).unwrap();
        assert_eq!(staged[0].digest(), DigestCheck::Equal);
        let read: Vec<_> = staged[0].read().map(|it| it.unwrap()).collect().await;
        assert_eq!(read.concat().len() as u64, staged[0].length());
    }
    server.stop().await;
}

#[tokio::test]
async fn the_newest_changes_are_waited_for() {
    let server = TestServer::start().await;
    let source = End::new(&server, "a");
    source.ask(Request::Create).await;
    let wait = Some(std::time::Duration::from_secs(50));
    let request = Request::Changes { since: Seq::zero(), limit: 100, wait };
    let (page, _) =
        tokio::join!(source.ask(request), source.put("d", "application/json", b"{}".to_vec()));
    let Reply::Page(page) = page else { panic!() };
    assert_eq!(page.rows.len(), 1);
    server.stop().await;
}
