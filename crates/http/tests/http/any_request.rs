//! Requests made up at random, and what must be true of every reply.
//!
//! Methods, paths, parameters, headers and bodies are put together from words that mean something
//! somewhere, so that most requests get past the first check, and from noise. A failure prints the
//! requests that led to it.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use proptest::{collection::vec, prelude::*, sample::select};
use settle_http::{error::Code, routes};

use crate::support::{ADMIN, TestServer};

#[derive(Debug, Clone)]
struct Sent {
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

fn any_method() -> impl Strategy<Value = &'static str> {
    select(vec![
        "GET", "GET", "GET", "HEAD", "PUT", "PUT", "POST", "POST", "DELETE", "COPY", "OPTIONS",
        "PATCH",
    ])
}

fn any_segment() -> impl Strategy<Value = String> {
    let words = vec![
        "d",
        "d",
        "d",
        "other",
        "a",
        "b",
        "f.txt",
        "_design",
        "_design%2Fx",
        "_local",
        "_local%2Fx",
        "_all_docs",
        "_conflicts",
        "_resolve",
        "_design_docs",
        "_local_docs",
        "_bulk_docs",
        "_bulk_get",
        "_changes",
        "_find",
        "_revs_diff",
        "_purge",
        "_security",
        "_revs_limit",
        "_compact",
        "queries",
        "_node",
        "_config",
        "_session",
        "_uuids",
        "_dbs_info",
        "_db_updates",
        "..",
        ".",
        "%2e%2e",
        "%00",
        "%ff",
        "%C3%A9",
        "a%2Fb",
        "+",
        "%2B",
        "*",
        "_",
        "_x",
    ];
    prop_oneof![
        9 => select(words).prop_map(str::to_owned),
        1 => "[a-z%_.~;,=@:'()$!*+-]{0,6}",
        1 => Just("x".repeat(2_000)),
    ]
}

fn any_path() -> impl Strategy<Value = String> {
    let known: Vec<_> = routes::all().map(|route| route.path).collect();
    let known = (select(known), vec(any_segment(), 4)).prop_map(|(path, names)| {
        let mut names = names.into_iter();
        let segments = path.split('/').map(|segment| {
            if segment == "{db}" {
                "d".to_owned()
            } else if segment == "{node}" {
                "_local".to_owned()
            } else if segment.starts_with('{') {
                names.next().unwrap()
            } else {
                segment.to_owned()
            }
        });
        segments.collect::<Vec<_>>().join("/")
    });
    let separated = (vec(any_segment(), 0..5), select(vec!["/", "/", "//"]));
    let known = (known, select(vec!["", "", "", "/~ada", "/~none", "/~a%2Fb"]));
    let known = known.prop_map(|(path, account)| format!("{account}{path}"));
    let noise =
        separated.prop_map(|(segments, separator)| format!("/{}", segments.join(separator)));
    let there =
        vec!["/d", "/d/a", "/d/a", "/d/a/f.txt", "/d/a/f.txt", "/d/_local/x", "/d/_design/x"];
    let there = select(there).prop_map(str::to_owned);
    prop_oneof![2 => known, 2 => there, 1 => noise]
}

fn any_query() -> impl Strategy<Value = String> {
    let names = vec![
        "rev",
        "revs",
        "open_revs",
        "atts_since",
        "attachments",
        "conflicts",
        "meta",
        "latest",
        "deleted",
        "new_edits",
        "batch",
        "key",
        "keys",
        "startkey",
        "endkey",
        "limit",
        "skip",
        "descending",
        "count",
        "include_docs",
        "update_seq",
        "sorted",
        "since",
        "style",
        "filter",
        "doc_ids",
        "seq_interval",
        "view",
        "feed",
        "partitioned",
        "next",
        "local_seq",
        "revs_info",
        "inclusive_end",
    ];
    let values = vec![
        "true",
        "false",
        "",
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "now",
        "all",
        "ok",
        "[]",
        "{}",
        "%22a%22",
        "[%22a%22]",
        "[%221-a%22]",
        "1-a",
        "1-967a00dff5e02add41819138abb3284d",
        "null",
        "_design",
        "_doc_ids",
        "_view",
        "x/y",
        "normal",
        "main_only",
        "all_docs",
        "%ff",
        "%00",
        "%22%EF%BF%BF%22",
        "[[",
        "/x",
        "4294967296-a",
        "0-1",
    ];
    vec((select(names), select(values)), 0..4).prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    })
}

