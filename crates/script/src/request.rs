//! The request as functions see it.

use bytes::Bytes;

/// What CouchDB's `json_req_obj` says of a request. Members are JSON, but for those that are text.
#[derive(Debug, Clone)]
pub struct RequestObject<'a> {
    /// `GET /{db}`; left out for `rewrites`.
    pub info: Option<&'a [u8]>,
    pub uuid: Option<&'a str>,
    /// The document id of the path; `None` is `null`.
    pub id: Option<&'a str>,
    pub method: &'a str,
    /// Decoded segments of what the client asked for, before rewriting.
    pub requested_path: &'a [String],
    pub path: &'a [String],
    pub raw_path: &'a str,
    /// Decoded pairs in order.
    pub query: &'a [(String, String)],
    /// All headers; credentials are scrubbed here.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    pub peer: &'a str,
    pub form: &'a [(String, String)],
    /// JSON: `{"db", "name", "roles"}`.
    pub user_ctx: &'a [u8],
    /// JSON: the database's security object.
    pub security: &'a [u8],
}

impl RequestObject<'_> {
    /// As JSON, without credentials.
    pub fn to_json(&self) -> Bytes {
        unimplemented!()
    }
}

/// Whether a header is kept from functions because it carries credentials.
pub fn scrub(_header: &str) -> bool {
    unimplemented!()
}