fn any_headers() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let headers = vec![
        ("accept", "multipart/mixed"),
        ("accept", "multipart/related"),
        ("accept", "application/json"),
        ("accept", ";,;q=,"),
        ("accept-encoding", "gzip"),
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
        ("content-md5", "x"),
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "multipart/related; boundary=b"),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-type", "\"é"),
        ("cookie", "AuthSession=YTpiOmM"),
        ("cookie", "AuthSession=\"\"; a"),
        ("destination", "b"),
        ("destination", "_local/c?rev=0-1"),
        ("destination", "%ff"),
        ("host", "a b"),
        ("if-match", "\"1-a\""),
        ("if-none-match", "*"),
        ("last-event-id", "x"),
        ("prefer", "return=minimal"),
        ("range", "bytes=0-1"),
        ("range", "bytes=1-2,0-0,-1"),
        ("range", "bytes=9-1"),
        ("referer", "http://localhost:5984/"),
        ("x-couch-persist", "false"),
        ("x-couch-request-id", "é"),
        ("x-forwarded-host", "\"<>"),
        ("x-http-method-override", "HEAD"),
        ("x-http-method-override", "COPY"),
    ];
    vec(select(headers), 0..3)
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let bodies = vec![
        "",
        "{}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{",
        "{\"a\":1}",
        "{\"_id\":\"a\"}",
        "{\"_id\":\"_local/x\"}",
        "{\"_id\":\"a\",\"_rev\":\"1-a\",\"_deleted\":true}",
        "{\"_attachments\":{\"f.txt\":{\"data\":\"aGVsbG8=\",\"content_type\":\"text/plain\"}}}",
        "{\"_attachments\":{\"f.txt\":{\"stub\":true}}}",
        "{\"_attachments\":{\"f.txt\":{\"follows\":true,\"length\":1}}}",
        "{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}",
        "{\"_revisions\":{\"start\":0,\"ids\":[\"b\"]}}",
        "{\"docs\":[{},{\"_id\":\"a\"},{\"_id\":\"_local/y\"},{\"_id\":\"a\",\"_rev\":\"2-b\"}]}",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"a\",\"_rev\":\"2-b\"},{\"_id\":\"c\",\"_rev\":\"9-b\"}]}",
        "{\"all_or_nothing\":true,\"docs\":[{\"_id\":\"a\"},{\"_id\":\"b\"}]}",
        "{\"docs\":[{\"id\":\"a\"},{\"id\":\"a\",\"rev\":\"1-a\"},{\"id\":1},{\"rev\":\"x\"}]}",
        "{\"docs\":1}",
        "{\"keys\":[\"a\",\"a\",1,null,\"_local/x\",{}]}",
        "{\"queries\":[{},{\"keys\":[\"a\"]},{\"limit\":1,\"descending\":true}]}",
        "{\"doc_ids\":[\"a\",\"\"]}",
        "{\"a\":[\"1-a\",\"2-b\"],\"\":[],\"_x\":[\"1-a\"]}",
        "{\"admins\":{\"names\":[\"a\"]},\"members\":{}}",
        "{\"name\":\"admin\",\"password\":\"pw\"}",
        "name=admin&password=x",
        "--b\r\nContent-Type: application/json\r\n\r\n\
         {\"_attachments\":{\"f\":{\"follows\":true,\"length\":1}}}\r\n--b\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=\"_doc\"\r\n\r\n{}\r\n--b\r\n\
         Content-Disposition: form-data; name=\"_attachments\"; filename=\"f\"\r\n\r\nx\r\n--b--",
    ];
    prop_oneof![
        8 => select(bodies).prop_map(|body| body.as_bytes().to_vec()),
        1 => "[\\[\\]{}\",:0-9a-z_\\\\ -]{0,30}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..30),
    ]
}

prop_compose! {
    fn any_request()(
        method in any_method(), path in any_path(), query in any_query(), headers in any_headers(),
        body in any_body(),
    ) -> Sent {
        Sent { method, uri: format!("{path}?{query}"), headers, body }
    }
}

impl Sent {
    /// `None` where no client could send it.
    fn request(&self) -> Option<Request<Body>> {
        let uri: Uri = self.uri.parse().ok()?;
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).unwrap();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:5984"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(ADMIN));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(HeaderName::from_static(name), value);
        }
        Some(request)
    }
}

/// What the description of the interface says of the operation that a request means.
fn check_documented(sent: &Sent, request: &Request<Body>, status: StatusCode) {
    let mut method = request.method().clone();
    let wanted = request.headers().get("x-http-method-override");
    if let Some(wanted) = wanted.filter(|_| method == Method::POST) {
        method = wanted.to_str().unwrap().parse().unwrap();
    }
    let Some(operation) = routes::operation(request.uri().path(), &method) else { return };
    let status = status.as_u16();
    let all = operation.statuses.iter().chain(routes::COMMON_STATUSES);
    let is_documented = all.clone().any(|it| *it == status);
    assert!(is_documented, "{sent:?} {status} is not among {:?}", all.collect::<Vec<_>>());
}

/// One that the documentation lists, and of those that say that the server failed only the one for what
/// it does not have.
fn check_status(sent: &Sent, response: &Response<Body>) {
    let status = response.status();
    let is_error = Code::ALL.iter().any(|code| code.status() == status);
    let is_known = is_error || [200, 201, 202, 206, 301, 302, 304].contains(&status.as_u16());
    assert!(is_known, "{sent:?} {status}");
    assert!(!status.is_server_error() || status == 501, "{sent:?} {status}");
}

async fn check_reply(sent: &Sent, response: Response<Body>) {
    check_status(sent, &response);
    let (parts, body) = response.into_parts();
    let whole = tokio::time::timeout(Duration::from_secs(120), body.collect()).await;
    let whole = whole.expect("a reply ends").expect("a reply is sent to its end").to_bytes();
    if let Some(length) = parts.headers.get(header::CONTENT_LENGTH)
        && sent.method != "HEAD"
    {
        assert_eq!(length.to_str().unwrap(), whole.len().to_string(), "{sent:?}");
    }
    if sent.method == "HEAD" || matches!(parts.status.as_u16(), 304 | 301) {
        assert!(whole.is_empty(), "{sent:?} {whole:?}");
        return;
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/json") && !sent.uri.contains("/f.txt") {
        assert!(whole.ends_with(b"\n"), "{sent:?} {whole:?}");
        let json: Result<serde_json::Value, _> = serde_json::from_slice(&whole);
        let json = json.unwrap_or_else(|error| panic!("{sent:?} {error} {whole:?}"));
        if parts.status.is_client_error() && parts.status != 417 && parts.status != 404 {
            assert!(json["error"].is_string() && json["reason"].is_string(), "{sent:?} {json}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn no_request_makes_the_server_fail(all in vec(any_request(), 40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = TestServer::new().await;
            for path in ["PUT /d", "PUT /d/a\n\n{\"x\":1}", "PUT /d/a/f.txt\n\nhello"] {
                server.send(path).await;
            }
            for sent in all {
                let Some(request) = sent.request() else { continue };
                let again = sent.request().expect("it was one before");
                let reply = server.app.answer(request).await;
                check_documented(&sent, &again, reply.status());
                check_reply(&sent, reply).await;
            }
        });
    }
}
